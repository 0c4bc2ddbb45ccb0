"""A run that ends within a round goes on from within it."""

import collections
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from mmal_jax.checkpoint import newest
from mmal_jax.experiment import preemption
from mmal_jax.experiment import within_round
from mmal_jax.workdir import layout
from tests.support import damaged_runs
from tests.support import programs

_SECONDS = 600  # of a start, however busy the machine is
_ROUNDS, _STEPS, _EVERY = 2, 12, 3
_RUN = 'mmal-seed3'


class Run:
  """One experiment, of which each start may end in a training step.

  Attributes:
    root: with the folder `w` of all that the run comes to.
    work: the workdir.
    states: of its run.
  """

  def __init__(self, home, mirrored=False):
    self.root = home / 'kept'
    self.work = home / 'work' if mirrored else self.root / 'w'
    self.states = self.root / 'w' / layout.STATES / _RUN
    self._home = home
    self._flags = [
        *programs.save_features(home / 'data'), f'--workdir={self.work}',
        *([f'--mirror={self.root / "w"}'] if mirrored else []),
        f'--cache_dir={home / "cache"}',
        f'--config.train.steps_per_round={_STEPS}',
        f'--config.train.save_every={_EVERY}', '--config.model.width=8',
        '--config.train.learner=gradient', '--config.whole_pool=False',
        '--batch=4', f'--rounds={_ROUNDS}', '--seeds=3', '--strategies=mmal']

  def start(self, step=0, *flags, asked_to_end=False, status=0):
    """Runs it until a step of this start; returns what it says."""
    environment = os.environ | {
        'STEPS': str(self._home / 'steps'), 'ASKED': str(self._home / 'asked'),
        **({'ASKED_TO_END': ''} if asked_to_end else {})}
    done = subprocess.run(
        [sys.executable, '-m', 'tests.support.killed_run', f'{step}:training',
         '0', *map(str, self._flags), '--resume', *flags],
        capture_output=True, text=True, check=False, timeout=_SECONDS,
        env=environment)
    assert done.returncode == status, done.stderr
    return done.stderr

  def kill(self, step, *flags):
    return self.start(step, *flags, status=-signal.SIGKILL)

  def taken(self):
    """How many steps each start has taken, in order."""
    path = self._home / 'steps'
    return list(collections.Counter(path.read_text().split()).values()) if (
        path.exists()) else []

  def asked(self):
    """All queries, each as often as it was asked."""
    return sorted(
        (modality, number) for _, modality, numbers in map(
            json.loads, (self._home / 'asked').read_text().splitlines())
        for number in numbers)

  def within(self):
    """By round, after which step of it a state is there."""
    return {int(path.parent.name.removeprefix('within_')):
            int(path.name.partition('.')[0])
            for path in sorted(self.states.glob('within_*/*.sha256.json'))}

  def results(self):
    return damaged_runs.results(self.root)


_TREE = {'w': np.zeros(3)}


def _kept(folder, of, step=2):
  """What a checkpointer has of a training of which a state is kept."""
  within = newest.Checkpoints(folder).within(1)
  checkpointer = within_round.Checkpointer(within, 2, preemption.Notice())
  with checkpointer.training(of, _TREE) as found:
    if step is not None:
      checkpointer.save(step, {'w': np.full(3, step, float)})
  within.wait()
  return found


def test_a_state_of_other_answers_is_removed(tmp_path, caplog):
  assert _kept(tmp_path, 'aa') is None
  assert _kept(tmp_path, 'aa', None)['w'][0] == 2
  assert _kept(tmp_path, 'bb') is None
  assert 'after step 2, is of other answers' in caplog.text
  assert _kept(tmp_path, 'bb', None)['w'][0] == 2


def test_a_signal_ends_training_once_its_step_is_kept(tmp_path):
  within = newest.Checkpoints(tmp_path).within(1)
  with pytest.raises(preemption.Preempted):
    with preemption.listening() as notice:
      checkpointer = within_round.Checkpointer(within, 10, notice)
      with checkpointer.training('aa', _TREE):
        assert not checkpointer.is_due(3, 20) and checkpointer.is_due(10, 20)
        assert not checkpointer.is_due(20, 20)
        os.kill(os.getpid(), signal.SIGTERM)
        assert checkpointer.is_due(4, 20) and checkpointer.is_due(20, 20)
        checkpointer.save(4, {'w': np.full(3, 4.0)})
  assert notice.at_once
  assert _kept(tmp_path, 'aa', None)['w'][0] == 4


@pytest.fixture(name='whole', scope='module')
def _whole(tmp_path_factory):
  """The undisturbed run."""
  run = Run(tmp_path_factory.mktemp('whole'))
  run.start()
  assert run.taken() == [_ROUNDS * _STEPS] and not run.within()
  assert not list(run.states.glob('within*'))
  return run


def _check(run, whole, starts):
  """It came to the same, took few steps twice, and asked nothing twice."""
  found, expected = run.results(), whole.results()
  for results in (found, expected):
    del results[layout.CONFIG]  # Data lie elsewhere.
  assert damaged_runs.difference(found, expected) == ''
  assert len(expected) > 5 and f'{layout.STATES}/{_RUN}' in found
  assert not list(run.states.glob('within*'))
  assert run.asked() == whole.asked()
  taken = run.taken()
  assert len(taken) == starts
  return sum(taken) - _ROUNDS * _STEPS


@pytest.mark.long
@pytest.mark.parametrize('mirrored', [False, True])
def test_killed_within_a_round_it_goes_on_from_there(
    whole, tmp_path, mirrored):
  run = Run(tmp_path, mirrored)
  rng, starts = random.Random(mirrored), 3
  for kill in range(starts - 1):
    # The state before the last is sealed before the last is begun.
    said = run.kill(rng.randrange(2 * _EVERY + 1, 3 * _EVERY))
    assert 'died: training' in said
    assert kill or run.within()[1] >= _EVERY
    if mirrored:
      shutil.rmtree(run.work)
  run.start()
  lost = _check(run, whole, starts)
  print(f'{starts - 1} kills cost {lost} steps')
  assert lost <= (starts - 1) * 2 * _EVERY


@pytest.mark.long
def test_asked_to_end_it_loses_no_step(whole, tmp_path):
  run = Run(tmp_path)
  for steps, (t, step) in ((4, (1, 4)), (8, (1, 12)), (1, (2, 1))):
    said = run.start(steps, asked_to_end=True, status=preemption.PREEMPTED)
    assert '--resume goes on' in said
    assert run.within() == {t: step}
  run.start()
  assert _check(run, whole, 4) == 0
  # What a program that died had left to remove.
  (run.states / f'within_{_ROUNDS}').mkdir()
  run.start()
  assert not (run.states / f'within_{_ROUNDS}').exists()


def _damage(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


@pytest.mark.long
def test_a_damaged_state_within_costs_the_steps_of_its_round(whole, tmp_path):
  run = Run(tmp_path)
  run.start(8, asked_to_end=True, status=preemption.PREEMPTED)
  assert run.within() == {1: 8}
  _damage(max((p for p in (run.states / 'within_1' / '8').rglob('*')
               if p.is_file()), key=lambda p: p.stat().st_size))
  said = run.start()
  assert re.search('step 8 in .*within_1 is damaged', said), said
  assert 'begins anew' in said
  assert _check(run, whole, 2) == 8


@pytest.mark.long
def test_one_of_another_experiment_is_refused(whole, tmp_path):
  one, other = Run(tmp_path / 'one'), Run(tmp_path / 'other')
  for run in (one, other):
    run.start(5, asked_to_end=True, status=preemption.PREEMPTED)
  shutil.rmtree(one.states / 'within_1')
  shutil.copytree(other.states / 'within_1', one.states / 'within_1')
  said = one.start(status=1)
  assert re.search('within_1/5 holds a state of experiment .*, not of', said)
  shutil.rmtree(one.states / 'within_1')
  one.start()
  assert _check(one, whole, 2) == 5


@pytest.mark.long
def test_the_number_of_steps_may_change_and_states_lie_elsewhere(
    whole, tmp_path):
  run = Run(tmp_path)
  states = tmp_path / 'states'
  flags = [f'--states={states}']
  run.kill(8, *flags)
  within = states / _RUN / 'within_1'
  assert within.is_dir() and not (run.work / layout.STATES).exists()
  run.start(0, *flags, '--config.train.save_every=5')
  assert not within.exists()
  assert sum(run.taken()) - _ROUNDS * _STEPS <= 2 * _EVERY
  found, expected = run.results(), whole.results()
  for name in (layout.METRICS, layout.QUERIES, layout.SUMMARY):
    assert found[name] == expected[name]
