"""Blocks of two pools, dealt alike in memory, over devices and on disk."""

import dataclasses
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import deal as deal_lib
from mmal_jax.acquire.kernels import plan_scores
from mmal_jax.embed import disk
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.parallel import sharding
from tests.support import problems

_N, _M = 107, 90
_JITTED = (
    deal_lib.deal, plan_scores._summarized, plan_scores._over_devices)


@pytest.fixture
def small_groups(monkeypatch):
  """Groups of at most 30 rows: of 107 there are 4."""

  def forget():
    for function in _JITTED:
      function.clear_cache()

  forget()
  monkeypatch.setattr(deal_lib, '_GROUP', 30)
  yield
  monkeypatch.undo()
  forget()


def _views(n=_N, m=_M):
  rng = np.random.default_rng(5)
  return [problems.make(rng, problems.unit, size).view(
      logit_scale=jnp.float32(10.0)) for size in (n, m)]


def _on_disk(view, folder, name):
  """In two files, and rows of -1 are read as well."""
  pool, paths = np.asarray(view.pool), []
  for i, part in enumerate(np.array_split(pool, 2)):
    paths.append(folder / f'{name}{i}.npy')
    np.save(paths[-1], part)
  return dataclasses.replace(view, pool=disk.open_rows(paths, 1024))


def _over(view, devices):
  rows = sharding.row_sharding(jax.devices()[:devices])
  n = len(view.pool)
  return dataclasses.replace(
      view, pool=rows_lib.laid(np.asarray(view.pool), rows),
      remaining=rows_lib.laid(np.asarray(view.remaining), rows, False),
      size=n)


def _dealt_before(key, remaining, count, n):
  """As pools were dealt when all were in memory: to all blocks in turn."""
  lots = jax.random.uniform(key, remaining.shape)
  order = views_lib.keep_best(lots, remaining, -(-n // count) * count)
  return order.reshape(-1, count).T


@pytest.mark.parametrize('left', [0.0, 0.02, 0.8, 1.0])
def test_pools_of_one_group_are_dealt_as_ever(left):
  rng, key = np.random.default_rng(0), jax.random.key(3)
  masks = [jnp.asarray(rng.random(n) < left) for n in (_N, _M)]
  found = deal_lib.deal(key, tuple(masks), (_N, _M), 20)
  for some, part, mask, n in zip(
      found, jax.random.split(key), masks, (_N, _M)):
    np.testing.assert_array_equal(some[0], _dealt_before(part, mask, 6, n))


@pytest.mark.parametrize('left', [0.0, 0.05, 0.8, 1.0])
@pytest.mark.parametrize('sizes', [(_N, _M), (30, 200), (1, 61)])
def test_each_is_dealt_once_and_evenly(small_groups, left, sizes):
  rng = np.random.default_rng(1)
  masks = [rng.random(n) < left for n in sizes]
  masks[0][:sizes[0] // 2] = False  # What remains lies at one end.
  dealt = deal_lib.deal(
      jax.random.key(0), tuple(map(jnp.asarray, masks)), sizes, 8)
  groups = -(-max(sizes) // 30)
  for i, (places, mask) in enumerate(zip(map(np.asarray, dealt), masks)):
    assert places.shape[:2] == dealt[0].shape[:2] and len(places) == groups
    there = places[places >= 0]
    np.testing.assert_array_equal(np.sort(there), np.flatnonzero(mask))
    assert np.ptp((places >= 0).sum(axis=(1, 2))) <= 1
    assert np.ptp((places >= 0).sum(axis=2), axis=1).max(initial=0) <= 1
    # A group is consecutive, those of the first pool in their order.
    spans = [np.sort(some[some >= 0]) for some in places]
    spans = [np.searchsorted(np.flatnonzero(mask), some) for some in spans]
    assert all(np.all(np.diff(some) == 1) for some in spans)
    if not i:
      assert np.all(np.diff(np.concatenate(spans)) == 1)


@pytest.mark.parametrize('n,slots', [
    (7693, 7936), (512, 512), (500, 512), (700, 700), (90, 90)])
def test_slots_are_even_where_that_takes_few(n, slots):
  mask = jnp.arange(n) % 7 > 0
  found, _ = deal_lib.deal(jax.random.key(0), (mask, mask), (n, n), 8192)
  assert found.shape == (1, 1, slots)
  np.testing.assert_array_equal(
      found[0, 0, :n],
      _dealt_before(jax.random.split(jax.random.key(0))[0], mask, 1, n)[0])
  assert np.all(found[0, 0, n:] == -1)


def test_groups_meet_at_random(small_groups):
  mask = jnp.ones(300, bool)
  met = {tuple(np.asarray(deal_lib.deal(
      jax.random.key(i), (mask, mask), (300, 300), 30)[1])[:, 0].max(axis=1)
               // 30) for i in range(5)}
  assert len(met) == 5 and all(set(some) == set(range(10)) for some in met)


@pytest.mark.long
@pytest.mark.parametrize('side,block,group', [
    ('first', 7, 30), ('second', 20, 30), ('both', 20, 30), ('both', 7, 2**17)])
def test_scores_from_disk(
    tmp_path, monkeypatch, small_groups, side, block, group):
  monkeypatch.setattr(deal_lib, '_GROUP', group)
  key, in_memory = jax.random.key(2), _views()
  there = [
      _on_disk(view, tmp_path, name) if side in (name, 'both') else view
      for name, view in zip(('first', 'second'), in_memory)]
  found, expected = (
      plan_scores.plan_scores(*views, key, block=block)
      for views in (there, in_memory))
  rows = [np.random.default_rng(0).normal(size=(n, 3)) for n in (_N, _M)]
  found += plan_scores.expected_rows(*there, *rows, key, block=block)
  expected += plan_scores.expected_rows(*in_memory, *rows, key, block=block)
  for some, others in zip(
      jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    assert some.shape == others.shape and isinstance(some, jax.Array)
    np.testing.assert_allclose(some, others, atol=2e-6)
  assert expected[0].confidence.max() > 0.1


@pytest.mark.long
@pytest.mark.parametrize('devices', [2, 8])
def test_scores_over_devices(tmp_path, small_groups, devices):
  one, other = _views()
  expected = plan_scores.plan_scores(one, other, jax.random.key(2), block=9)
  # Both over a mesh; and one of them, where the other is on disk.
  for views in ([_over(one, devices), _over(other, devices)],
                [_on_disk(one, tmp_path, 'x'), _over(other, devices)]):
    found = plan_scores.plan_scores(*views, jax.random.key(2), block=9)
    assert sharding.rows_of(found[1].margin) == sharding.rows_of(views[1].pool)
    for some, others, n in zip(found, expected, (_N, _M)):
      for x, y in zip(some, others):
        np.testing.assert_allclose(x[:n], y, atol=2e-6)
        assert not np.any(x[n:])


@pytest.mark.parametrize('name', ['plan_margin', 'plan_entropy'])
def test_picks_from_disk(tmp_path, small_groups, name):
  views = dict(zip(('image', 'text'), _views()))
  there = {m: _on_disk(view, tmp_path, m) for m, view in views.items()}
  found, expected = (
      registry.STRATEGIES[name](some, 12, jax.random.key(0))
      for some in (there, views))
  assert found.modality == expected.modality
  np.testing.assert_array_equal(found.indices, expected.indices)


def test_each_pool_is_read_once_in_order(tmp_path, small_groups, monkeypatch):
  views = [_on_disk(view, tmp_path, str(i)) for i, view in enumerate(_views())]
  read = {id(view.pool): [] for view in views}
  take = disk.DiskRows.take
  monkeypatch.setattr(disk.DiskRows, 'take', lambda self, indices: (
      read[id(self)].append(np.asarray(indices)), take(self, indices))[1])
  plan_scores.plan_scores(*views, jax.random.key(0), block=5)
  for view in views:
    parts = read[id(view.pool)]
    assert len(parts) == 4 and max(map(len, parts)) <= 30
    assert all(np.all(np.diff(part) > 0) for part in parts)
    np.testing.assert_array_equal(
        np.sort(np.concatenate(parts)), np.flatnonzero(view.remaining))


def test_one_group_of_each_pool_is_held(tmp_path, small_groups, monkeypatch):
  views = [_on_disk(view, tmp_path, str(i)) for i, view in enumerate(_views())]
  held, most = weakref.WeakSet(), []
  take = disk.DiskRows.take

  class Rows(np.ndarray):
    """An array whose life can be watched."""

    __hash__ = object.__hash__

  def watched(self, indices):
    rows = take(self, indices).view(Rows)
    held.add(rows)
    most.append(len(held))
    return rows

  monkeypatch.setattr(disk.DiskRows, 'take', watched)
  plan_scores.plan_scores(*views, jax.random.key(0), block=5)
  assert most == [1, 2] * 4
