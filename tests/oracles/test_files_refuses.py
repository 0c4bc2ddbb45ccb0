"""What the oracle of people refuses, and how it says so."""

import json

import numpy as np
import pytest

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import files
from tests.support import people

_asks, _give, _line, _lines = (
    people.asks, people.give, people.line, people.lines)


@pytest.fixture(name='asked')
def _asked(tmp_path):
  return tmp_path, people.waiting(tmp_path)


def test_every_problem_is_listed_and_nothing_applied(asked):
  folder, oracle = asked
  _give(folder, 'good.jsonl', _line('image-3', 7))
  _give(
      folder, 'bad.jsonl', _line('image-99', 1), _line('image-05', 1),
      _line('image-8', 1), _line('image-5', people.N), _line('image-5', -1),
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
  assert '20 problem(s)' in text
  for part in ('line 3: image-8 was never asked',
               "line 1: 'query' is 'image-99', no id of any item",
               'line 4: text 9 does not exist; there are 9',
               'line 6: text is 1.0, not an integer',
               'line 7: text is true, not an integer',
               'line 9: bad JSON', "line 13: unknown field 'mood'",
               'raw.jsonl: not UTF-8'):
    assert part in text
  assert not (folder / 'ledger.jsonl').exists()
  for name in ('bad.jsonl', 'raw.jsonl'):
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
      'd.jsonl, line 2: ann answers image-5 by no text, but in '
      'c.jsonl, line 1 by text 1: remove one of the two')):
    _asks(oracle, [5])


def test_blanks_around_a_name_make_no_second_person(tmp_path):
  oracle = files.files(tmp_path, people.shown(), people=2)
  with pytest.raises(oracle_lib.Waiting):
    _asks(oracle, [3])
  _give(tmp_path, 'a.jsonl', _line('image-3', 7), _line('image-3', 7, 'ann '))
  with pytest.raises(oracle_lib.Waiting):
    _asks(oracle, [3])
  _give(tmp_path, 'b.jsonl', _line('image-3', 7, ' bob'))
  assert _asks(oracle, [3]).tolist() == [[3, 7]]


def test_an_accepted_answer_cannot_be_changed(asked):
  folder, oracle = asked
  _give(folder, 'a.jsonl', _line('image-3', 7))
  _asks(oracle, [3])
  _give(folder, 'a.jsonl', _line('image-3', 6))
  for one in (oracle, files.files(folder, people.shown())):
    with pytest.raises(ValueError, match=(
        'a.jsonl, line 1: ann now .* text 6, but ledger.jsonl, line 1, '
        'holds text 7: .* Put the earlier answer back')):
      _asks(one, [3])
  # Another annotator may disagree, and is too late.
  _give(folder, 'a.jsonl', _line('image-3', 7), _line('image-3', 6, 'bob'))
  assert _asks(oracle, [3]).tolist() == [[3, 7]]
  conflict, = _lines(folder / 'conflicts.jsonl')
  assert conflict['state'] == 'accepted before'


def test_folders_of_other_pools_are_refused(asked):
  folder, _ = asked
  swapped = people.shown()
  swapped['text'][0], swapped['text'][1] = swapped['text'][1::-1]
  turned = people.shown()
  turned['image'] = turned['image'].reshape(people.N, 5, 6, 3)
  for other in (swapped, turned, people.shown(seed=1),
                people.shown(people.MODALITIES),
                people.shown(people.MODALITIES[1::-1])):
    with pytest.raises(ValueError, match='pools.json is of other items'):
      files.files(folder, other)
  (folder / 'pools.json').unlink()
  with pytest.raises(ValueError, match='pools.json is gone'):
    files.files(folder, people.shown())


@pytest.mark.parametrize('arguments,match', [
    ({'candidates': 0}, 'candidates=0'), ({'enough': 1.5}, 'enough=1.5'),
    ({'enough': float('nan')}, 'enough=nan'), ({'people': 0}, 'people=0'),
    ({'wait_seconds': -1}, 'wait_seconds=-1'),
    ({'conflicts': 'first'}, "conflicts='first'")])
def test_arguments_out_of_range(tmp_path, arguments, match):
  with pytest.raises(ValueError, match=match):
    files.files(tmp_path, people.shown(), **arguments)


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
    files.files(tmp_path / 'new', {**people.shown(), **change})
  assert not (tmp_path / 'new' / 'pools.json').exists()


def test_numbers_that_do_not_exist(asked):
  folder, oracle = asked
  for numbers, modality in (([people.N], 'image'), ([-1], 'image'),
                            ([0], 'sound'), ([[0]], 'image')):
    with pytest.raises(ValueError, match='numbers|modality'):
      _asks(oracle, numbers, modality)
  for found in (np.full((1, 2), people.N), np.zeros((2, 2), int),
                np.zeros((1, 2))):
    with pytest.raises(ValueError, match='suggest'):
      _asks(oracle, [1], suggest=lambda *_, found=found: found)
  assert len(list(folder.glob('round_*'))) == 1


@pytest.mark.parametrize('candidates', [
    None, 7, [], {'text': 3.5}, {'text': None}, {'text': [[]]},
    {'text': [{}]}, {'text': [{'item': '4'}]}, {'text': {'item': 4}}])
def test_candidates_that_were_changed_are_named(asked, candidates):
  folder, oracle = asked
  path = folder / 'round_001' / 'queries.jsonl'
  first, *others = path.read_text().splitlines()
  path.write_text('\n'.join([json.dumps(
      json.loads(first) | {'candidates': candidates}), *others]))
  _give(folder, 'ann.jsonl', _line('image-5', 1))
  with pytest.raises(ValueError, match='queries.jsonl, line 1: "candidates"'):
    _asks(oracle, [5, 3, 0])


def test_one_modality_is_not_enough(tmp_path):
  with pytest.raises(ValueError, match='two are needed'):
    files.files(tmp_path, people.shown(('text',)))
