"""What a session may be made of, and what it refuses."""

import html.parser
import io
import re

import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from mmal_jax.data.images import image_files
from mmal_jax.data.images import image_sources
from mmal_jax.session import items as items_lib
from mmal_jax.session import page
from mmal_jax.session import session as session_lib
from tests.session import known
from tests.support import bad_images

Session = session_lib.Session


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


@pytest.fixture(name='photos')
def _photos(tmp_path):
  folder = tmp_path / 'photos'
  folder.mkdir()
  for i in range(6):
    (folder / f'{i}.png').write_bytes(bad_images.noise(i))
  return folder


def _rows(items):
  """An encoder: a row for each item, by nothing but how many there are."""
  return np.random.default_rng(len(items)).normal(size=(len(items), 4))


_BOTH = {'image': _rows, 'text': _rows}
_TEXTS = ['one', 'two', 'three']


def _pixels(photos):
  return np.stack([np.asarray(Image.open(path))
                   for path in sorted(photos.iterdir())])


@pytest.mark.parametrize('of', [
    lambda photos: photos, str,
    lambda photos: sorted(photos.iterdir()),
    lambda photos: list(map(str, photos.iterdir())),
    lambda photos: tuple(map(Image.open, photos.iterdir())), _pixels,
    lambda photos: list(_pixels(photos)),
    lambda photos: [{'bytes': path.read_bytes(), 'path': None}
                    for path in photos.iterdir()],
    lambda photos: [{'bytes': None, 'path': str(path)}
                    for path in photos.iterdir()]])
def test_images_of_all_kinds(photos, of, tmp_path):
  session = Session(images=of(photos), texts=_TEXTS, encoder=_BOTH)
  assert session._given.pools.sizes == {'image': 6, 'text': 3}
  html_ = session.ask(3)._repr_html_()
  assert html_.count('data:image/jpeg;base64,') >= 3
  session.save(tmp_path / 's')
  loaded = Session.load(tmp_path / 's')
  assert loaded.ask()._repr_html_() == html_
  assert known.names(loaded.ask()) == known.names(session_names := loaded.ask())
  assert len(session_names) == 3


def test_a_notebook_says_nothing_of_the_disk(photos):
  session = Session(images=photos, texts=_TEXTS, encoder=_BOTH)
  html_ = session.ask(3)._repr_html_()
  assert str(photos) not in html_ and str(photos.parent) not in html_
  assert '.png' in html_


def test_paths_hold_wherever_the_program_goes(photos, tmp_path, monkeypatch):
  monkeypatch.chdir(photos.parent)
  names = [f'photos/{path.name}' for path in sorted(photos.iterdir())]
  session = Session(images=names, texts=_TEXTS, encoder=_BOTH)
  html_ = session.ask(3)._repr_html_()
  monkeypatch.chdir('/')
  assert session.ask()._repr_html_() == html_ and '<img' in html_
  session.save(tmp_path / 's')
  assert Session.load(tmp_path / 's').ask()._repr_html_() == html_


def test_a_tilde_is_the_home(photos, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(photos.parent))
  session = Session(images='~/photos', texts=_TEXTS, encoder=_BOTH,
                    folder='~/s')
  questions = session.ask(2)
  assert (tmp_path / 's' / 'session.json').exists()
  assert known.names(Session.load('~/s').ask()) == known.names(questions)
  with pytest.raises(ValueError, match='holds a session'):
    Session(images='~/photos', texts=_TEXTS, encoder=_BOTH, folder='~/s')


def test_an_image_that_is_gone_is_named(photos):
  session = Session(images=photos, texts=_TEXTS, encoder=_BOTH)
  before = session.ask(3)
  for path in photos.iterdir():
    path.unlink()
  assert '.png' in before._repr_html_() and '<img' not in before._repr_html_()


def test_texts_of_a_file(tmp_path):
  (tmp_path / 'texts.txt').write_text('one\ntwo\nthree\n')
  session = Session(
      images=np.eye(3, dtype=np.float32), texts=tmp_path / 'texts.txt',
      encoder={'text': _rows})
  assert [session.item('text', i) for i in range(3)] == _TEXTS


def test_texts_of_a_folder(photos, tmp_path):
  """A readme in a folder of images is no text of theirs."""
  folder = tmp_path / 'captions'
  folder.mkdir()
  for name, text in zip('abc', _TEXTS):
    (folder / f'{name}.txt').write_text(f'{text}\n')
  (photos / 'readme.txt').write_text('photos of mine')
  session = Session(images=photos, texts=folder, encoder={
      'image': _rows, 'text': _rows})
  assert [session.item('text', i) for i in range(3)] == _TEXTS
  assert session.item('image', 0).suffix != '.txt'


class _Column:
  """As of a data set of Hugging Face's: a sequence that is no list."""

  def __init__(self, values):
    self._values = values

  def __len__(self):
    return len(self._values)

  def __iter__(self):
    return iter(self._values)


def test_columns_and_arrays_of_strings():
  for texts in (_Column(_TEXTS), np.array(_TEXTS, object), tuple(_TEXTS)):
    session = Session(images=np.eye(3, dtype=np.float32), texts=texts,
                      encoder={'text': _rows})
    assert session.item('text', 2) == 'three'


class _Frame:
  """As of pandas: an array on demand, and else its columns' names."""

  def __array__(self, dtype=None, copy=None):
    return np.eye(3)

  def __iter__(self):
    return iter(['x', 'y', 'z'])


@pytest.mark.parametrize('rows', [
    np.eye(3).tolist(), list(np.eye(3)), jnp.eye(3), np.eye(3, dtype='f2'),
    _Frame(), _Column(np.eye(3).tolist())])
def test_features_of_all_kinds(rows):
  session = Session({'a': rows, 'b': np.eye(4) + 1})
  np.testing.assert_array_equal(
      session._given.pools.items['a'].values, np.eye(3))
  assert session.item('a', 2) == 2


@pytest.mark.parametrize('rows', [
    np.eye(3, dtype=int), np.eye(3, dtype=np.uint8), [[1.0, 2.0], [1.0]]])
def test_what_is_no_features(rows):
  with pytest.raises(TypeError, match='a (has dtype|is a list of rows)'):
    Session({'a': rows, 'b': np.eye(4) + 1})


def test_features_of_items_need_no_encoder():
  session = Session(
      {'photo': ['a', 'b', 'c'], 'sound': np.eye(3)},
      features={'photo': jnp.eye(3)})
  assert session.item('photo', 1) == 'b' and session.item('sound', 1) == 1


@pytest.mark.parametrize('given,options,error,said', [
    ({}, {}, ValueError, 'of 0 modalities'),
    ({'image': np.eye(3)}, {}, ValueError, r'1 modalities \(image\)'),
    ({'image': np.eye(3), 'text': None}, {}, TypeError,
     'no items of the modality text'),
    ({'../x': np.eye(3), 'text': np.eye(3)}, {}, ValueError,
     "modality='../x' must be of letters"),
    ({'a': np.eye(3), 'b': ['x']}, {}, ValueError,
     'b holds texts, of which there are no features'),
    ({'a': np.eye(3), 'b': []}, {'encoder': {'b': _rows}}, ValueError,
     'of which there are none'),
    ({'a': np.eye(3), 'b': ['x']}, {'encoder': {'c': _rows}}, ValueError,
     "encoder has 'c', of which there are no items"),
    ({'a': np.eye(3), 'b': ['x', 'y']}, {'features': {'b': np.eye(3)}},
     ValueError, r'features of b have shape \(3, 3\); \[2, d\]'),
    ({'a': np.eye(3), 'b': ['x', 'y']}, {'encoder': {
        'b': lambda items: 'nope'}}, TypeError, 'encoder of b'),
    ({'a': np.eye(3), 'b': np.full((2, 2), np.nan)}, {}, ValueError,
     'b is NaN or infinite'),
    ({'a': np.eye(3), 'b': np.zeros((2, 2))}, {}, ValueError, 'b is all zeros'),
    ({'a': np.eye(3), 'b': 3}, {}, TypeError, 'b=3 must be features, texts'),
    ({'a': np.eye(3), 'b': '/nope'}, {}, ValueError,
     "b='/nope' does not exist"),
    ({'a': np.eye(3), 'image': [3, 'x.png']}, {}, ValueError,
     'image 0 is 3; a path, an image of Pillow'),
    ({'a': np.eye(3), 'b': np.eye(3)}, {'people': 0}, ValueError, 'people=0'),
    ({'a': np.eye(3), 'b': np.eye(3)}, {'candidates': 1.5}, TypeError,
     'candidates=1.5'),
    ({'a': np.eye(3), 'b': np.eye(3)}, {'budget': -1}, ValueError, 'budget=-1'),
    ({'a': np.eye(3), 'b': np.eye(3)}, {'seed': -1}, ValueError, 'seed=-1'),
    ({'a': np.eye(3), 'b': np.eye(3)}, {'strategy': 'nope'}, ValueError,
     "strategy='nope' is unknown"),
    ({'a': np.eye(3), 'b': np.eye(3)}, {'learner': 'nope'}, ValueError,
     "learner='nope' is none of closed_form, gradient"),
    ({'a': np.eye(3), 'b': np.eye(3)}, {'values': {'nope': 1}}, ValueError,
     'of closed_form'),
    ({'a': np.eye(3), 'b': np.eye(3)}, {
        'learner': 'gradient', 'values': {'nope': 1}}, ValueError,
     'train.nope is unknown'),
    ({'a': np.eye(3), 'b': np.ones((3, 2))}, {'shared_space': True}, ValueError,
     'shared')])
def test_what_no_session_can_be_made_of(given, options, error, said):
  with pytest.raises(error, match=said):
    Session(given, **options)


def test_items_are_given_in_one_way():
  with pytest.raises(TypeError, match='give images and texts, or items'):
    Session()
  with pytest.raises(TypeError, match='give images and texts, or items'):
    Session({'a': np.eye(3)}, images=np.eye(3))
  with pytest.raises(TypeError, match='must be items by modality'):
    Session(np.eye(3))


def test_numbers_of_questions_and_matches_are_checked():
  session = Session(images=np.eye(4) + 1, texts=np.eye(4) + 1)
  for n, error in ((0, ValueError), (True, TypeError), ('3', TypeError)):
    with pytest.raises(error, match='n='):
      session.ask(n)
  with pytest.raises(ValueError, match='within'):
    session.match(95)
  with pytest.raises(ValueError, match='must be two of image, text'):
    session.match(0.5, ('image', 'audio'))
  with pytest.raises(ValueError, match='at least 5 are needed'):
    session.match()


def test_more_than_there_are_can_be_asked_for():
  assert 1 <= len(Session(
      images=np.eye(4) + 1, texts=np.eye(3) + 1).ask(10**6)) <= 3


class _Tags(html.parser.HTMLParser):
  """All tags, their attributes, and the text."""

  def __init__(self):
    super().__init__()
    self.tags, self.attributes, self.text = set(), set(), ''

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.attributes |= {name for name, _ in attrs}

  def handle_data(self, data):
    self.text += data


_EVIL = ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>',
         '\u202edesrever', '&lt;b&gt;', '</td></table>', 'a\0b', 'x' * 10**6,
         'javascript:alert(1)', '\ud800', '\U0001f469\u200d\U0001f373']


def test_no_caption_or_name_acts_on_a_page(tmp_path):
  folder = tmp_path / 'p'
  folder.mkdir()
  for i, name in enumerate(('"><svg onload=alert(1)>.png', '&amp;.png')):
    (folder / name).write_bytes(bad_images.noise(i))
  (folder / 'broken.png').write_bytes(b'<script>alert(2)</script>')
  count = len(_EVIL)
  images = image_sources.sources(sorted(folder.iterdir()) * 4)[:count]
  session = Session(
      images=list(images), texts=_EVIL,
      features=dict.fromkeys(('image', 'text'), np.eye(count) + 1),
      candidates=10)
  known_ = session.ask(count)
  seen = known_._repr_html_()
  found = _Tags()
  found.feed(seen)
  assert found.tags <= {
      'table', 'tr', 'th', 'td', 'div', 'bdi', 'img', 'br', 'small'}
  assert found.attributes <= {'style', 'src', 'alt', 'title'}
  assert re.fullmatch('(?:data:image/jpeg;base64,[A-Za-z0-9+/=]+ ?)+', ' '.join(
      re.findall('<img src="([^"]*)"', seen)))
  assert '<script>alert(1)</script>' in found.text
  assert r'\u202edesrever' in found.text and r'a\x00b' in found.text
  assert len(seen) < 10**6 and seen.encode()


def test_pairs_and_questions_show_themselves():
  hidden = known.hidden(200)
  session = known.session(hidden)
  known.tell_all(hidden, session, session.ask(30))
  assert '30 answers' in repr(session)
  found = session.match(0.0)
  assert len(found) == 170 and repr(found) == '<170 pairs of image and text>'
  seen = found._repr_html_()
  assert seen.count('<tr>') == 101 and '70 more' in seen
  questions = session.ask(7)
  assert repr(questions).startswith('<7 questions: ') and (
      questions[2:4][0] is questions[2])
  assert 'no question is open' in questions[:0]._repr_html_()
  question = questions[0]
  other, = question.candidates
  more = session.candidates(question.modality, question.number, other, 9)
  assert more[:5] == question.candidates[other] and len(more) == 9


def test_a_table_without_rows_says_so():
  assert page.table(['a'], [], '<none>') == '<p>&lt;none&gt;</p>'


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'RGBA', 'CMYK', 'F', 'YCbCr'])
def test_images_of_pillow_in_all_modes(mode):
  source, = image_sources.sources([Image.new(mode, (4, 3))])
  assert Image.open(io.BytesIO(source.read_bytes())).size == (4, 3)
  assert isinstance(source, image_files.Encoded)


def test_rows_of_equal_features_are_equal_items():
  rows = np.array([[1, 2], [3, 4], [1, 2]], np.float32)
  assert items_lib.of_rows(rows).ids.tolist() == [0, 1, 0]
