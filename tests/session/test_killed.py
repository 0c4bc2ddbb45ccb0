"""A session whose program dies, at any time: no answer is lost, none asked for
twice.
"""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mmal_jax.session import folder as folder_lib
from mmal_jax.session import session as session_lib
from mmal_jax.session import state as state_lib
from tests.session import known
from tests.support import killed_session

_KILLS, _ITEMS = 20, 400


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


def _answered(session) -> set[tuple[str, int]]:
  return {*state_lib.answered(session._state)}


def _check(session, hidden) -> None:
  """All answers are right, and those of a session that was never disturbed."""
  true = {tuple(row) for row in hidden.tuples.tolist()}
  assert {tuple(row) for row in session.known.tolist()} <= true
  order = list(state_lib.asked(session._state))
  undisturbed = known.session(hidden)
  while len(state_lib.asked(undisturbed._state)) < len(order):
    known.tell_all(hidden, undisturbed, undisturbed.ask(killed_session.BATCH))
  assert order == list(state_lib.asked(undisturbed._state))


def _killed(folder, rng) -> list[list[str]]:
  """What a program said until it was killed, at a moment of its own progress.

  Not by a clock: machines differ by more than ten times.
  """
  process = subprocess.Popen(
      [sys.executable, '-m', 'tests.support.killed_session', str(folder),
       str(_ITEMS)], stdout=subprocess.PIPE, text=True)
  assert process.stdout.readline() == 'ready\n'
  lines, gap = [], 1.0
  for _ in range(rng.randint(0, 12)):
    before = time.monotonic()
    lines.append(process.stdout.readline())
    gap = time.monotonic() - before
  time.sleep(rng.uniform(0, gap))  # Within what comes next, as far as is known.
  os.kill(process.pid, signal.SIGKILL)
  rest, _ = process.communicate()
  assert process.returncode == -signal.SIGKILL
  return [line.split() for line in [*lines, *rest.splitlines()]]


@pytest.mark.slow
@pytest.mark.long
def test_twenty_kills_at_random_moments(tmp_path):
  hidden, rng = known.hidden(_ITEMS), random.Random(0)
  known.session(hidden, folder=tmp_path / 's').close()
  told: set[tuple[str, int]] = set()
  counts = []
  for _ in range(_KILLS):
    before = set(told)
    for what, modality, number in _killed(tmp_path / 's', rng):
      item = modality, int(number)
      if what == 'asked':
        assert item not in before
      else:
        assert item not in told
        told.add(item)
    with session_lib.Session.load(tmp_path / 's') as session:
      answered = _answered(session)
      assert told <= answered
      # What was written when the kill came is no question any more.
      assert not answered & {*known.names(session.ask(3))}
      told |= answered
    counts.append(len(told))
  print(f'answers after each kill: {counts}')
  assert counts[-1] > _KILLS
  _check(session_lib.Session.load(tmp_path / 's'), hidden)


class _Killed(BaseException):
  """In place of SIGKILL."""


@pytest.mark.long
def test_a_death_at_any_write(tmp_path, monkeypatch):
  """Before each write is on the disk, one after another."""
  hidden, last, moment = known.hidden(40), False, 0
  while not last:
    moment += 1
    left = [moment]

    def sync(descriptor, left=left):
      del descriptor
      left[0] -= 1
      if left[0] == 0:
        raise _Killed

    folder, told = tmp_path / str(moment), set()
    with monkeypatch.context() as patch:
      patch.setattr(os, 'fsync', sync)
      try:
        session = known.session(hidden, folder=folder)
        for _ in range(2):
          for question in session.ask(killed_session.BATCH):
            session.tell({question: hidden.answer(question)})
            told.add((question.modality, question.number))
        last = left[0] > 0
      except BaseException as e:  # pylint: disable=broad-exception-caught
        assert isinstance(e, _Killed) or '_Killed' in str(e), e
    if (folder / folder_lib.SESSION).exists():
      session = session_lib.Session.load(folder)
    else:
      assert not told
      session = known.session(hidden, folder=folder)
    assert told <= _answered(session)
    while len(state_lib.asked(session._state)) < 9:
      asked = known.names(session.ask(killed_session.BATCH))
      assert not {*asked} & told
      known.tell_all(hidden, session, session.ask())
      told |= {*asked}
    assert len(session.known) == 9
    np.testing.assert_array_equal(
        session.known, session_lib.Session.load(folder).known)
    if moment % 10 == 1 or last:
      _check(session, hidden)
  assert moment > 15
