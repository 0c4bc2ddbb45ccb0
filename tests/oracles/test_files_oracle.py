"""People as the oracle: rounds out, answers in, nothing lost, nothing twice."""

import errno
import io
import json
import os
import stat

import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import coco_captions
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import files
from tests.support import people

_asks, _give, _line, _lines = (
    people.asks, people.give, people.line, people.lines)


@pytest.fixture(name='asked')
def _asked(tmp_path):
  return tmp_path, people.waiting(tmp_path)


def test_a_round_is_written_and_answered(asked):
  folder, oracle = asked
  path = folder / 'round_001'
  assert {p.name for p in path.iterdir()} == {
      'tasks.json', 'labeling_config.xml', 'queries.jsonl', 'README.txt',
      'images'}
  shown = people.shown()
  queries = _lines(path / 'queries.jsonl')
  assert [q['query'] for q in queries] == ['image-5', 'image-3', 'image-0']
  for query, number in zip(queries, [5, 3, 0]):
    assert (query['modality'], query['item']) == ('image', number)
    np.testing.assert_array_equal(
        np.asarray(Image.open(path / query['file'])), shown['image'][number])
    assert query['candidates'] == {'text': [
        {'item': i % people.N, 'text': shown['text'][i % people.N]}
        for i in range(number, number + 9)]}
  assert _lines(folder / 'items_text.jsonl')[4] == {
      'item': 4, 'text': shown['text'][4]}
  readme = (path / 'README.txt').read_text()
  assert str(folder / 'answers') in readme and '{' + 'folder' not in readme
  example = [x for x in readme.splitlines() if x.startswith('{"query')]
  assert [json.loads(x)['query'] for x in example] == ['image-5'] * 3
  assert json.loads(example[2])['confirmed'] is True
  _give(folder, 'a.jsonl', _line('image-3', 7), '', _line('image-5', None))
  _give(folder, 'b.jsonl', _line('image-0', {'text': 0}, 'bob', reason='why'))
  answers = _asks(oracle, [5, 3, 0])
  assert answers.dtype == np.int32
  assert answers.tolist() == [[5, -1], [3, 7], [0, 0]]
  assert not list(folder.glob('round_002')) and not list(folder.glob('.*'))
  assert _lines(folder / 'ledger.jsonl')[2] == {
      'query': 'image-0', 'answer': {'text': 0},
      'annotators': {'bob': {'text': 0}}, 'sources': ['b.jsonl, line 1'],
      'reasons': {'bob': 'why'},
      'crc32': _lines(folder / 'ledger.jsonl')[2]['crc32']}
  with pytest.raises(oracle_lib.Waiting):
    _asks(oracle, [2], 'text')
  _give(folder, 'c.jsonl', _line('text-2', 8))
  assert _asks(oracle, [2], 'text').tolist() == [[8, 2]]
  query, = _lines(folder / 'round_002' / 'queries.jsonl')
  assert query['text'] == shown['text'][2]
  assert query['candidates']['image'][0]['file'] == 'images/image-2.png'


def test_half_answered_rounds_go_on_and_open_queries_are_asked_again(tmp_path):
  oracle = files.files(tmp_path, people.shown(), enough=0.5)
  with pytest.raises(
      oracle_lib.Waiting, match=r'0 of 3 .* 2 are needed.*round_001'):
    _asks(oracle, [1, 2, 3])
  _give(tmp_path, 'a.jsonl', _line('image-2', 4))
  with pytest.raises(oracle_lib.Waiting, match='1 of 3'):
    _asks(oracle, [1, 2, 3])
  _give(tmp_path, 'b.jsonl', _line('image-1', 6))
  assert _asks(oracle, [1, 2, 3]).tolist() == [[1, 6], [2, 4], [-1, -1]]
  # A later round: what is open is asked for without asking people.
  assert _asks(oracle, [3], suggest=None).tolist() == [[-1, -1]]
  assert _asks(oracle, [8], suggest=None).tolist() == [[-1, -1]]
  assert _asks(oracle, [], suggest=None).shape == (0, 2)
  with pytest.raises(oracle_lib.Waiting, match='0 of 2.*round_001, round_002'):
    _asks(oracle, [3, 4])
  assert [q['query'] for q in _lines(
      tmp_path / 'round_002' / 'queries.jsonl')] == ['image-4']
  _give(tmp_path, 'c.jsonl', _line('image-3', 0))
  assert _asks(oracle, [3], suggest=None).tolist() == [[3, 0]]
  assert _asks(oracle, [3, 4]).tolist() == [[3, 0], [-1, -1]]
  assert len(list(tmp_path.glob('round_*'))) == 2


def test_a_program_started_anew_goes_on_from_the_folder_alone(asked):
  folder, oracle = asked
  _give(folder, 'a.jsonl', _line('image-3', 7))
  assert _asks(oracle, [3]).tolist() == [[3, 7]]
  # The ledger holds it, even if the answers' file is gone.
  (folder / 'answers' / 'a.jsonl').unlink()
  again = files.files(folder, people.shown())
  assert _asks(again, [3], suggest=None).tolist() == [[3, 7]]
  with pytest.raises(oracle_lib.Waiting, match='1 of 2'):
    _asks(again, [3, 5])
  assert len(list(folder.glob('round_*'))) == 1
  assert len(_lines(folder / 'ledger.jsonl')) == 1


def test_a_crash_while_the_ledger_is_written(asked):
  folder, oracle = asked
  _give(folder, 'a.jsonl', _line('image-3', 7))
  _asks(oracle, [3])
  ledger = folder / 'ledger.jsonl'
  whole = ledger.read_bytes()
  ledger.write_bytes(whole + b'{"query": "image-5", "ans')
  _give(folder, 'b.jsonl', _line('image-5', 1))
  assert _asks(oracle, [3, 5]).tolist() == [[3, 7], [5, 1]]
  assert ledger.read_bytes().startswith(whole)
  assert [x['query'] for x in _lines(ledger)] == ['image-3', 'image-5']
  ledger.write_bytes(b'{"query": "image-5"}\nnonsense\n' + whole)
  with pytest.raises(ValueError, match='(?s)2 problem.*line 2.*line 1'):
    _asks(oracle, [3])
  ledger.write_bytes(whole + whole)
  assert _asks(oracle, [3]).tolist() == [[3, 7]]
  bare = whole[:whole.index(b', "crc32"')] + b'}\n'  # An earlier version's.
  ledger.write_bytes(bare)
  assert _asks(oracle, [3]).tolist() == [[3, 7]]
  ledger.write_bytes(bare + bare.replace(b'7', b'6'))
  with pytest.raises(ValueError, match='line 2: image-3 has another answer'):
    _asks(oracle, [3])


@pytest.mark.parametrize('old,new', [
    (b'"answer": {"text": 7', b'"answer": {"text": 6'),
    (b'image-3', b'image-5'), (b'{"ann":', b'{"bob":'), (b'crc32', b'crc33'),
    (b'"crc32": "', b'"crc32": "0'), (b'"answer": {"text": 7}',
                                      b'"answer": {"text": null}')])
def test_a_ledger_that_was_changed(asked, old, new):
  folder, oracle = asked
  _give(folder, 'a.jsonl', _line('image-3', 7))
  _asks(oracle, [3])
  ledger = folder / 'ledger.jsonl'
  assert old in ledger.read_bytes()
  ledger.write_bytes(ledger.read_bytes().replace(old, new, 1))
  (folder / 'answers' / 'a.jsonl').unlink()  # It alone says so.
  with pytest.raises(ValueError, match='ledger.jsonl, line 1 was changed'):
    _asks(oracle, [3])


def test_the_ledger_of_other_pools(asked, tmp_path_factory):
  folder, oracle = asked
  other = tmp_path_factory.mktemp('other')
  stranger = files.files(other, people.shown(seed=1))
  with pytest.raises(oracle_lib.Waiting):
    _asks(stranger, [3])
  _give(other, 'a.jsonl', _line('image-3', 7))
  assert _asks(stranger, [3]).tolist() == [[3, 7]]
  (folder / 'ledger.jsonl').write_bytes((other / 'ledger.jsonl').read_bytes())
  with pytest.raises(ValueError, match='line 1 was changed .* of another fold'):
    _asks(oracle, [3])


def test_nothing_is_answered_before_the_disk_has_it(asked, monkeypatch):
  folder, oracle = asked
  _give(folder, 'a.jsonl', _line('image-3', 7))

  def full(descriptor):
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
      raise OSError(errno.ENOSPC, 'no space left')

  with monkeypatch.context() as patch:
    patch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='no space left: .*ledger'):
      _asks(oracle, [3])
  assert _asks(oracle, [3]).tolist() == [[3, 7]]


def test_a_crash_while_a_round_is_written(tmp_path, monkeypatch):
  oracle = files.files(tmp_path, people.shown())
  with monkeypatch.context() as patch:
    patch.setattr('mmal_jax.oracles.people.label_studio.config', None)
    with pytest.raises(TypeError):
      _asks(oracle, [3])
  assert {p.name for p in tmp_path.iterdir()} == {
      'answers', 'items_text.jsonl', 'pools.json'}
  with pytest.raises(oracle_lib.Waiting):
    _asks(oracle, [3])
  assert (tmp_path / 'round_001').exists()


def test_disagreement_is_reported(asked):
  folder, oracle = asked
  _give(folder, 'a.jsonl', _line('image-3', 7), _line('image-3', 6, 'bob'),
        _line('image-5', 1), _line('image-5', 1, 'bob'))
  with pytest.raises(oracle_lib.Waiting, match='1 of 2'):
    _asks(oracle, [3, 5])
  conflict, = _lines(folder / 'conflicts.jsonl')
  assert conflict == {
      'query': 'image-3', 'state': 'open',
      'answers': {'ann': {'text': 7}, 'bob': {'text': 6}},
      'sources': ['a.jsonl, line 1', 'a.jsonl, line 2']}
  _give(folder, 'b.jsonl', _line('image-3', 7, 'cid'))  # No vote is taken.
  assert _asks(oracle, [3], suggest=None).tolist() == [[-1, -1]]
  _give(folder, 'a.jsonl', _line('image-3', 7), _line('image-3', 7, 'bob'))
  assert _asks(oracle, [3, 5]).tolist() == [[3, 7], [5, 1]]
  assert not (folder / 'conflicts.jsonl').exists()


def test_majority(tmp_path):
  oracle = files.files(tmp_path, people.shown(), conflicts='majority', people=3)
  with pytest.raises(oracle_lib.Waiting):
    _asks(oracle, [1, 2, 3])
  said = {1: (4, 5, 4), 2: (6, None, 7), 3: (8, 8)}
  _give(tmp_path, 'a.jsonl', *(
      _line(f'image-{i}', answer, who) for i, given in said.items()
      for answer, who in zip(given, ('ann', 'bob', 'cid'))))
  assert _asks(oracle, [1, 2, 3], suggest=None).tolist() == [
      [1, 4], [-1, -1], [-1, -1]]
  assert [c['query'] for c in _lines(tmp_path / 'conflicts.jsonl')] == [
      'image-2']
  assert _lines(tmp_path / 'ledger.jsonl')[0]['annotators'] == {
      'ann': {'text': 4}, 'bob': {'text': 5}, 'cid': {'text': 4}}
  _give(tmp_path, 'b.jsonl', _line('image-2', 6, 'dan'),
        _line('image-3', None, 'cid'))
  # Two of four are no majority; whoever was outvoted has changed nothing.
  assert _asks(oracle, [1, 2, 3], suggest=None).tolist() == [
      [1, 4], [-1, -1], [3, 8]]
  _give(tmp_path, 'c.jsonl', _line('image-2', 6, 'eve'))
  assert _asks(oracle, [1, 2, 3]).tolist() == [[1, 4], [2, 6], [3, 8]]


def test_three_modalities(tmp_path):
  oracle = files.files(tmp_path, people.shown(people.MODALITIES), candidates=2)
  with pytest.raises(oracle_lib.Waiting):
    _asks(oracle, [4, 6, 8], 'text')
  queries = _lines(tmp_path / 'round_001' / 'queries.jsonl')
  assert queries[0]['candidates'] == {
      'image': [{'item': 4, 'file': 'images/image-4.png'}],
      'sketch': [{'item': 4, 'text': 'item 4'}]}
  _give(tmp_path, 'bad.jsonl', _line('text-4', 3),
        _line('text-4', {'image': 3}),
        _line('text-4', {'image': 3, 'sketch': people.N + 2}))
  with pytest.raises(ValueError, match='3 problem'):
    _asks(oracle, [4], 'text')
  _give(tmp_path, 'bad.jsonl',
        _line('text-4', {'image': 3, 'sketch': people.N + 1}),
        _line('text-6', {'sketch': None, 'image': 0}), _line('text-8', None))
  assert _asks(oracle, [4, 6, 8], 'text').tolist() == [
      [3, 4, people.N + 1], [0, 6, -1], [-1, 8, -1]]


def test_waiting_polls_until_the_answers_are_there(tmp_path):
  now, naps = [0.0], []

  def sleep(seconds):
    naps.append(seconds)
    now[0] += seconds
    if len(naps) == 2:  # A file that is being copied is no error yet.
      _give(tmp_path, 'a.jsonl', '{"query": "image')
    if len(naps) == 3:
      _give(tmp_path, 'a.jsonl', _line('image-3', 7))
    if len(naps) > 9:
      _give(tmp_path, 'b.jsonl', 'nonsense')

  oracle = files.files(
      tmp_path, people.shown(), wait_seconds=12, sleep=sleep,
      clock=lambda: now[0])
  assert _asks(oracle, [3]).tolist() == [[3, 7]]
  assert naps == [5, 5, 2]
  with pytest.raises(oracle_lib.Waiting):
    _asks(oracle, [4])
  assert now[0] == 24 and naps[3:] == [5, 5, 2]
  now[0] = 0
  naps += [0] * 4
  with pytest.raises(ValueError, match='b.jsonl, line 1: bad JSON'):
    _asks(oracle, [5])
  assert now[0] == 10


@pytest.mark.parametrize('link', [False, True])
def test_image_files_are_shown_as_they_are(tmp_path, link):
  rng = np.random.default_rng(0)
  paths = [tmp_path / f'{i}.webp' for i in range(people.N)]
  for path in paths:
    noise = rng.integers(256, size=(9, 7, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path, lossless=True)
  shown = {'image': image_files.ImageFiles(paths, preprocess.Preprocess(4, 4)),
           'text': people.shown()['text']}
  folder = tmp_path / 'a folder'
  oracle = files.files(folder, shown, candidates=3, link=link)
  with pytest.raises(oracle_lib.Waiting):
    _asks(oracle, [3, 4], 'text')
  images = folder / 'round_001' / 'images'
  assert {p.name for p in images.iterdir()} == {
      f'image-{i}.webp' for i in (3, 4, 5)}
  for path in images.iterdir():
    assert path.is_symlink() == link
    assert path.read_bytes() == paths[int(path.stem[6:])].read_bytes()
  task = json.loads((folder / 'round_001' / 'tasks.json').read_text())[0]
  assert ('/data/local-files/?d=a%20folder/round_001/images/image-3.webp'
          in task['data']['candidates_image'][0]['html'])
  assert _lines(folder / 'items_image.jsonl')[2]['file'] == str(paths[2])
  with pytest.raises(ValueError, match='of other items'):
    files.files(folder, dict(shown, image=shown['image'].select(
        np.arange(people.N)[::-1])))


def _source(kind, number, encoded, folder):
  """An image as its data set has it, and what the list of all calls it."""
  name = f'{number}.webp'
  if kind == 'part':
    path = folder / f'{number}.tar'
    path.write_bytes(b'before' + encoded + b'after')
    source = image_files.Part(path, f'sub/{name}', 6, len(encoded))
    return source, f'{path}:sub/{name}'
  if kind == 'record':
    return coco_captions.Record([{}, {'image': encoded}], 1, name), name
  if kind == 'nameless':
    return image_files.Encoded('image_0', encoded), 'image_0'
  return image_files.Encoded(name, encoded), name


@pytest.mark.parametrize('link', [False, True])
@pytest.mark.parametrize('kind', ['part', 'encoded', 'nameless', 'record'])
def test_images_without_files_get_them(tmp_path, kind, link):
  rng = np.random.default_rng()
  encoded = []
  for _ in range(people.N):
    file = io.BytesIO()
    Image.fromarray(rng.integers(256, size=(9, 7, 3)).astype(np.uint8)).save(
        file, 'webp')
    encoded.append(file.getvalue())
  sources = [_source(kind, i, one, tmp_path) for i, one in enumerate(encoded)]
  images = image_files.ImageFiles(
      [source for source, _ in sources], preprocess.Preprocess(4, 4))
  folder = tmp_path / 'asked'
  oracle = files.files(
      folder, {'image': images, 'text': people.shown()['text']}, candidates=3,
      link=link)
  with pytest.raises(oracle_lib.Waiting):
    _asks(oracle, [3, 4], 'text')
  with pytest.raises(oracle_lib.Waiting):
    _asks(oracle, [7])
  for name, numbers in (('round_001', (3, 4, 5)), ('round_002', (7,))):
    written = folder / name / 'images'
    assert {p.name for p in written.iterdir()} == {
        f'image-{i}.webp' for i in numbers}
    for path in written.iterdir():
      assert not path.is_symlink()
      assert path.read_bytes() == encoded[int(path.stem[6:])]
  assert _lines(folder / 'items_image.jsonl') == [
      {'item': i, 'file': called} for i, (_, called) in enumerate(sources)]


def test_what_a_killed_round_left_is_removed(asked):
  folder, _ = asked
  left = folder / '.draft_0123'
  (left / 'images').mkdir(parents=True)
  (folder.parent / 'kept').mkdir()
  (folder / '.draft_link').symlink_to(folder.parent / 'kept')
  with pytest.raises(oracle_lib.Waiting):
    _asks(files.files(folder, people.shown()), [1])
  assert not left.exists()
  assert (folder.parent / 'kept').exists()
