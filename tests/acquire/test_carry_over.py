"""Distances that are brought along from the round before, and when not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mmal_jax import observe
from mmal_jax.acquire import coverage
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry
from mmal_jax.embed import in_memory
from mmal_jax.learn.gradient import freeze
from mmal_jax.learn.gradient import optimizer
from mmal_jax.parallel import sharding
from tests.support import problems
from tests.support import reference
from tests.support import tiny


def _rounds(metric='cosine', rows=None):
  """Views of four rounds of one pool, with 0, 6, 12 and 18 items aligned."""
  rng = np.random.default_rng(0)
  problem = problems.make(rng, problems.clustered, 80, metric, aligned=0)
  order = rng.permutation(80)[:problems.ALIGNED]
  for a in (0, 6, 12, 18):
    known = problem._replace(
        remaining=~np.isin(np.arange(80), order[:a]),
        aligned=problem.pool[order],
        aligned_mask=np.arange(problems.ALIGNED) < a)
    yield known, known.view() if rows is None else known.view(
        pool=sharding.shard_rows(known.pool, rows),
        remaining=sharding.shard_rows(known.remaining, rows, False))


def _assert_right(nearest, problem):
  pool, remaining, aligned = problem.arrays()
  np.testing.assert_allclose(
      nearest[remaining],
      reference.nearest(pool, aligned, problem.metric)[remaining], atol=1e-6)


@pytest.fixture
def taken(monkeypatch):
  """Masks of the aligned rows that were taken into account, call by call."""
  masks, with_aligned = [], coverage.with_aligned

  def spy(view, aligned, mask):
    masks.append(np.asarray(mask))
    return with_aligned(view, aligned, mask)

  monkeypatch.setattr(coverage, 'with_aligned', spy)
  return masks


@pytest.mark.parametrize('metric', metric_lib.METRICS)
def test_only_the_new_rows_are_measured(taken, metric):
  before = None
  for t, (problem, view) in enumerate(_rounds(metric)):
    anew = coverage.covered(view).nearest
    taken.clear()
    if before is None:
      view = coverage.covered(view)
      assert (np.asarray(view.nearest) == np.inf).all()
    else:
      view = coverage.carried_over(view, before)
      mask, = taken
      assert np.flatnonzero(mask).tolist() == list(range(6 * t - 6, 6 * t))
      np.testing.assert_allclose(view.nearest, anew, atol=1e-6)
      _assert_right(np.asarray(view.nearest), problem)
    before = view


def test_what_was_not_known_before_is_measured_then(taken):
  _, (_, before), (problem, view), _ = _rounds()
  carried = coverage.carried_over(view, before)
  _assert_right(np.asarray(carried.nearest), problem)
  assert [np.flatnonzero(mask).tolist() for mask in taken] == [
      list(range(6)), list(range(6, 12))]


def test_what_was_known_before_is_believed(taken):
  # To the letter: so nothing is measured twice.
  _, (_, before), (_, view), _ = _rounds()
  wrong = dataclasses.replace(before, nearest=jnp.full(80, -7.0))
  assert (coverage.carried_over(view, wrong).nearest == -7).all()
  assert len(taken) == 1


def test_sharded_pools():
  _, (_, before), (problem, view), _ = _rounds(rows=sharding.row_sharding())
  carried = coverage.carried_over(view, before)
  assert sharding.num_parts(sharding.rows_of(carried.nearest)) == 8
  _assert_right(np.asarray(carried.nearest), problem)


def test_other_embeddings_carry_nothing_over(taken):
  _, (_, before), (problem, view), _ = _rounds()
  pool = problem.pool.copy()
  pool[-1, -1] = np.nextafter(pool[-1, -1], np.float32(9))
  for other in (pool, pool[:, :-1], pool[:-1]):
    changed = dataclasses.replace(view, pool=jnp.asarray(other))
    assert coverage.carried_over(changed, before).nearest is None
  assert not taken


def _moved(params, what):
  """The parameters with the tower called `what` (all if '') changed."""
  return jax.tree_util.tree_map_with_path(
      lambda path, x: x * 1.01 + 0.01
      if what in jax.tree_util.keystr(path) else x, params)


def _two_states(tiny_run):
  """Of two rounds, with the parameters of the first."""
  states = tiny_run.rounds('random')
  _, first, second = (next(states) for _ in range(3))
  return first, dataclasses.replace(second, params=first.params)


@pytest.mark.parametrize('moved,known', [
    (None, ['image', 'text']), ('text_tower', ['image']),
    ('image_tower', ['text']), ('', [])])
def test_views_of_towers_that_did_not_change(tiny_run, moved, known):
  first, second = _two_states(tiny_run)
  if moved is not None:
    second = dataclasses.replace(second, params=_moved(second.params, moved))
  pools = tiny_run.pools
  arguments = tiny_run.learner, pools, pools.arrived(0)
  before = observe.make_views(first, *arguments)
  assert all(view.nearest is None for view in before.values())
  views = observe.make_views(second, *arguments, before)
  assert [m for m in views if views[m].nearest is not None] == known
  for modality in known:
    view = views[modality]
    aligned = np.asarray(view.aligned)[:2 * tiny.BATCH]
    assert view.aligned_mask.sum() == len(aligned)
    np.testing.assert_allclose(
        np.asarray(view.nearest)[view.remaining], reference.nearest(
            view.pool, aligned, 'cosine')[view.remaining], atol=1e-6)


def test_a_run_with_locked_towers_carries_over_every_round(tiny_run):
  locked = tiny_run.with_recipe(optimizer=optax.set_to_zero())
  seen = []

  def strategy(views, batch, key):
    seen.append(views)
    return registry.STRATEGIES['mmal'](views, batch, key)

  list(locked.rounds(strategy))
  assert len(seen) == tiny.ROUNDS - 1  # The first round's batch is random.
  for t, views in enumerate(seen, start=1):
    for modality in ('image', 'text'):
      view = views[modality]
      aligned = np.asarray(view.aligned)[:t * tiny.BATCH]
      np.testing.assert_allclose(
          np.asarray(view.nearest)[view.remaining], reference.nearest(
              view.pool, aligned, 'cosine')[view.remaining], atol=1e-6)


def test_a_run_that_trains_carries_nothing_over(tiny_run):
  seen = []

  def strategy(views, batch, key):
    seen.extend(view.nearest for view in views.values())
    return registry.STRATEGIES['random'](views, batch, key)

  list(tiny_run.rounds(strategy))
  assert seen == [None] * 2 * (tiny.ROUNDS - 1)


def test_a_locked_tower_is_embedded_once(tiny_run, monkeypatch):
  frozen = freeze.patterns('lit', tiny_run.params)
  locked = tiny_run.with_recipe(
      frozen=frozen, optimizer=optimizer.make_optimizer(
          1e-2, tiny.STEPS, frozen=frozen, ema=0.9))
  embedded, seen, calls = [], [], []
  for name in ('embed', 'embed_to_host'):
    whole = getattr(in_memory, name)
    monkeypatch.setattr(in_memory, name, lambda *given, whole=whole, **more: (
        calls.append(given[3]), whole(*given, **more))[1])

  def strategy(views, batch, key):
    seen.append(views)
    return registry.STRATEGIES['mmal'](views, batch, key)

  states = list(locked.rounds(
      strategy, report=lambda modality, n, seconds: embedded.append(
          (modality, n, seconds > 0))))
  assert embedded == [('image', 40, True)] + [
      ('text', 40, True)] * tiny.ROUNDS
  # Of the pool and of the test.
  assert calls.count('image') == 2
  assert calls.count('text') == 2 * tiny.ROUNDS + 1
  # What was kept is what would have been computed anew.
  afresh = observe.make_views(
      states[-2], locked.learner, locked.pools, locked.pools.arrived(0))
  for modality, view in afresh.items():
    np.testing.assert_array_equal(view.pool, seen[-1][modality].pool)
  first, last = seen[0]['text'].pool, seen[-1]['text'].pool
  assert not np.allclose(first, last, atol=1e-3)
