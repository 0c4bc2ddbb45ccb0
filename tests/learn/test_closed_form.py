"""The closed form against NumPy in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire.kernels import sinkhorn
from mmal_jax.embed import disk
from mmal_jax.learn.closed_form import basis as basis_lib
from mmal_jax.learn.closed_form import canonical
from mmal_jax.learn.closed_form import closed_world
from mmal_jax.learn.closed_form import moments as moments_lib
from mmal_jax.parallel import sharding


def _unit(x):
  return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)


def _pools(seed, sizes=(300, 300), dims=(24, 17)):
  """Rows of modalities that share a hidden cause."""
  rng = np.random.default_rng(seed)
  hidden = rng.normal(size=(max(sizes), 6))
  return [(hidden[:n] @ rng.normal(size=(6, d)) + 0.3 * rng.normal(
      size=(n, d)) + rng.normal(size=d)).astype(np.float32)
          for n, d in zip(sizes, dims)]


def _reference_heads(pools, cross, penalty, width):
  """Of pools in float64: `x -> x @ head` for each, in the features' own space.
  """
  whitening, means = [], []
  for pool in pools:
    rows = _unit(pool.astype(float))
    means.append(rows.mean(0))
    covariance = np.cov(rows.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0) + penalty * values.mean()
    whitening.append(vectors / np.sqrt(values) @ vectors.T)
  m = len(pools)
  dims = [pool.shape[1] for pool in pools]
  ends = np.cumsum([0, *dims])
  whole = np.zeros((ends[-1],) * 2)
  for (a, b), c in zip(itertools.combinations(range(m), 2), cross):
    block = whitening[a] @ c @ whitening[b]
    whole[ends[a]:ends[a + 1], ends[b]:ends[b + 1]] = block
    whole[ends[b]:ends[b + 1], ends[a]:ends[a + 1]] = block.T
  values, vectors = np.linalg.eigh(whole)
  scaled = vectors[:, ::-1][:, :width] * np.sqrt(
      np.maximum(values[::-1][:width], 0))
  return means, [whitening[i] @ scaled[ends[i]:ends[i + 1]] for i in range(m)]


def _reference_rows(pools, means):
  return [_unit(pool.astype(float)) - mean for pool, mean in zip(pools, means)]


def _reference_plan(similarities, temperature, iterations, a, b, share):
  b = b * a.sum() / b.sum()
  kernel = np.exp(similarities / temperature)
  v = (b > 0).astype(float)
  for _ in range(iterations):
    with np.errstate(divide='ignore', invalid='ignore'):
      u = np.where(a > 0, (a / (kernel @ v)) ** share, 0.0)
      v = np.where(b > 0, (b / (kernel.T @ u)) ** share, 0.0)
  return u[:, None] * kernel * v[None]


def _bases(pools, rank=None):
  return [basis_lib.of_moments(
      moments_lib.add(moments_lib.empty(p.shape[1]), p), rank or p.shape[1])
          for p in pools]


def _rows(bases, pools, there=None):
  return [closed_world.rows_of(
      b, jnp.asarray(p), jnp.ones(len(p), bool) if there is None
      else jnp.asarray(there[:, i]), False)
          for i, (b, p) in enumerate(zip(bases, pools))]


def _similarities(rows, heads, a=0, b=1):
  one, other = (closed_world.embed(rows[i], heads[i], 0.0) for i in (a, b))
  return np.asarray(one @ other.T)


@pytest.mark.parametrize('kind', ['plain', 'cone', 'constant', 'one', 'copies'])
@pytest.mark.parametrize('devices', [1, 8])
def test_moments_are_those_of_all_rows(kind, devices):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1 if kind == 'one' else 501, 9)).astype(np.float32)
  if kind == 'cone':
    x = 1000 + x
  if kind == 'constant':
    x[:, 3:5] = 2.0
  if kind == 'copies':
    x[100:] = x[100]
  rows = None if devices == 1 else sharding.row_sharding()
  found = moments_lib.empty(9)
  for part in np.array_split(x, 1 if kind == 'one' else 3):  # a stream
    found = moments_lib.add(found, part, rows, chunk=64)
  unit = _unit(x.astype(float))
  assert float(found.count) == len(x)
  np.testing.assert_allclose(
      found.shift + found.mean, unit.mean(0), rtol=1e-6, atol=1e-7)
  covariance = found.second - jnp.outer(found.mean, found.mean)
  expected = np.cov(unit.T, bias=True) if len(x) > 1 else np.zeros((9, 9))
  np.testing.assert_allclose(
      covariance, expected, atol=1e-5 * max(np.abs(expected).max(), 1e-6))


@pytest.mark.parametrize('shards', [1, 3])
def test_moments_of_rows_on_disk_are_the_same(tmp_path, shards):
  pool, = _pools(2, (501,), (9,))
  paths = [tmp_path / f'{i}.npy' for i in range(shards)]
  for path, part in zip(paths, np.array_split(pool, shards)):
    np.save(path, part)
  stored = disk.open_rows(paths, chunk_bytes=64 * 9 * 4)
  for found, expected in zip(
      moments_lib.add(moments_lib.empty(9), stored),
      moments_lib.add(moments_lib.empty(9), pool, chunk=64)):
    np.testing.assert_array_equal(found, expected)
  rows = np.array([500, 0, 3, -1])
  np.testing.assert_array_equal(
      moments_lib.take(stored, rows)[:3], pool[rows[:3]])


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('modalities', [2, 3])
def test_heads_are_those_of_regularised_cca(seed, modalities):
  pools = _pools(seed, (300,) * modalities, (24, 17, 20)[:modalities])
  bases = _bases(pools)
  rng = np.random.default_rng(seed)
  there = rng.random((40, modalities)) < 0.8  # some lack an item
  there[:3] = True
  aligned = [p[:40] for p in pools]
  cross = canonical.cross_covariances(
      [r.projected for r in _rows(bases, aligned)], jnp.asarray(there),
      jnp.ones(40))
  heads = canonical.heads(bases, cross, 1.5, 10)
  means = [_unit(p.astype(float)).mean(0) for p in pools]
  centred = _reference_rows(aligned, means)
  expected = []
  for a, b in itertools.combinations(range(modalities), 2):
    both = there[:, a] & there[:, b]
    expected.append(centred[a][both].T @ centred[b][both] / both.sum())
  _, reference = _reference_heads(pools, expected, 1.5, 10)
  for a, b in itertools.combinations(range(modalities), 2):
    x, y = (_unit((_unit(pools[i].astype(float)) - means[i]) @ reference[i])
            for i in (a, b))
    np.testing.assert_allclose(
        _similarities(_rows(bases, pools), heads, a, b), x @ y.T, atol=2e-4)


@pytest.mark.parametrize('kind', ['few rows', 'copies', 'constant', 'one pair'])
def test_degenerate_pools_and_pairs_give_finite_heads(kind):
  pools = _pools(1, (10, 10) if kind == 'few rows' else (50, 50))
  if kind == 'copies':
    pools = [np.repeat(p[:1], 50, 0) for p in pools]
  if kind == 'constant':
    pools[0][:, 2:] = 1.0
  bases = _bases(pools)
  pairs = 1 if kind == 'one pair' else 8
  rows = _rows(bases, pools)
  cross = canonical.cross_covariances(
      [r.projected[:8] for r in rows], jnp.ones((8, 2), bool),
      jnp.asarray(np.arange(8) < pairs, jnp.float32))
  blocks = [rows]
  for setting in (closed_world.Setting(0.3), closed_world.Setting(3.0, 0.8)):
    heads = closed_world.refine(bases, cross, blocks, setting, 1.0, 8)
    assert all(np.isfinite(h).all() for h in heads)
    assert np.isfinite(_similarities(rows, heads)).all()


@pytest.mark.parametrize('shape', [(1, 1), (5, 5), (7, 12), (12, 7)])
@pytest.mark.parametrize('share', [1.0, 0.7])
@pytest.mark.parametrize('masked', [False, True])
def test_the_plan_is_sinkhorns(shape, share, masked):
  rng = np.random.default_rng(hash(shape) % 100)
  s = rng.uniform(-1, 1, shape)
  s[-1] = s[0]  # a tie
  a, b = np.ones(shape[0]), np.ones(shape[1])
  if masked:
    a[1:-1:2] = b[2:-1:3] = 0.0
  found = sinkhorn.plan(
      jnp.asarray(s, jnp.float32), 0.1, 30, jnp.asarray(a, jnp.float32),
      jnp.asarray(b, jnp.float32), share)
  # Without balance the plan's mass depends on how similarities are shifted.
  there = (a[:, None] > 0) & (b[None] > 0)
  expected = _reference_plan(s - s[there].max(), 0.1, 30, a, b, share)
  np.testing.assert_allclose(found, expected, atol=2e-5)
  if share == 1.0:
    np.testing.assert_allclose(found.sum(0), b * a.sum() / b.sum(), rtol=1e-4)


def test_a_plan_of_nothing_is_empty():
  found = sinkhorn.plan(jnp.ones((3, 4)), 0.1, 5, jnp.zeros(3), jnp.ones(4))
  np.testing.assert_array_equal(found, 0.0)


@pytest.mark.parametrize('devices', [1, 2, 8])
@pytest.mark.parametrize('sizes', [(300, 300), (300, 211)])
def test_the_closed_world_is_that_of_numpy(devices, sizes):
  pools = _pools(3, sizes)
  bases = _bases(pools)
  values = dict(zip('ab', pools))
  remaining = {m: np.arange(20, len(p)) for m, p in values.items()}
  over = None if devices == 1 else sharding.row_sharding(
      jax.devices()[:devices])
  (first, blocks), (first_over, blocks_over) = (
      closed_world.sample(
          np.random.default_rng(0), dict(zip('ab', bases)), values, remaining,
          block=64, layout=layout) for layout in (None, over))
  jax.tree.map(np.testing.assert_array_equal, first, first_over)
  jax.tree.map(np.testing.assert_array_equal, first, blocks[0])
  # All that remains is dealt out, once.
  assert len(blocks) == 5 and [
      sum(int(block[i].there.sum()) for block in blocks) for i in (0, 1)
  ] == [n - 20 for n in sizes]
  rows = _rows(bases, [p[:20] for p in pools])
  cross = canonical.cross_covariances(
      [r.projected for r in rows], jnp.ones((20, 2), bool), jnp.ones(20))
  setting = closed_world.Setting(2.0, 0.7, 0.1)
  heads = closed_world.refine(
      bases, cross, blocks_over, setting, 0.9, 12, iterations=3, rows=over)

  current = expected = np.asarray(cross[0], float)

  def reference_heads(cross):
    whitening = [1 / np.sqrt(
        np.asarray(b.values, float) + 2.0 * float(b.ridge)) for b in bases]
    u, s, vt = np.linalg.svd(whitening[0][:, None] * cross * whitening[1])
    return [w[:, None] * v[:, :12] * np.sqrt(s[:12])
            for w, v in zip(whitening, (u, vt.T))]

  for _ in range(3):
    planned = 0.0
    found = reference_heads(current)
    for block in blocks:
      z = [np.asarray(r.projected, float) for r in block]
      x, y = (_unit(z[i] @ found[i]) for i in (0, 1))
      a, b = (np.asarray(r.there, float) for r in block)
      s = x @ y.T
      s -= s[(a[:, None] > 0) & (b[None] > 0)].max()
      planned = planned + z[0].T @ _reference_plan(
          s, 0.1, closed_world.SINKHORN, a, b, 0.9) @ z[1]
    current = 0.3 * expected + 0.7 * planned * (
        np.linalg.norm(expected) / np.linalg.norm(planned))
  found = reference_heads(current)
  z = [np.asarray(r.projected, float) for r in _rows(bases, pools)]
  x, y = (_unit(z[i] @ found[i]) for i in (0, 1))
  np.testing.assert_allclose(
      _similarities(_rows(bases, pools), heads), x @ y.T, atol=1e-3)


def test_fewer_directions_than_columns_are_the_leading_ones():
  pool, = _pools(4, (200,), (24,))
  basis, = _bases([pool], rank=5)
  covariance = np.cov(_unit(pool.astype(float)).T, bias=True)
  values = np.linalg.eigvalsh(covariance)[::-1]
  np.testing.assert_allclose(basis.values, values[:5], rtol=1e-4)
  np.testing.assert_allclose(basis.ridge, values.mean(), rtol=1e-5)
  np.testing.assert_allclose(
      basis.vectors.T @ basis.vectors, np.eye(5), atol=1e-5)
