"""A state that was saved after any round goes on to the same bits.

Whatever a run carries over from round to round (locked towers' embeddings,
distances to the aligned set, reference spaces) must not tell.
"""

import pytest

from mmal_jax.acquire import registry
from mmal_jax.checkpoint import pytrees
from mmal_jax.learn.gradient import freeze
from mmal_jax.learn.gradient import optimizer
from mmal_jax.learn.gradient import unaligned
from mmal_jax.pools import stream
from tests.support import tiny


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


def _with(run, frozen='none', ema=0.0, **learner):
  patterns = freeze.patterns(frozen, run.params)
  return run.with_recipe(
      frozen=patterns, optimizer=optimizer.make_optimizer(
          1e-2, tiny.STEPS, frozen=patterns, ema=ema), **learner)


def _resumed(run, start, at, folder, **more):
  """The last state of a run that was stopped, saved and loaded at a round."""
  rounds = run.rounds(state=start, **more)
  for state in rounds:
    if state.round == at:
      break
  rounds.close()
  pytrees.save(folder, state)
  *_, last = run.rounds(state=pytrees.load(folder, start), **more)
  return last


def _check(run, tmp_path, restart=False, ats=(0, 2), **more):
  start = run.start(restart=restart)
  *_, whole = run.rounds(state=start, **more)
  for at in ats:
    tiny.assert_same(
        _resumed(run, start, at, tmp_path / str(at), **more), whole)


@pytest.mark.parametrize('strategy', sorted(registry.STRATEGIES))
def test_every_strategy(tiny_run, tmp_path, strategy):
  _check(tiny_run, tmp_path, strategy=strategy, ats=(2,),
         reference='plus' in strategy)


@pytest.mark.parametrize('restart', [False, True])
@pytest.mark.parametrize('frozen', ['lit', 'text_*', '*_tower.*'])
def test_locked_towers(tiny_run, tmp_path, frozen, restart):
  run = _with(tiny_run, frozen=frozen, ema=0.9)
  _check(run, tmp_path, restart, strategy='mmal')


@pytest.mark.long
@pytest.mark.parametrize('restart', [False, True])
@pytest.mark.parametrize('ema', [0.0, 0.9])
def test_what_was_known_before_training(tiny_run, tmp_path, restart, ema):
  run = _with(tiny_run, ema=ema, unaligned=unaligned.Unaligned(1.0, 8, 0.05))
  _check(run, tmp_path, restart, strategy='mmal_plus', reference=True,
         pseudo_pairs=0.5)


@pytest.mark.long
@pytest.mark.parametrize('restart', [False, True])
def test_streams(tiny_run, tmp_path, restart):
  run = _with(tiny_run, unaligned=unaligned.Unaligned(1.0, 8, 0.05))
  _check(run, tmp_path, restart, strategy='mmal_plus', reference=True,
         source=stream.of_pools(run.pools, 10))
