"""The page on which people answer: what it holds, and what it may do."""

import base64
import io
import json
import re

import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import feature_rows
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess
from mmal_jax.files import html_file
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people.page import content as content_lib
from mmal_jax.oracles.people.page import document
from mmal_jax.oracles.people.page import page
from mmal_jax.oracles.people.page import server
from tests.support import people

_ODD = ('</script><script>alert(1)</script>', '<!-- <script>', '&lt;',
        'a\u2028b\u2029c', '\x85\x7f\ufdd0\U0001ffff', '\u0647\u0644',
        '\U0001f469\U0001f3fd\u200d\U0001f680', '{{data}}', '\\u003c')


def _page(folder, shown, numbers=(5, 3, 0), modality='image', suggest=None,
          **arguments):
  """The text of the page, and what it holds."""
  oracle = page.page(folder, shown, **arguments)
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, numbers, modality, suggest or people.suggest)
  text = (folder / 'round_001' / 'page.html').read_text('utf-8')
  found, = re.findall(
      '<script type="application/json" id="data">(.*)</script>', text)
  return text, json.loads(found)


def _picture(item):
  kind, _, content = item['picture'].partition(',')
  assert kind == 'data:image/webp;base64'
  return Image.open(io.BytesIO(base64.b64decode(content)))


def test_a_round_is_one_file_that_holds_all_it_shows(tmp_path):
  shown = people.shown()
  text, held = _page(tmp_path, shown, candidates=4)
  assert sorted(path.name for path in (tmp_path / 'round_001').iterdir()) == [
      'README.txt', 'page.html', 'queries.jsonl']
  assert (held['modality'], held['others']) == ('image', ['text'])
  first = held['questions'][0]
  assert first['query'] == 'image-5' and first['likely']['text'][:4] == [
      5, 6, 7, 8]
  assert held['searched'] == {'text': list(range(9))}
  assert held['partial'] == {'text': False}
  assert held['items']['text'] == {
      str(n): {'text': text} for n, text in enumerate(shown['text'])}
  np.testing.assert_array_equal(
      np.asarray(_picture(held['items']['image']['5'])), shown['image'][5])
  queries = people.lines(tmp_path / 'round_001' / 'queries.jsonl')
  assert [one['item'] for one in queries[0]['candidates']['text']] == [
      5, 6, 7, 8]
  readme = (tmp_path / 'round_001' / 'README.txt').read_text()
  assert 'page.html' in readme and 'Label Studio\n---' not in readme
  assert 'http' not in re.sub('http-equiv|startsWith', '', text)


@pytest.mark.parametrize('modality', people.MODALITIES)
def test_three_modalities_in_any_direction(tmp_path, modality):
  shown = people.shown(people.MODALITIES)
  _, held = _page(tmp_path, shown, modality=modality, candidates=2)
  others = [m for m in people.MODALITIES if m != modality]
  assert held['others'] == others
  for question in held['questions']:
    for other in others:
      assert all(str(n) in held['items'][other]
                 for n in question['likely'][other])
  if modality != 'sketch':
    assert held['items']['sketch']['1'] == {'text': 'item 1'}


def test_what_others_wrote_cannot_leave_the_data():
  content = {'name': '<b>{{script}}</b>', 'modality': 'text', 'odd': _ODD}
  text = document.render(content)
  assert text.count('<script') == text.count('</script>') == 2
  assert '<b>' not in text and '<script>alert' not in text
  found, = re.findall('id="data">(.*)</script>', text)
  assert tuple(json.loads(found)['odd']) == _ODD
  # Lone halves of letters come from names of files that are no UTF-8.
  assert json.loads(html_file.as_script('\udce9')) == '\udce9'
  document.render(content | {'odd': '\udce9'}).encode()


def test_its_policy_allows_its_own_script_and_nothing_else():
  text = document.render({'name': 'r', 'modality': 'm'})
  policy, = re.findall('Content-Security-Policy" content="(.*)"', text)
  rules = dict(rule.split(' ', 1) for rule in policy.split('; '))
  assert rules['default-src'] == rules['connect-src'] == "'none'"
  assert rules['img-src'] == 'data:' and 'unsafe' not in policy
  for tag, rule in (('style', 'style-src'), ('script', 'script-src')):
    inner, = re.findall(f'<{tag}>(.*?)</{tag}>', text, re.S)
    assert rules[rule] == f"'{html_file.digest(inner)}'"
  served = document.served(text)
  assert served == text.replace("connect-src 'none'", "connect-src 'self'")
  assert ' style=' not in text and not re.search(r'<[^>]* on\w+=', text)


def test_it_is_valid_html(tmp_path):
  html5lib = pytest.importorskip('html5lib')
  shown = people.shown(people.MODALITIES)
  shown['text'][:len(_ODD)] = _ODD
  text, _ = _page(tmp_path, shown)
  for page_text in (text, document.served(text), server._NOTHING_YET):
    html5lib.HTMLParser(strict=True).parse(page_text)


def test_photos_become_small_and_say_nothing_of_where_they_were_taken(tmp_path):
  exif = Image.Exif()
  exif[0x112], exif[0x10e] = 6, 'SECRET PLACE'  # turned by 90 degrees
  paths = []
  for number in range(9):
    paths.append(tmp_path / f'<img src=x>{number}.jpg')
    Image.new('RGB', (900, 600), (number, 0, 0)).save(paths[-1], exif=exif)
  shown = {'image': image_files.ImageFiles(paths, preprocess.Preprocess(8, 8)),
           'text': people.shown()['text']}
  text, held = _page(tmp_path / 'a', shown, candidates=2, searched=4)
  assert 'SECRET' not in text and str(tmp_path) not in text
  assert _picture(held['items']['image']['5']).size == (427, 640)
  assert held['items']['image']['5']['name'] == '<img src=x>5.jpg'
  text, held = _page(tmp_path / 'b', shown, (5, 3), 'text', candidates=2,
                     searched=6)
  sizes = {number: max(_picture(item).size)
           for number, item in held['items']['image'].items()}
  # Candidates are large, what one can only search for is not.
  assert sizes == {'5': 320, '6': 320, '3': 320, '4': 320, '7': 112, '8': 112}
  assert held['searched'] == {'image': [3, 4, 5, 6, 7, 8]}
  assert held['partial'] == {'image': True}
  assert 'exif' not in _picture(held['items']['image']['5']).info


def _photo(rng, height=240, width=360):
  """Pixels that are about as hard to compress as a photo's."""
  distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
  distance[0, 0] = 1
  noise = rng.normal(size=(3, height, width))
  some = np.fft.irfft2(np.fft.rfft2(noise + noise[:1]) / distance**1.4)
  some = (some / some.std() * 50 + 128).clip(0, 255)
  return np.moveaxis(some, 0, -1).astype(np.uint8)


@pytest.mark.long
@pytest.mark.parametrize('modality, most', [('image', 5e6), ('text', 18e6)])
def test_a_hundred_questions_of_ten_candidates_can_be_sent(
    tmp_path, modality, most):
  rng, paths = np.random.default_rng(0), []
  for number in range(4):
    paths.append(tmp_path / f'{number}.png')
    Image.fromarray(_photo(rng)).save(paths[-1], compress_level=1)
  n = 1000
  shown = {
      'image': image_files.ImageFiles(
          [paths[i % 4] for i in range(n)], preprocess.Preprocess(8, 8)),
      'text': [f'a caption of fifty letters or so, number {i}' for i in range(n)]}

  def suggest(modality, numbers, other, k):
    del modality, other
    return (10 * numbers[:, None] + np.arange(min(k, n))) % n

  text, held = _page(
      tmp_path / 'a', shown, range(100), modality, suggest, searched=0)
  assert len(held['questions']) == 100
  other, = held['others']
  assert len(held['items'][other]) == n  # No two questions share a candidate.
  assert len(text.encode()) < most


def test_the_same_questions_of_two_runs_are_two_pages(tmp_path):
  # Else what was answered in one would pass for answered, and saved, in both.
  _, one = _page(tmp_path / 'a', people.shown())
  _, other = _page(tmp_path / 'b', people.shown())
  assert one.pop('id') != other.pop('id')
  assert one == other


def test_it_is_said_where_the_page_is(tmp_path):
  oracle = page.page(tmp_path, people.shown())
  place = re.escape(str(tmp_path / 'round_001' / 'page.html'))
  with pytest.raises(oracle_lib.Waiting, match=f'or open {place} in a browser'):
    people.asks(oracle, [5], 'text')
  readme = (tmp_path / 'round_001' / 'README.txt').read_text()
  assert 'no file lists the image items: search for them on the page' in readme


def test_labels_that_cannot_be_read_are_shown_by_name(tmp_path):
  path = tmp_path / 'a.gif'
  Image.new('RGB', (4, 4)).save(path)
  labels = image_files.ImageFiles([path] * 9, preprocess.Preprocess(8, 8))
  rows = feature_rows.FeatureRows(
      np.zeros((9, 2), np.float32), labels, np.arange(9), True)
  _, held = _page(tmp_path / 'a', {'image': rows, **people.shown(('text',))})
  assert held['items']['image']['5'] == {'text': 'a.gif'}


def test_the_likeliest_are_held_where_not_all_can_be():
  found = np.array([[0, 1, 2, 3], [4, 0, 5, 6]])
  assert content_lib._in_turn(found, 1, 5) == [0, 4, 1, 2, 5]
  # All candidates are.
  assert content_lib._in_turn(found, 2, 0) == [0, 4, 1]


def test_values_out_of_range_are_refused(tmp_path):
  for values in ({'searched': -1}, {'candidates': 0}, {'enough': 2}):
    with pytest.raises(ValueError, match=next(iter(values))):
      page.page(tmp_path, people.shown(), **values)


def test_of_two_downloads_the_later_answer_holds(tmp_path):
  oracle = page.page(tmp_path, people.shown())
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, [5, 3])
  for name, answer, when in (('a', 7, 20.5), ('b', 8, 10), ('c', 6, None)):
    people.give(tmp_path, f'{name}.jsonl', people.line(
        'image-5', {'text': {'item': answer}}, **(
            {} if when is None else {'changed': when})))
    if name == 'b':
      with pytest.raises(oracle_lib.Waiting, match='1 of 2'):
        people.asks(oracle, [5, 3])
  assert people.lines(tmp_path / 'ledger.jsonl')[0]['answer'] == {'text': 7}
  # A table has its cells as text.
  (tmp_path / 'answers' / 'c.jsonl').unlink()
  people.give(tmp_path, 'd.csv', 'query,answer,annotator,changed',
              'image-3,1,ann,20.5', 'image-3,2,ann,2026-01-31T12:00Z')
  assert people.asks(oracle, [5, 3]).tolist() == [[5, 7], [3, 2]]
  people.give(tmp_path, 'c.jsonl', people.line(
      'image-3', {'text': {'item': 1}}, changed='yesterday'))
  with pytest.raises(ValueError, match="c.jsonl, line 1: 'changed' is"):
    people.asks(oracle, [5, 3])


def test_an_answer_that_was_taken_back_is_none(tmp_path):
  oracle = page.page(tmp_path, people.shown(), people=2)
  with pytest.raises(oracle_lib.Waiting):
    people.asks(oracle, [5, 3])
  for who in ('ann', 'bob'):
    people.give(tmp_path, f'{who}.jsonl', *(
        people.line(query, {'text': {'item': 7}}, who, changed=10)
        for query in ('image-5', 'image-3')))
  back = {'query': 'image-5', 'annotator': 'Ann', 'withdrawn': True}
  people.give(tmp_path, 'later.jsonl', back | {'changed': 11})
  with pytest.raises(oracle_lib.Waiting, match='1 of 2'):
    people.asks(oracle, [5, 3])
  # A later answer holds, and an earlier line takes back nothing.
  people.give(tmp_path, 'd.csv', 'query,answer,annotator,changed,withdrawn',
              'image-5,8,ann,12,', 'image-5,,bob,13,yes', 'image-5,8,bob,14,no')
  assert people.asks(oracle, [5, 3]).tolist() == [[5, 8], [3, 7]]
  for more, why in (({}, "needs 'changed'"),
                    ({'changed': 1, 'answer': None}, 'and no answer'),
                    ({'withdrawn': 'yes', 'changed': 1}, 'true or false')):
    people.give(tmp_path, 'wrong.jsonl', back | more)
    with pytest.raises(ValueError, match=f'wrong.jsonl, line 1: .*{why}'):
      people.asks(oracle, [5, 3])
