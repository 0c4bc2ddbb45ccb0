"""A run computed anew hears what it heard before, whatever has come since."""

import os
import stat

import ml_collections
import numpy as np
import pytest

from experiments import annotators
from mmal_jax.align import oracle as oracle_lib
from mmal_jax.align.people import files
from mmal_jax.data import schema
from tests import people
from tests import tiny

_asks, _give, _line, _lines = (
    people.asks, people.give, people.line, people.lines)
_FIRST, _SECOND = [[1, 6], [-1, -1]], [[-1, -1]]


def _make(folder, run='run', enough=0.5):
  return files.files(folder, people.shown(), enough=enough, run=run)


@pytest.fixture(name='logged')
def _logged(tmp_path):
  """A run of two calls; then the rest of the answers have come."""
  oracle = _make(tmp_path)
  with pytest.raises(oracle_lib.Waiting):
    _asks(oracle, [1, 2])
  assert not (tmp_path / 'calls_run.jsonl').exists()
  _give(tmp_path, 'a.jsonl', _line('image-1', 6))
  assert _asks(oracle, [1, 2]).tolist() == _FIRST
  assert _asks(oracle, [2], suggest=None).tolist() == _SECOND
  _give(tmp_path, 'b.jsonl', _line('image-2', 4))
  return tmp_path, oracle


def test_a_call_returns_what_it_returned(logged):
  folder, oracle = logged
  log = folder / 'calls_run.jsonl'
  assert _lines(log) == [
      {'call': 0, 'modality': 'image', 'numbers': [1, 2], 'new': True,
       'answered': ['image-1']},
      {'call': 1, 'modality': 'image', 'numbers': [2], 'new': False,
       'answered': []}]
  before = log.read_text()
  # Also with more to wait for, and with a line that a crash cut off.
  log.write_text(before + '{"call": 2, "moda')
  again = _make(folder, enough=1)
  answers = _asks(again, [1, 2])
  assert answers.dtype == np.int32 and answers.tolist() == _FIRST
  assert _asks(again, [2], suggest=None).tolist() == _SECOND
  # From here on nothing is known.
  for one in (again, oracle):
    assert _asks(one, [2], suggest=None).tolist() == [[2, 4]]
  assert len(_lines(log)) == 3 and log.read_text().startswith(before)
  assert len(list(folder.glob('round_*'))) == 1


def test_a_last_line_without_its_newline_counts(logged):
  folder, _ = logged
  for name in ('ledger.jsonl', 'calls_run.jsonl'):
    path = folder / name
    path.write_bytes(path.read_bytes().rstrip(b'\n'))
  again = _make(folder)
  assert _asks(again, [1, 2]).tolist() == _FIRST
  assert _asks(again, [2], suggest=None).tolist() == _SECOND
  assert _asks(again, [2], suggest=None).tolist() == [[2, 4]]
  assert [line['query'] for line in _lines(folder / 'ledger.jsonl')] == [
      'image-1', 'image-2']


@pytest.mark.parametrize('numbers, modality, suggest', [
    ([1, 2], 'image', None), ([2, 1], 'image', people.suggest),
    ([1], 'image', people.suggest), ([1, 2], 'text', people.suggest)])
def test_another_call_makes_it_another_run(logged, numbers, modality, suggest):
  folder, _ = logged
  log = folder / 'calls_run.jsonl'
  _give(folder, 'c.jsonl', _line('image-1', 6))
  again = _make(folder)
  if modality == 'text':
    with pytest.raises(oracle_lib.Waiting):
      _asks(again, numbers, modality, suggest)
    assert not _lines(log)
    _give(folder, 'd.jsonl', _line('text-1', 0), _line('text-2', 0))
  found = _asks(again, numbers, modality, suggest)
  assert (found >= 0).all()  # late ones, too
  line, = _lines(log)
  assert (line['numbers'], line['new']) == (numbers, suggest is not None)
  # What followed then is dropped: the same call is a fresh one.
  assert _asks(again, [2], suggest=None).tolist() == [[2, 4]]
  assert len(_lines(log)) == 2
  assert _asks(_make(folder), numbers, modality, suggest).tolist() == (
      found.tolist())


def test_a_later_call_that_differs_keeps_those_before(logged):
  folder, _ = logged
  log = folder / 'calls_run.jsonl'
  first = log.read_text().splitlines()[0]
  again = _make(folder)
  assert _asks(again, [1, 2]).tolist() == _FIRST
  assert _asks(again, [1], suggest=None).tolist() == [[1, 6]]
  kept, fresh = log.read_text().splitlines()
  assert kept == first and '"numbers": [1]' in fresh


def test_runs_share_answers_and_have_logs_of_their_own(logged):
  folder, _ = logged
  names = ('../up', 'a b/ü', 'a%20b')
  for name in names:
    assert _asks(_make(folder, name), [1, 2]).tolist() == [[1, 6], [2, 4]]
  assert len(list(folder.glob('calls_*.jsonl'))) == len(names) + 1
  assert not list(folder.parent.glob('up*'))
  assert _asks(_make(folder), [1, 2]).tolist() == _FIRST
  assert len(list(folder.glob('round_*'))) == 1


def test_no_call_returns_before_the_disk_has_it(logged, monkeypatch):
  folder, oracle = logged
  log = folder / 'calls_run.jsonl'

  def full(descriptor):
    there = os.fstat(descriptor)
    if stat.S_ISREG(there.st_mode) and there.st_ino == log.stat().st_ino:
      raise OSError('no space left')

  with monkeypatch.context() as patch:
    patch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='no space'):
      _asks(oracle, [2], suggest=None)
  assert 'image-2' in (folder / 'ledger.jsonl').read_text()
  assert _asks(oracle, [2], suggest=None).tolist() == [[2, 4]]
  assert [x['call'] for x in _lines(log)] == [0, 1, 2]


@pytest.mark.parametrize('change, match', [
    (lambda lines: lines[1:], 'line 1: call 1 stands where 0 should'),
    (lambda lines: [lines[0], lines[0]], 'line 2: call 0 .* 1 should'),
    (lambda lines: ['nonsense'], 'line 1: bad JSON'),
    (lambda lines: ['{"call": 0}'], 'line 1: damaged: modality is None'),
    (lambda lines: [lines[0].replace('[1, 2]', '3')], 'damaged: numbers is 3')])
def test_a_damaged_log_is_refused(logged, change, match):
  folder, _ = logged
  log = folder / 'calls_run.jsonl'
  text = '\n'.join(change(log.read_text().splitlines())) + '\n'
  log.write_text(text)
  with pytest.raises(ValueError, match=f'(?s)calls_run.jsonl has .*{match}'):
    _asks(_make(folder), [1, 2])
  assert log.read_text() == text


def test_a_ledger_that_is_gone_is_missed(logged):
  folder, _ = logged
  (folder / 'ledger.jsonl').unlink()
  with pytest.raises(ValueError, match='answer to image-1 is gone, and calls_'):
    _asks(_make(folder), [1, 2])


def test_an_experiment_s_runs_are_known_by_their_strategies(
    tiny_run, tmp_path):
  config = ml_collections.ConfigDict(
      {'oracle': {'name': 'files', 'folder': str(tmp_path), 'enough': 0.0}})
  pairs = tiny.feature_pairs(40, 1)
  for strategy in ('mmal', 'coreset'):
    oracle = annotators.make_oracle(
        config, tiny_run.pools, tiny_run.hidden, 0,
        lambda: schema.Dataset('tiny', pairs, pairs), strategy)
    _asks(oracle, [3, 4])
  assert {path.name for path in (tmp_path / 'seed0').glob('calls_*')} == {
      'calls_mmal.jsonl', 'calls_coreset.jsonl'}
