"""A run over two processes, some of which are asked to end, or killed."""

import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mmal_jax.checkpoint import newest
from mmal_jax.experiment import preemption
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.workdir import layout
from tests.support import hosts_config
from tests.support import outcomes
from tests.support import ports

_ROOT = pathlib.Path(__file__).parents[2]
_ROUNDS, _STRATEGY, _SEED = 4, 'mmal', 3
# Of a start, of the longest wait of a test, and of who is gone.
_SECONDS, _HEARTBEAT = 240, 10


@pytest.fixture(name='data', scope='module')
def _data(tmp_path_factory):
  return outcomes.save_features(tmp_path_factory.mktemp('data'), 100)


@contextlib.contextmanager
def _started(data, work, processes, devices, *flags, on_features=True,
             faults=()):
  """Processes of one run, by number with a fault; none outlives the block."""
  environment = os.environ | {
      'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': str(devices),
      # A program is compiled once for all runs with as many devices.
      'JAX_COMPILATION_CACHE_DIR': str(data / 'compiled'),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0'}
  port = ports.free()
  started = []
  try:
    for i in range(processes):
      joining = [] if processes == 1 else [
          f'--coordinator=127.0.0.1:{port}', f'--num_processes={processes}',
          f'--process_id={i}', f'--heartbeat_seconds={_HEARTBEAT}']
      with open(f'{work}.{i}', 'w', encoding='utf-8') as said:
        started.append(subprocess.Popen(
            [sys.executable, '-m', *dict(faults).get(i, ['experiments.run']),
             f'--config={hosts_config.__file__}:{data if on_features else ""}',
             f'--workdir={work}',
             f'--cache_dir={data / "cache"}', *joining, *flags],
            cwd=_ROOT, env=environment, stdout=said, stderr=said))
    yield started
  finally:
    for process in started:
      process.kill()
      process.wait()


def _said(work, i):
  return pathlib.Path(f'{work}.{i}').read_text('utf-8')


def _ended(started, work):
  """Statuses of all, once they have ended."""
  until = time.monotonic() + _SECONDS
  for i, process in enumerate(started):
    try:
      process.wait(until - time.monotonic())
    except subprocess.TimeoutExpired:
      pytest.fail(f'process {i} does not end:\n{_said(work, i)}')
  return [process.returncode for process in started]


def _run(data, work, processes, devices, *flags, on_features=True):
  with _started(data, work, processes, devices, *flags,
                on_features=on_features) as started:
    statuses = _ended(started, work)
  assert not any(statuses), [_said(work, i) for i in range(processes)]


def _queries(work):
  return layout.read_lines(work / layout.QUERIES)


def _until_asked(started, work, rounds):
  # Not before they have met: who waits for one that never comes waits long.
  _until(lambda: 'Preparing' in _said(work, 0) and len(
      _queries(work)) >= rounds, started, work)


def _until(is_so, started, work):
  until = time.monotonic() + _SECONDS
  while not is_so():
    assert all(process.poll() is None for process in started), [
        _said(work, i) for i in range(len(started))]
    assert time.monotonic() < until
    time.sleep(0.01)


def _kept(work):
  return newest.Checkpoints(
      layout.state_path(work, _STRATEGY, _SEED)).steps()


def _last_state(work):
  return outcomes.state(
      layout.state_path(work, _STRATEGY, _SEED) / str(_ROUNDS))


def _answers(work):
  return journal_lib.read(layout.journal_path(work, _STRATEGY, _SEED))


def _same_picks(work, other):
  assert len(_queries(work)) == _ROUNDS and _queries(work) == _queries(other)
  records = _answers(work)
  assert records == _answers(other)
  asked = [(r.modality, n) for r in records for n in r.numbers]
  assert len(asked) == len(set(asked))


def _same_end(work, other):
  """To the bit."""
  _same_picks(work, other)
  one, two = map(outcomes.metrics, (work, other))
  assert one == two and len(one) == _ROUNDS + 1
  one, two = map(_last_state, (work, other))
  assert one.keys() == two.keys() and len(one) > 20
  for name, value in one.items():
    np.testing.assert_array_equal(value, two[name], err_msg=name)
  assert outcomes.summary(work) == outcomes.summary(other)


def _close_end(work, other):
  """As with sums in another order."""
  _same_picks(work, other)
  one, two = map(_last_state, (work, other))
  assert one.keys() == two.keys()
  for name, value in one.items():
    np.testing.assert_allclose(
        value, two[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.fixture(name='undisturbed', scope='module')
def _undisturbed(data):
  _run(data, data / 'undisturbed', 2, 4, '--profile=2')
  return data / 'undisturbed'


def _kill_one(data, work, victim, rounds, delay=0.0):
  """Goes on for this number of rounds, and kills; seconds to the end."""
  with _started(data, work, 2, 4, '--resume') as started:
    _until_asked(started, work, rounds)
    time.sleep(delay)
    started[victim].kill()
    killed = time.monotonic()
    statuses = _ended(started, work)
    seconds = time.monotonic() - killed
  said, status = _said(work, 1 - victim), statuses[1 - victim]
  assert statuses[victim] == -signal.SIGKILL
  # JAX's own client may be quicker to abort the program, and says so itself;
  # what prints Python's stack then may fail in its turn.
  expected = ('another process has gone' if status == preemption.PREEMPTED
              else 'another task died')
  assert expected in said, said
  assert status in (
      preemption.PREEMPTED, -signal.SIGABRT, -signal.SIGSEGV), said
  return seconds


@pytest.mark.long
def test_two_processes_in_closed_form_pick_what_one_picks(data, tmp_path):
  learner = '--config.train.learner=closed_form'
  _run(data, tmp_path / 'two', 2, 4, learner)
  _run(data, tmp_path / 'one', 1, 8, learner)
  _same_picks(tmp_path / 'two', tmp_path / 'one')


@pytest.mark.slow
def test_other_strategies_pick_what_one_picks(data, tmp_path):
  flags = ('--config.train.learner=closed_form',
           '--strategies=mmal_plus,random,coreset,margin,kmeans')
  _run(data, tmp_path / 'two', 2, 4, *flags)
  _run(data, tmp_path / 'one', 1, 1, *flags, '--config.mesh.fsdp=1')
  asked = _queries(tmp_path / 'two')
  assert len(asked) == 5 * _ROUNDS and asked == _queries(tmp_path / 'one')


@pytest.mark.slow
def test_two_processes_fine_tune_and_pick_what_one_picks(data, tmp_path):
  _run(data, tmp_path / 'one', 1, 4, on_features=False)
  _run(data, tmp_path / 'two', 2, 2, on_features=False)
  _same_picks(tmp_path / 'two', tmp_path / 'one')


@pytest.mark.long
def test_each_process_traces_its_round(undisturbed):
  """All that is compared with this run has no trace, and ends the same."""
  folder = undisturbed / layout.PROFILE / f'round2-{_STRATEGY}-seed{_SEED}'
  for i in range(2):
    trace, = (folder / f'process{i}').rglob('*.xplane.pb')
    assert trace.stat().st_size
  assert 'process0' in _said(undisturbed, 0)
  assert 'xprof' not in _said(undisturbed, 1)


@pytest.mark.long
def test_two_processes_pick_what_one_picks(data, undisturbed, tmp_path):
  _run(data, tmp_path / 'one', 1, 8)
  _close_end(undisturbed, tmp_path / 'one')
  assert 'Written to' in _said(undisturbed, 0)
  assert 'Written to' not in _said(undisturbed, 1)


@pytest.mark.long
def test_stopped_then_killed_it_ends_as_if_undisturbed(
    data, undisturbed, tmp_path):
  work = tmp_path / 'work'
  with _started(data, work, 2, 4) as started:
    _until_asked(started, work, 1)
    started[1].terminate()
    assert _ended(started, work) == [preemption.PREEMPTED] * 2
  for i in range(2):
    assert '--resume goes on' in _said(work, i)
  done = len(_queries(work))
  assert done < _ROUNDS and _kept(work)[-1] == done
  shutil.copytree(work, tmp_path / 'four')
  assert _kill_one(data, work, 1, done + 1) < 3 * _HEARTBEAT
  _run(data, work, 2, 4, '--resume')
  _same_end(work, undisturbed)
  # On half of the devices, in one process.
  _run(data, tmp_path / 'four', 1, 4, '--resume')
  _close_end(tmp_path / 'four', undisturbed)


def _within(work, t):
  """After which step of a round a state is kept; None if none is."""
  folder = layout.state_path(work, _STRATEGY, _SEED) / f'within_{t}'
  return max((int(path.name.partition('.')[0])
              for path in folder.glob('*.sha256.json')), default=None)


@pytest.mark.slow
def test_stopped_then_killed_within_rounds_it_ends_as_if_undisturbed(
    data, tmp_path):
  flags = ('--config.train.steps_per_round=40', '--config.train.save_every=3',
           '--config.whole_pool=False')
  whole, work = tmp_path / 'whole', tmp_path / 'work'
  _run(data, whole, 2, 4, *flags)
  with _started(data, work, 2, 4, *flags) as started:
    _until(lambda: _within(work, 1), started, work)
    started[1].terminate()
    assert _ended(started, work) == [preemption.PREEMPTED] * 2
  assert _within(work, 1) < 40 and _kept(work) == [0]
  with _started(data, work, 2, 4, *flags, '--resume') as started:
    _until(lambda: (_within(work, 2) or 0) > 10, started, work)
    started[0].kill()
    assert _ended(started, work)[1] != 0
  assert _within(work, 2) > 10
  _run(data, work, 2, 4, *flags, '--resume')
  _same_end(work, whole)
  assert not list(work.rglob('within_*'))


@pytest.mark.slow
def test_states_may_lie_elsewhere(data, undisturbed, tmp_path):
  work, states = tmp_path / 'work', tmp_path / 'states'
  flag = f'--states={states}'
  with _started(data, work, 1, 4, flag) as started:
    _until_asked(started, work, 1)
    started[0].terminate()
    assert _ended(started, work) == [preemption.PREEMPTED]
  assert not (work / layout.STATES).exists()
  for name, flags, said in (
      (work, ['--resume'], 'states: '), (tmp_path / 'w', [flag], 'not empty')):
    with _started(data, name, 1, 4, *flags) as started:
      assert _ended(started, name) == [1]
    assert said in _said(name, 0)
  _run(data, work, 1, 4, flag, '--resume')
  _same_picks(work, undisturbed)
  kept = newest.Checkpoints(states / f'{_STRATEGY}-seed{_SEED}')
  assert kept.steps()[-1] == _ROUNDS


@pytest.mark.long
def test_a_refusal_ends_both(data, undisturbed):
  for flags, said in (
      ((), 'is not empty: give --resume'),
      (('--resume', '--batch=5'), '  batch: 4 there, 5 now')):
    with _started(data, undisturbed, 2, 4, *flags) as started:
      assert _ended(started, undisturbed) == [1, 1]
    for i in range(2):
      assert said in _said(undisturbed, i), _said(undisturbed, i)


@pytest.mark.slow
def test_killed_anywhere_it_ends_as_if_undisturbed(
    data, undisturbed, tmp_path):
  rng = random.Random(0)
  for trial in range(4):
    work = tmp_path / f'work{trial}'
    for rounds in range(_ROUNDS):
      # Either of them, at any moment of a round.
      seconds = _kill_one(
          data, work, rng.randrange(2), rounds, rng.uniform(0, 0.5))
      print('ended after', seconds)
      assert seconds < 3 * _HEARTBEAT
    _run(data, work, 2, 4, '--resume')
    _same_end(work, undisturbed)


@pytest.mark.slow
def test_where_orbax_fails_in_one_process_both_end(
    data, undisturbed, tmp_path):
  rng = random.Random(0)
  for trial in range(6):
    work, victim = tmp_path / f'work{trial}', trial % 2
    kind = ('raise', 'block', 'exit')[trial % 3]
    fault = ['tests.support.faulty_orbax', str(rng.randint(1, 250)), '1', kind]
    with _started(data, work, 2, 4, faults={victim: fault}) as started:
      statuses = _ended(started, work)
      ended = time.monotonic()
    said = _said(work, victim)
    failed = float(re.search(r'^fault: \S+ (\S+)$', said, re.M)[1])
    print(kind, victim, said[said.index('fault: '):].split()[1], statuses,
          ended - failed)
    assert ended - failed < 30 and 0 not in statuses, said
    _run(data, work, 2, 4, '--resume')
    _same_end(work, undisturbed)


@pytest.mark.slow
def test_on_other_devices_it_picks_the_same(data, undisturbed, tmp_path):
  work = tmp_path / 'work'
  for rounds, processes, devices in ((1, 1, 8), (2, 2, 4), (3, 2, 2)):
    with _started(
        data, work, processes, devices, '--resume') as started:
      _until_asked(started, work, rounds)
      started[-1].terminate()
      assert set(_ended(started, work)) == {preemption.PREEMPTED}
  _run(data, work, 1, 4, '--resume')
  _close_end(work, undisturbed)
