"""One program at a time in a folder, whatever becomes of it."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from mmal_jax.experiment import preemption
from mmal_jax.files import durable
from mmal_jax.files import lock
from mmal_jax.oracles import journal

_HOLDER = '''
import sys, time
from mmal_jax.files import lock
with lock.exclusive(sys.argv[1]):
  print("held", flush=True)
  time.sleep(60)
'''


def test_a_second_program_is_refused_and_the_first_named(tmp_path):
  with subprocess.Popen([sys.executable, '-c', _HOLDER, tmp_path],
                        stdout=subprocess.PIPE, text=True) as first:
    assert first.stdout.readline() == 'held\n'
    with pytest.raises(ValueError, match=f'in use by process {first.pid} on'):
      with lock.exclusive(tmp_path):
        pass
    first.kill()
  # The lock of a program that was killed keeps no other out.
  assert (tmp_path / lock.NAME).read_text()
  for _ in range(2):
    with lock.exclusive(tmp_path):
      assert f'process {os.getpid()} on' in (tmp_path / lock.NAME).read_text()
    assert not (tmp_path / lock.NAME).read_text()


def test_a_signal_counts_once_and_then_as_before():
  before = signal.getsignal(signal.SIGTERM)
  with pytest.raises(preemption.Preempted):
    with preemption.listening() as notice:
      notice.raise_if_given()
      try:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
      finally:
        os.kill(os.getpid(), signal.SIGTERM)  # while it tidies up
  assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_is_swallowed_counts_later():
  with preemption.listening() as notice:
    try:
      os.kill(os.getpid(), signal.SIGTERM)
      signal.pause()
    except preemption.Preempted:
      pass  # As by a callback that lets nothing through.
    with pytest.raises(preemption.Preempted):
      notice.raise_if_given()


@pytest.fixture(name='interruptible')
def _interruptible():
  """Of a program in the background, Ctrl-C may be ignored."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize('number, error', [
    (signal.SIGTERM, preemption.Preempted), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_that_is_deferred_counts_afterwards(
    number, error, interruptible):
  del interruptible
  done = []
  with preemption.listening():
    with pytest.raises(error):
      with preemption.deferred():
        os.kill(os.getpid(), number)
        for _ in range(10_000):  # Python handles it between its steps.
          done.append(1)
  assert len(done) == 10_000


@pytest.mark.parametrize('kind', ['link', 'hard link', 'dangling', 'pipe'])
@pytest.mark.parametrize('write', [
    lambda folder: contextlib.ExitStack().enter_context(lock.exclusive(folder)),
    lambda folder: durable.append(folder / lock.NAME, '{}\n'),
    lambda folder: journal.Journal(
        folder / lock.NAME, lambda *_: np.zeros((1, 2), np.int32),
        ('image', 'text'))('image', np.zeros(1, np.int32))])
def test_what_a_link_leads_to_is_not_touched(tmp_path, kind, write):
  folder, precious = tmp_path / 'shared', tmp_path / 'thesis.tex'
  folder.mkdir()
  if kind != 'dangling':
    precious.write_text('')
  name = folder / lock.NAME
  if kind == 'hard link':
    name.hardlink_to(precious)
  elif kind == 'pipe':
    os.mkfifo(name)
  else:
    name.symlink_to(precious)
  with pytest.raises(ValueError, match='owner is (a symbolic link|a hard link|'
                                       'no regular file)'):
    write(folder)
  assert kind == 'dangling' and not precious.exists() or (
      not precious.read_text())


def test_a_draft_that_is_a_link_is_replaced_and_not_followed(tmp_path):
  precious = tmp_path / 'thesis.tex'
  precious.write_text('years of work')
  (tmp_path / '.a.json.draft').symlink_to(precious)
  durable.write(tmp_path / 'a.json', '{}')
  assert precious.read_text() == 'years of work'
  assert (tmp_path / 'a.json').read_text() == '{}'


def test_a_link_that_is_exchanged_is_never_read_outside(tmp_path):
  folder, outside = tmp_path / 'answers', tmp_path / 'password'
  folder.mkdir()
  outside.write_text('secret')
  (folder / 'good').write_text('answer')
  link, stop = folder / 'a.jsonl', threading.Event()
  link.symlink_to('good')

  def exchange():
    for target in itertools.cycle([outside, 'good']):
      if stop.is_set():
        return
      (folder / 'new').symlink_to(target)
      os.replace(folder / 'new', link)

  thread = threading.Thread(target=exchange)
  thread.start()
  found = []
  try:
    for _ in range(3000):
      with contextlib.suppress(ValueError):
        found.append(durable.read(link, within=folder.resolve()))
  finally:
    stop.set()
    thread.join()
  assert set(found) == {b'answer'}
