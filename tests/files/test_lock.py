"""One program at a time in a folder, whatever becomes of it."""

import contextlib
import fcntl
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

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


# Its `flock` is of no use, as where a vanished host has it for ever (NFSv3).
_ON_NFS = '''
import sys, time
from mmal_jax.files import lock
lock.BEAT_SECONDS = 0.1
lock._try_flock = lambda file: False
lock._lives = lambda said, free: False
if len(sys.argv) > 2:
  lock._here = lambda: ('elsewhere', 'another boot', 'pid:[1]')
with lock.exclusive(sys.argv[1]):
  print("held", flush=True)
  time.sleep(600)
'''


@contextlib.contextmanager
def _holder(folder, *more):
  """A program that holds a folder by its signs of life alone."""
  with subprocess.Popen(
      [sys.executable, '-c', _ON_NFS, folder, *more], text=True,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
    assert process.stdout.readline() == 'held\n', process.stderr.read()
    try:
      yield process
    finally:
      process.kill()


@pytest.fixture(name='held_elsewhere')
def _held_elsewhere(monkeypatch):
  """Locks for which `flock` says that another host has them."""
  monkeypatch.setattr(lock, 'BEAT_SECONDS', 0.1)
  monkeypatch.setattr(lock, '_LOOK_SECONDS', 0.05)
  monkeypatch.setattr(lock, '_SETTLED_SECONDS', 0.3)
  monkeypatch.setattr(lock, '_try_flock', lambda file: False)


def test_a_host_that_lives_is_not_taken_over(tmp_path, held_elsewhere):
  del held_elsewhere
  with _holder(tmp_path, 'elsewhere') as process:
    for _ in range(3):
      with pytest.raises(lock.InUse, match=f'process {process.pid} on'):
        with lock.exclusive(tmp_path):
          pass


def test_a_host_that_vanished_is_taken_over_after_missed_beats(
    tmp_path, held_elsewhere, caplog):
  del held_elsewhere
  with _holder(tmp_path, 'elsewhere') as process:
    process.kill()
    process.wait()
  started = time.monotonic()
  with lock.exclusive(tmp_path):
    assert time.monotonic() - started > lock.MISSED * 0.1
    assert f'process {os.getpid()} on' in (tmp_path / lock.NAME).read_text()
  assert f'was in use by process {process.pid} on ' in caplog.text
  assert 'has given no sign of life for 2 seconds: it is taken' in caplog.text
  assert not (tmp_path / lock.NAME).read_text()


def test_a_dead_process_of_this_host_is_taken_over_at_once(
    tmp_path, held_elsewhere, caplog):
  del held_elsewhere
  with _holder(tmp_path) as process:
    process.kill()
    process.wait()
  started = time.monotonic()
  with lock.exclusive(tmp_path):
    assert time.monotonic() - started < lock.MISSED * 0.1
  assert 'which is dead: it is taken over' in caplog.text


def test_who_takes_over_gives_way_to_who_did_so_later(tmp_path, monkeypatch):
  """Though the system gave it the lock: the other had read of the dead one."""
  with _holder(tmp_path) as process:
    process.kill()
    process.wait()
  path = tmp_path / lock.NAME
  later = path.read_bytes().replace(b'process ', b'process 1')

  def slept(seconds):
    del seconds
    path.write_bytes(later)

  monkeypatch.setattr(lock.time, 'sleep', slept)
  with pytest.raises(lock.InUse, match='has just taken it over'):
    with lock.exclusive(tmp_path):
      pass


def test_a_copy_of_a_folder_in_use_is_free(tmp_path):
  one, copy = tmp_path / 'one', tmp_path / 'copy'
  one.mkdir()
  with _holder(one):
    shutil.copytree(one, copy)
    with lock.exclusive(copy):
      pass


def test_an_earlier_start_of_this_host_holds_nothing(tmp_path):
  with _holder(tmp_path) as process:
    process.kill()
    process.wait()
  path = tmp_path / lock.NAME
  boot = lock._here()[1]
  path.write_bytes(path.read_bytes().replace(
      boot.encode(), b'0' * len(boot)) if boot else path.read_bytes())
  started = time.monotonic()
  with lock.exclusive(tmp_path):
    assert time.monotonic() - started < 2 * lock._SETTLED_SECONDS


def test_a_live_process_of_this_host_is_refused_at_once(tmp_path):
  """It may be still for long, and gives no sign of life."""
  with _holder(tmp_path) as process:
    os.kill(process.pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(lock.InUse, match=f'process {process.pid} on'):
      with lock.exclusive(tmp_path):
        pass
    assert time.monotonic() - started < 1


def test_another_process_of_the_same_number_is_not_the_holder(tmp_path):
  with _holder(tmp_path) as process:
    path = tmp_path / lock.NAME
    text = path.read_text()
    os.kill(process.pid, signal.SIGSTOP)
    start = lock._state_of(process.pid)[1]  # pylint: disable=protected-access
    path.write_text(text.replace(f'"{start}"', f'"{int(start) - 1}"'))
    with lock.exclusive(tmp_path):
      pass


def test_a_holder_that_was_taken_over_ends_and_writes_nothing(
    tmp_path, held_elsewhere):
  del held_elsewhere
  with _holder(tmp_path, 'elsewhere') as process:
    os.kill(process.pid, signal.SIGSTOP)
    with lock.exclusive(tmp_path):
      mine = (tmp_path / lock.NAME).read_text().partition('\n')[0]
      os.kill(process.pid, signal.SIGCONT)
      process.wait()
      assert (tmp_path / lock.NAME).read_text().startswith(mine)
    said = process.stderr.read()
  assert process.returncode == 1
  assert said.splitlines()[-1].startswith('error: ')
  assert f'was taken over by process {os.getpid()} on' in said


def test_of_two_that_take_over_at_once_one_has_it(tmp_path, held_elsewhere):
  del held_elsewhere
  with _holder(tmp_path) as process:
    process.kill()
    process.wait()
  got, refused, done = [], [], threading.Barrier(3)

  def take():
    done.wait()
    try:
      with lock.exclusive(tmp_path):
        got.append(1)
        time.sleep(1)
    except lock.InUse as e:
      refused.append(str(e))

  threads = [threading.Thread(target=take) for _ in range(3)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert len(got) == 1 and len(refused) == 2


def test_a_lock_of_an_earlier_version_is_believed(tmp_path):
  path = tmp_path / lock.NAME
  text = 'process 1 on elsewhere, since 2020-01-01 00:00:00 UTC\n'
  path.write_text(text)
  with open(path, 'rb') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    with pytest.raises(lock.InUse, match='in use by process 1 on elsewhere'):
      with lock.exclusive(tmp_path):
        pass
    assert path.read_text() == text
  with lock.exclusive(tmp_path):  # It died, or has left without a word.
    pass


def test_an_error_in_a_locked_folder_leaves_it_free(tmp_path):
  with pytest.raises(KeyError):
    with lock.exclusive(tmp_path):
      raise KeyError
  assert not (tmp_path / lock.NAME).read_text()


def test_who_holds_a_lock_says_so_again_and_again(tmp_path, monkeypatch):
  monkeypatch.setattr(lock, 'BEAT_SECONDS', 0.02)
  with lock.exclusive(tmp_path):
    seen = set()
    end = time.monotonic() + 20
    while len(seen) < 4 and time.monotonic() < end:
      seen.add((tmp_path / lock.NAME).read_text())
  assert len(seen) >= 4 and len({text.partition('\n')[0] for text in seen}) == 1
