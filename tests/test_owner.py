"""One program at a time in a folder, whatever becomes of it."""

import os
import signal
import subprocess
import sys

import pytest

from experiments import owner
from experiments import preemption

_HOLDER = '''
import sys, time
from experiments import owner
with owner.sole(sys.argv[1]):
  print("held", flush=True)
  time.sleep(60)
'''


def test_a_second_program_is_refused_and_told_of_the_first(tmp_path):
  with subprocess.Popen([sys.executable, '-c', _HOLDER, tmp_path],
                        stdout=subprocess.PIPE, text=True) as first:
    assert first.stdout.readline() == 'held\n'
    with pytest.raises(ValueError, match=f'in use by process {first.pid} on'):
      with owner.sole(tmp_path):
        pass
    first.kill()
  # What a dead one has left behind keeps nobody out.
  assert (tmp_path / owner.NAME).read_text()
  for _ in range(2):
    with owner.sole(tmp_path):
      assert f'process {os.getpid()} on' in (tmp_path / owner.NAME).read_text()
    assert not (tmp_path / owner.NAME).read_text()


def test_a_signal_is_heard_once_and_then_as_before():
  before = signal.getsignal(signal.SIGTERM)
  with pytest.raises(preemption.Preempted):
    with preemption.heard() as notice:
      notice.heed()
      try:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
      finally:
        os.kill(os.getpid(), signal.SIGTERM)  # while it tidies up
  assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_is_swallowed_is_heeded_later():
  with preemption.heard() as notice:
    try:
      os.kill(os.getpid(), signal.SIGTERM)
      signal.pause()
    except preemption.Preempted:
      pass  # As by a callback that lets nothing through.
    with pytest.raises(preemption.Preempted):
      notice.heed()


@pytest.fixture(name='interruptible')
def _interruptible():
  """Of a program in the background, Ctrl-C may be ignored."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize('number, error', [
    (signal.SIGTERM, preemption.Preempted), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_that_is_held_is_heard_afterwards(
    number, error, interruptible):
  del interruptible
  done = []
  with preemption.heard():
    with pytest.raises(error):
      with preemption.held():
        os.kill(os.getpid(), number)
        for _ in range(10_000):  # Python hears of it between its steps.
          done.append(1)
  assert len(done) == 10_000
