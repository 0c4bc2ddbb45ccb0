"""Two processes tell one another what one of them knows."""

import json
import pathlib
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest

from mmal_jax.oracles import shared
from mmal_jax.parallel import processes
from tests.support import ports

_ROOT = pathlib.Path(__file__).parents[2]
_SECONDS = 120


@pytest.fixture(name='both', scope='module')
def _both(tmp_path_factory):
  """What each received."""
  folder = tmp_path_factory.mktemp('both')
  port = ports.free()
  started = [
      subprocess.Popen(
          [sys.executable, '-m', 'tests.support.two_processes_talk',
           str(i), str(port), str(folder)], cwd=_ROOT, text=True,
          stdout=subprocess.PIPE, stderr=subprocess.PIPE) for i in range(2)]
  try:
    ends = [process.communicate(timeout=_SECONDS) for process in started]
  finally:
    for process in started:
      process.kill()
  assert [p.returncode for p in started] == [0, 0], [e for _, e in ends]
  # The library for collectives prints to stdout as well.
  return [next(json.loads(line) for line in out.splitlines()
               if line.startswith('{')) for out, _ in ends]


@pytest.mark.long
def test_all_hear_what_the_first_one_says(both):
  assert [said['first'] for said in both] == [True, False]
  assert [said['here'] for said in both] == [3, None]
  assert [said['each'] for said in both] == [0, 1]
  for said in both:
    assert said['sizes'] == [0, 1, 5000]
    assert said['of each'] == ['', 'x' * 2000]
    assert said['late'] == 'late'
    assert said['votes'] == [[False, False], [True, False], [True, True]]


def test_one_asks_for_all(both):
  assert [said['asked'] for said in both] == [['image'], []]
  for said in both:
    assert said['answers'] == [[0, 4], [1, 5], [2, 6]]


def test_what_one_raises_all_raise(both):
  for said in both:
    assert said['raised'][:2] == [
        ['ValueError', 'in use'], ['Waiting', '2 of 3 are open.']]
    # What cannot be sent is an error, too, and no reason to wait.
    assert said['raised'][2][0] in ('AttributeError', 'PicklingError')
    assert said['left'] == ['Enough', 'now']


def test_what_is_large_comes_to_hosts_in_parts(both):
  for said in both:
    assert said['on host'] == [True, True]


def test_checkpoints_are_sealed_and_chosen_for_all(both):
  for said in both:
    assert said['steps'] == [2, 3]
    assert said['newest'] == 2  # The primary damaged the other.
    assert said['same'] and said['where']
    assert said['again'] == 'ValueError'
    assert said['alone'] == 'FileNotFoundError'


def test_one_process_says_it_to_itself():
  kept = object()  # Nothing that could be sent.
  assert not processes.are_several() and processes.is_primary()
  assert processes.from_primary(lambda: kept) is kept
  assert processes.at_primary(lambda: kept) is kept
  assert processes.primary_first(lambda: kept) is kept
  for said in (False, True):
    assert processes.any_process(said) is processes.all_processes(said) is said
  x = jax.numpy.arange(3)
  np.testing.assert_array_equal(processes.whole(x), [0, 1, 2])
  numbers = np.arange(2)
  asked = shared.shared(lambda *arguments: arguments)('text', numbers, len)
  assert asked == ('text', numbers, len)


def test_processes_that_have_not_joined_are_refused(monkeypatch):
  # As libtpu finds the other hosts of a slice, whether they are there or not.
  monkeypatch.setattr(jax, 'process_count', lambda: 4)
  with pytest.raises(ValueError, match='finds 4 processes.* --multihost'):
    processes.check_same('settings')


class _Odd(Exception):
  """Of those that `pickle` writes, and cannot read."""

  def __init__(self, one, other):
    super().__init__(f'{one} and {other}')


@pytest.mark.parametrize('error, kind, text', [
    (ValueError('plain'), ValueError, 'plain'),
    (_Odd(1, 2), RuntimeError, '_Odd: 1 and 2'),
    (OSError(lambda: None), RuntimeError, 'OSError: ')])
def test_any_error_can_be_sent(error, kind, text):
  def work():
    raise error

  value, sent = pickle.loads(processes._result(work))
  assert value is None and type(sent) is kind and text in str(sent)
