"""A program ends in bounded time, whatever threads of libraries do."""

import random
import re
import subprocess
import sys
import time

import pytest

from experiments import run
from mmal_jax.workdir import layout
from tests.support import programs

# From a fault to the end of the program, and of a whole run, at most.
_MOST_SECONDS, _RUN_SECONDS = 30, 300
_KINDS = ('raise', 'exit', 'block')
# Threads of all kinds that are left when the work is done, or has failed.
_LEFT = '''
import sys, threading, time
from absl import flags
from experiments import program
from mmal_jax.experiment import preemption
preemption.ENDS_WITHIN_SECONDS = 1
def wait():
  while True:
    time.sleep(3600)
def work():
  threading.Thread(target=wait, daemon={daemon}).start()
  print('printed')
  {ending}
program.start(lambda argv: program.call(work, argv))
'''


@pytest.fixture(name='home', scope='module')
def _home(tmp_path_factory):
  """Data and an undisturbed run."""
  home = tmp_path_factory.mktemp('home')
  programs.save_features(home / 'data')
  with pytest.MonkeyPatch.context() as patch:
    # Programs are compiled once for all processes.
    for name, value in (('COMPILATION_CACHE_DIR', home / 'compiled'),
                        ('PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', 0),
                        ('PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', -1)):
      patch.setenv(f'JAX_{name}', str(value))
    _, _, said = _run_with_fault(home, 'undisturbed', 0, 1, 'raise')
    yield home, int(re.search(r'^functions: (\d+)$', said, re.M)[1])


def _flags(home, name):
  return [*programs.features(home / 'data'), *programs.SMALL,
          f'--workdir={home / name}', f'--cache_dir={home / "cache"}']


def _run_with_fault(home, name, *fault):
  """Status, seconds from the fault to the end (None: no fault), and errors."""
  done = subprocess.run(
      [sys.executable, '-m', 'tests.support.faulty_orbax', *map(str, fault),
       *_flags(home, name)],
      capture_output=True, text=True, check=False, timeout=_RUN_SECONDS)
  ended = time.monotonic()
  at = re.search(r'^fault: \S+ (\S+)$', done.stderr, re.M)
  return (done.returncode, None if at is None else ended - float(at[1]),
          done.stderr)


def _found(folder):
  return (layout.read_lines(folder / layout.QUERIES),
          [(line['round'], line['scores']) for line in layout.read_lines(
              folder / layout.METRICS)])


def _check(home, functions, seed):
  """A run with a fault, which is resumed; what was drawn and came of it."""
  rng, name = random.Random(seed), f'seed{seed}'
  kind = _KINDS[seed % len(_KINDS)]
  status, seconds, said = _run_with_fault(
      home, name, rng.randint(1, functions), rng.randint(1, 2), kind)
  if seconds is not None:
    assert seconds < _MOST_SECONDS, said
  assert 'Traceback' not in said.split('fault: ')[0], said
  if status:  # Else Orbax had a way out of its own, or was not waited for.
    assert seconds is not None and status == 1, said
    error, hint = re.search('^(error: .*)\n *(.*)', said, re.M).groups()
    assert re.match(rf'error: the checkpoint of step \d in .{home}/{name}/'
                    r'.*cannot be written: .+', error), said
    assert hint.startswith('Once that is put right, --resume goes on'), said
  programs.call(run, *_flags(home, name), '--resume')
  assert _found(home / name) == _found(home / 'undisturbed')
  return kind, status, seconds, re.findall(r'^fault: (\S+)', said, re.M)


@pytest.mark.long
@pytest.mark.parametrize('seed', range(4))
def test_a_run_in_which_orbax_fails_ends_and_can_be_resumed(home, seed):
  _check(*home, seed)


@pytest.mark.slow
def test_fifty_runs_in_which_orbax_fails_end(home):
  longest = 0.0
  for seed in range(100, 150):
    kind, status, seconds, where = _check(*home, seed)
    longest = max(longest, seconds or 0.0)
    print(kind, status, seconds, *where)
  print(f'the longest took {longest:.1f} s from the fault to the end')


@pytest.mark.parametrize('daemon', [False, True])
@pytest.mark.parametrize('ending, status, said', [
    ('return "done"', 0, ''),
    ('sys.exit(3)', 3, ''),
    ('raise ValueError("wrong")', 1, 'error: wrong\n'),
    ('raise KeyboardInterrupt', 130, 'Interrupted.\n'),
    ('raise RuntimeError("broken")', 1, 'RuntimeError: broken\n')])
def test_threads_that_never_end_keep_no_program(daemon, ending, status, said):
  started = time.monotonic()
  done = subprocess.run(
      [sys.executable, '-c', _LEFT.format(daemon=daemon, ending=ending)],
      capture_output=True, text=True, check=False, timeout=_RUN_SECONDS)
  assert time.monotonic() - started < _MOST_SECONDS
  assert done.returncode == status, done.stderr
  assert done.stderr.endswith(said) and done.stdout.startswith('printed\n')
