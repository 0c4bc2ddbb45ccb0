"""People as the oracle: rounds out, answers in, nothing lost, nothing twice."""

import json

import numpy as np
from PIL import Image
import pytest

from mmal_jax.align import files
from mmal_jax.align import oracle as oracle_lib
from mmal_jax.data import image_files
from mmal_jax.data import preprocess

N = 9
MODALITIES = ('image', 'text', 'sketch')


def _shown(modalities=MODALITIES[:2], seed=0):
  rng = np.random.default_rng(seed)
  everything = {
      'image': rng.integers(256, size=(N, 6, 5, 3)).astype(np.uint8),
      'text': [f'text {i}: $1 <b>"é"</b>\nend' for i in rng.permutation(N)],
      'sketch': rng.normal(size=(N + 2, 3)).astype(np.float32)}
  return {m: everything[m] for m in modalities}


def _suggest(modality, numbers, other, k):
  """The items that follow, of nine; one of them is none."""
  del modality, other
  found = (numbers[:, None] + np.arange(k)) % N
  found[:, -1] = oracle_lib.NONE
  return found.astype(np.int32)


def _give(folder, name, *lines):
  text = ''.join(
      (line if isinstance(line, str) else json.dumps(line)) + '\n'
      for line in lines)
  (folder / 'answers' / name).write_text(text)


def _line(query, answer, annotator='ann', **more):
  return {'query': query, 'answer': answer, 'annotator': annotator, **more}


def _lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def _asks(oracle, numbers, modality='image', suggest=_suggest):
  return oracle(modality, np.array(numbers, np.int32), suggest)


@pytest.fixture(name='asked')
def _asked(tmp_path):
  """A folder in which images 5, 3 and 0 were asked about, and its oracle."""
  oracle = files.files(tmp_path, _shown())
  with pytest.raises(files.Waiting):
    _asks(oracle, [5, 3, 0])
  return tmp_path, oracle


def test_a_round_is_written_and_answered(asked):
  folder, oracle = asked
  path = folder / 'round_001'
  assert {p.name for p in path.iterdir()} == {
      'tasks.json', 'labeling_config.xml', 'queries.jsonl', 'README.txt',
      'images'}
  shown = _shown()
  queries = _lines(path / 'queries.jsonl')
  assert [q['query'] for q in queries] == ['image-5', 'image-3', 'image-0']
  for query, number in zip(queries, [5, 3, 0]):
    assert (query['modality'], query['item']) == ('image', number)
    np.testing.assert_array_equal(
        np.asarray(Image.open(path / query['file'])), shown['image'][number])
    assert query['candidates'] == {'text': [
        {'item': i % N, 'text': shown['text'][i % N]}
        for i in range(number, number + 9)]}
  assert _lines(folder / 'items_text.jsonl')[4] == {
      'item': 4, 'text': shown['text'][4]}
  readme = (path / 'README.txt').read_text()
  assert str(folder / 'answers') in readme and '{' + 'folder' not in readme
  example = [x for x in readme.splitlines() if x.startswith('{')]
  assert [json.loads(x)['query'] for x in example] == ['image-5'] * 2
  _give(folder, 'a.jsonl', _line('image-3', 7), '', _line('image-5', None))
  _give(folder, 'b.jsonl', _line('image-0', {'text': 0}, 'bob', reason='why'))
  answers = _asks(oracle, [5, 3, 0])
  assert answers.dtype == np.int32
  assert answers.tolist() == [[5, -1], [3, 7], [0, 0]]
  assert not list(folder.glob('round_002')) and not list(folder.glob('.*'))
  assert _lines(folder / 'ledger.jsonl')[2] == {
      'query': 'image-0', 'answer': {'text': 0},
      'annotators': {'bob': {'text': 0}}, 'sources': ['b.jsonl, line 1'],
      'reasons': {'bob': 'why'}}
  with pytest.raises(files.Waiting):
    _asks(oracle, [2], 'text')
  _give(folder, 'c.jsonl', _line('text-2', 8))
  assert _asks(oracle, [2], 'text').tolist() == [[8, 2]]
  query, = _lines(folder / 'round_002' / 'queries.jsonl')
  assert query['text'] == shown['text'][2]
  assert query['candidates']['image'][0]['file'] == 'images/image-2.png'


def test_half_answered_rounds_go_on_and_open_queries_are_asked_again(tmp_path):
  oracle = files.files(tmp_path, _shown(), enough=0.5)
  with pytest.raises(files.Waiting, match=r'0 of 3 .* 2 are needed.*round_001'):
    _asks(oracle, [1, 2, 3])
  _give(tmp_path, 'a.jsonl', _line('image-2', 4))
  with pytest.raises(files.Waiting, match='1 of 3'):
    _asks(oracle, [1, 2, 3])
  _give(tmp_path, 'b.jsonl', _line('image-1', 6))
  first = _asks(oracle, [1, 2, 3])
  assert first.tolist() == [[1, 6], [2, 4], [-1, -1]]
  assert oracle_lib.unanswered(first).tolist() == [False, False, True]
  # A later round: what is open is asked for without asking anybody.
  assert _asks(oracle, [3], suggest=None).tolist() == [[-1, -1]]
  assert _asks(oracle, [8], suggest=None).tolist() == [[-1, -1]]
  assert _asks(oracle, [], suggest=None).shape == (0, 2)
  with pytest.raises(files.Waiting, match='0 of 2.*round_001, round_002'):
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
  again = files.files(folder, _shown())
  assert _asks(again, [3], suggest=None).tolist() == [[3, 7]]
  with pytest.raises(files.Waiting, match='1 of 2'):
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


def test_every_problem_is_listed_and_nothing_applied(asked):
  folder, oracle = asked
  _give(folder, 'good.jsonl', _line('image-3', 7))
  _give(
      folder, 'bad.jsonl', _line('image-99', 1), _line('image-05', 1),
      _line('image-8', 1), _line('image-5', N), _line('image-5', -1),
      _line('image-5', 1.0), _line('image-5', True), _line('image-5', '7'),
      '{"query": "image-5", ', '[7]', _line('image-5', {'image': 3}),
      _line('image-5', 1, ' '), _line('image-5', 1, 'x', mood='bad'),
      {'query': 'image-5', 'annotator': 'ann'}, _line(7, 1),
      '{"query": "image-5", "answer": 1, "answer": 2, "annotator": "ann"}',
      _line('image-5', 1, 'x', reason=3), _line('image-5', [1]),
      _line('image-5', 1, '\ud800'))
  _give(folder, 'odd.txt')
  (folder / 'answers' / 'raw.jsonl').write_bytes(b'\xff\n')
  _give(folder, '.hidden', 'passed over')
  with pytest.raises(ValueError) as e:
    _asks(oracle, [5, 3, 0])
  text = str(e.value)
  for line in range(1, 20):
    assert text.count(f'bad.jsonl, line {line}:') == 1, (line, text)
  assert '21 problem(s)' in text
  for part in ('line 3: image-8 was never asked',
               "line 1: 'query' is 'image-99', no id of any item",
               'line 4: text 9 does not exist; there are 9',
               'line 6: text is 1.0, not an integer',
               'line 7: text is True, not an integer',
               'line 9: bad JSON', "line 13: unknown field 'mood'",
               'odd.txt: neither', 'raw.jsonl: not UTF-8'):
    assert part in text
  assert not (folder / 'ledger.jsonl').exists()
  for name in ('bad.jsonl', 'odd.txt', 'raw.jsonl'):
    (folder / 'answers' / name).unlink()
  assert _asks(oracle, [3]).tolist() == [[3, 7]]


def test_the_same_person_twice(asked):
  folder, oracle = asked
  _give(folder, 'a.jsonl', _line('image-3', 7), _line('image-3', 7))
  _give(folder, 'b.jsonl', _line('image-3', {'text': 7}))
  assert _asks(oracle, [3]).tolist() == [[3, 7]]
  _give(folder, 'c.jsonl', _line('image-5', 1))
  _give(folder, 'd.jsonl', '', _line('image-5', None))
  with pytest.raises(ValueError, match=(
      r"d.jsonl, line 2: ann answers image-5 by {'text': None}, but in "
      r"c.jsonl, line 1 by {'text': 1}")):
    _asks(oracle, [5])


def test_an_accepted_answer_cannot_be_changed(asked):
  folder, oracle = asked
  _give(folder, 'a.jsonl', _line('image-3', 7))
  _asks(oracle, [3])
  _give(folder, 'a.jsonl', _line('image-3', 6))
  for one in (oracle, files.files(folder, _shown())):
    with pytest.raises(ValueError, match=(
        r"a.jsonl, line 1: ann now .* {'text': 6}, but ledger.jsonl, line 1, "
        r"holds {'text': 7}")):
      _asks(one, [3])
  # Somebody else may disagree, and is too late.
  _give(folder, 'a.jsonl', _line('image-3', 7), _line('image-3', 6, 'bob'))
  assert _asks(oracle, [3]).tolist() == [[3, 7]]
  conflict, = _lines(folder / 'conflicts.jsonl')
  assert conflict['state'] == 'accepted before'


def test_people_who_disagree_are_told(asked):
  folder, oracle = asked
  _give(folder, 'a.jsonl', _line('image-3', 7), _line('image-3', 6, 'bob'),
        _line('image-5', 1), _line('image-5', 1, 'bob'))
  with pytest.raises(files.Waiting, match='1 of 2'):
    _asks(oracle, [3, 5])
  conflict, = _lines(folder / 'conflicts.jsonl')
  assert conflict == {
      'query': 'image-3', 'state': 'open',
      'answers': {'ann': {'text': 7}, 'bob': {'text': 6}},
      'sources': ['a.jsonl, line 1', 'a.jsonl, line 2']}
  _give(folder, 'a.jsonl', _line('image-3', 7), _line('image-3', 7, 'bob'))
  assert _asks(oracle, [3, 5]).tolist() == [[3, 7], [5, 1]]
  assert not (folder / 'conflicts.jsonl').exists()


def test_majority(tmp_path):
  oracle = files.files(tmp_path, _shown(), conflicts='majority', people=3)
  with pytest.raises(files.Waiting):
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
  oracle = files.files(tmp_path, _shown(MODALITIES), candidates=2)
  with pytest.raises(files.Waiting):
    _asks(oracle, [4, 6, 8], 'text')
  queries = _lines(tmp_path / 'round_001' / 'queries.jsonl')
  assert queries[0]['candidates'] == {
      'image': [{'item': 4, 'file': 'images/image-4.png'}],
      'sketch': [{'item': 4, 'text': 'item 4'}]}
  _give(tmp_path, 'bad.jsonl', _line('text-4', 3),
        _line('text-4', {'image': 3}),
        _line('text-4', {'image': 3, 'sketch': N + 2}))
  with pytest.raises(ValueError, match='3 problem'):
    _asks(oracle, [4], 'text')
  _give(tmp_path, 'bad.jsonl', _line('text-4', {'image': 3, 'sketch': N + 1}),
        _line('text-6', {'sketch': None, 'image': 0}), _line('text-8', None))
  assert _asks(oracle, [4, 6, 8], 'text').tolist() == [
      [3, 4, N + 1], [0, 6, -1], [-1, 8, -1]]


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

  oracle = files.files(tmp_path, _shown(), wait_seconds=12, sleep=sleep,
                       clock=lambda: now[0])
  assert _asks(oracle, [3]).tolist() == [[3, 7]]
  assert naps == [5, 5, 2]
  with pytest.raises(files.Waiting):
    _asks(oracle, [4])
  assert now[0] == 24 and naps[3:] == [5, 5, 2]
  now[0] = 0
  naps += [0] * 4
  with pytest.raises(ValueError, match='b.jsonl, line 1: bad JSON'):
    _asks(oracle, [5])
  assert now[0] == 10


def test_folders_of_other_pools_are_refused(asked):
  folder, _ = asked
  swapped = _shown()
  swapped['text'][0], swapped['text'][1] = swapped['text'][1::-1]
  for other in (swapped, _shown(seed=1), _shown(MODALITIES),
                _shown(MODALITIES[1::-1])):
    with pytest.raises(ValueError, match='pools.json is of other items'):
      files.files(folder, other)
  (folder / 'pools.json').unlink()
  with pytest.raises(ValueError, match='pools.json is gone'):
    files.files(folder, _shown())


@pytest.mark.parametrize('link', [False, True])
def test_image_files_are_shown_as_they_are(tmp_path, link):
  rng = np.random.default_rng(0)
  paths = [tmp_path / f'{i}.webp' for i in range(N)]
  for path in paths:
    noise = rng.integers(256, size=(9, 7, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path, lossless=True)
  shown = {'image': image_files.ImageFiles(paths, preprocess.Preprocess(4, 4)),
           'text': _shown()['text']}
  folder = tmp_path / 'a folder'
  oracle = files.files(folder, shown, candidates=3, link=link)
  with pytest.raises(files.Waiting):
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
        np.arange(N)[::-1])))


@pytest.mark.parametrize('arguments,match', [
    ({'candidates': 0}, 'candidates=0'), ({'enough': 1.5}, 'enough=1.5'),
    ({'enough': float('nan')}, 'enough=nan'), ({'people': 0}, 'people=0'),
    ({'wait_seconds': -1}, 'wait_seconds=-1'),
    ({'conflicts': 'first'}, "conflicts='first'")])
def test_arguments_out_of_range(tmp_path, arguments, match):
  with pytest.raises(ValueError, match=match):
    files.files(tmp_path, _shown(), **arguments)


@pytest.mark.parametrize('change,error,match', [
    ({'text': 'abc'}, TypeError, 'text'),
    ({'text': [b'a']}, TypeError, 'bytes'),
    ({'text': []}, ValueError, 'no items'),
    ({'text': ['\ud800']}, ValueError, 'text 0 cannot be written'),
    ({'image': np.zeros((3, 2, 2, 3))}, TypeError, 'float64'),
    ({'image': np.zeros((3, 2, 2, 4), np.uint8)}, TypeError, 'uint8'),
    ({'../x': ['a']}, ValueError, 'modality=')])
def test_what_cannot_be_shown(tmp_path, change, error, match):
  with pytest.raises(error, match=match):
    files.files(tmp_path / 'new', {**_shown(), **change})
  assert not (tmp_path / 'new' / 'pools.json').exists()


def test_numbers_that_do_not_exist(asked):
  folder, oracle = asked
  for numbers, modality in (([N], 'image'), ([-1], 'image'), ([0], 'sound'),
                            ([[0]], 'image')):
    with pytest.raises(ValueError, match='numbers|modality'):
      _asks(oracle, numbers, modality)
  for found in (np.full((1, 2), N), np.zeros((2, 2), int), np.zeros((1, 2))):
    with pytest.raises(ValueError, match='suggest'):
      _asks(oracle, [1], suggest=lambda *_, found=found: found)
  assert len(list(folder.glob('round_*'))) == 1


def test_one_modality_is_not_enough(tmp_path):
  with pytest.raises(ValueError, match='two are needed'):
    files.files(tmp_path, _shown(('text',)))
