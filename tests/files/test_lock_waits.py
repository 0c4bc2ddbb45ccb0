"""How long a lock of a host that may have vanished is waited for."""

import json
import os
import subprocess
import sys
import time
import types

import pytest

from mmal_jax.files import lock

_REAL_SLEEP = lock.time.sleep


@pytest.fixture(name='clock')
def _clock(monkeypatch):
  """A clock that goes on when it is waited, and locks of other hosts."""
  clock = types.SimpleNamespace(now=1000.0, during=lambda: None)

  def sleep(seconds):
    clock.now += seconds
    clock.during()

  monkeypatch.setattr(lock, 'time', types.SimpleNamespace(
      monotonic=lambda: clock.now, sleep=sleep, strftime=lock.time.strftime,
      gmtime=lock.time.gmtime))
  monkeypatch.setattr(lock, '_try_flock', lambda file: False)
  return clock


def _held_elsewhere(folder, since='2026-01-01 00:00:00 UTC', beat=1):
  """A folder whose lock a process of another host has, or had."""
  folder.mkdir(exist_ok=True)
  path = folder / lock.NAME
  path.touch()
  path.write_text(
      f'process 7 on elsewhere, since {since}\n' + json.dumps({
          'host': 'elsewhere', 'boot': 'x', 'space': 'y', 'pid': 7,
          'start': '1', 'token': 't', 'beat': f'{beat:012d}',
          'file': path.stat().st_ino}) + '\n')
  return folder


def test_locks_of_a_vanished_host_are_waited_for_together(tmp_path, clock):
  folders = [_held_elsewhere(tmp_path / name) for name in 'abcd']
  looks = lock.look([*folders, tmp_path / 'missing'])
  assert len(looks) == 5
  started = clock.now
  for folder in folders:
    with lock.exclusive(folder, looks=looks):
      assert f'process {os.getpid()} on' in (folder / lock.NAME).read_text()
  limit = lock.MISSED * lock.BEAT_SECONDS
  assert limit < clock.now - started < limit + 10
  # By themselves, each for as long.
  started = clock.now
  for folder in folders[:2]:
    _held_elsewhere(folder)
    with lock.exclusive(folder):
      pass
  assert clock.now - started > 2 * limit


def test_a_lock_that_lives_is_found_so_after_waiting_for_another(
    tmp_path, clock):
  gone, alive = (_held_elsewhere(tmp_path / name) for name in ('gone', 'alive'))
  looks, beats = lock.look([gone, alive]), [1]

  def beat():
    beats[0] += 1
    _held_elsewhere(alive, beat=beats[0])

  clock.during = beat
  with lock.exclusive(gone, looks=looks):
    with pytest.raises(lock.InUse, match='in use by process 7 on elsewhere'):
      with lock.exclusive(alive, looks=looks):
        pass


def test_a_lock_that_was_taken_since_it_was_looked_at_is_another_programs(
    tmp_path, clock):
  folder = tmp_path / 'a'
  folder.mkdir()
  looks = lock.look([folder])
  clock.now += 1000
  _held_elsewhere(folder)
  with pytest.raises(lock.InUse, match='in use by process 7 on elsewhere'):
    with lock.exclusive(folder, looks=looks):
      pass


@pytest.mark.parametrize('hour', ['00', '01', '23'])
def test_a_holder_whose_clock_is_off_is_neither_robbed_nor_waited_for_ever(
    tmp_path, clock, hour):
  """What it says of the time is for people alone."""
  folder, beats = tmp_path / 'a', [1]
  since = f'2026-01-01 {hour}:00:00 UTC'
  _held_elsewhere(folder, since)
  os.utime(folder / lock.NAME, (0, 0) if hour == '23' else (2**33, 2**33))

  def beat():
    beats[0] += 1
    _held_elsewhere(folder, since, beats[0])

  clock.during = beat
  with pytest.raises(lock.InUse):
    with lock.exclusive(folder):
      pass
  clock.during = lambda: None
  started = clock.now
  with lock.exclusive(folder):
    limit = lock.MISSED * lock.BEAT_SECONDS
    assert limit < clock.now - started < limit + 10


# A program of another host, whose clocks are an hour off.
_OFF = '''
import sys, time
off, real = float(sys.argv[2]), time.time
time.time = lambda: real() + off
gmtime = time.gmtime
time.gmtime = lambda *args: gmtime(*args or (time.time(),))
from mmal_jax.files import lock
lock.BEAT_SECONDS = 0.1
lock._try_flock = lambda file: False
lock._lives = lambda said, free: False
lock._here = lambda: ('elsewhere', 'another boot', 'pid:[1]')
with lock.exclusive(sys.argv[1]):
  print('held', flush=True)
  sys.stdin.read()
'''


@pytest.mark.long
@pytest.mark.parametrize('off', [-3600, 3600])
def test_programs_whose_clocks_differ_by_an_hour(tmp_path, monkeypatch, off):
  monkeypatch.setattr(lock, '_try_flock', lambda file: False)
  monkeypatch.setattr(lock, 'BEAT_SECONDS', 0.5)
  with subprocess.Popen(
      [sys.executable, '-c', _OFF, tmp_path, str(off)], text=True,
      stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
    try:
      assert process.stdout.readline() == 'held\n'
      with pytest.raises(lock.InUse, match=f'process {process.pid} on'):
        with lock.exclusive(tmp_path):
          pass
      process.kill()
      process.wait()
      with lock.exclusive(tmp_path):
        pass
    finally:
      process.kill()


def test_a_lock_put_back_from_a_copy_is_named_as_what_it_may_be(
    tmp_path, monkeypatch, capfd):
  ends = []
  monkeypatch.setattr(lock, 'BEAT_SECONDS', 0.02)
  monkeypatch.setattr(lock.os, '_exit', ends.append)
  with lock.exclusive(tmp_path):
    _held_elsewhere(tmp_path)
    until = time.monotonic() + 600
    while not ends and time.monotonic() < until:
      _REAL_SLEEP(0.01)
  said = capfd.readouterr().err
  assert ends[0] == 1
  assert f"error: '{tmp_path}' was taken over by process 7 on elsewhere" in said
  assert '; or .owner, which names that one, was put back from a copy.' in said
  assert 'If that one does not run, start this one again.' in said
