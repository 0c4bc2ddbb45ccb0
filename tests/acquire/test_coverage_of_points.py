"""Facility location, herding and ProbCover against the plain greedy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import coverage_of_points
from mmal_jax.acquire.kernels import facility_location
from mmal_jax.acquire.kernels import held
from mmal_jax.acquire.kernels import herding
from mmal_jax.acquire.kernels import max_coverage
from mmal_jax.embed import disk
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.parallel import sharding
from tests.support import problems
from tests.support import reference

pytestmark = pytest.mark.usefixtures('quick_compilation')
_N, _K = 61, 12
_SIMILARITIES = {
    'cosine': (coverage_of_points.COSINE, lambda d: np.maximum(1 - d, 0)),
    'exponential': (coverage_of_points.EXPONENTIAL, lambda d: np.exp(-d / 0.3)),
    # No distance between two of the axes is near to it.
    'ball': (coverage_of_points.balls(metric_lib.COSINE),
             lambda d: (d <= 0.3).astype(float))}


def _plain(problem, points, near, k, weights, costs, lots):
  """The picks, and by how much each is better than the second best."""
  pool, remaining, aligned = (
      x if x.dtype == bool else x.astype(np.float64) / np.linalg.norm(
          x, axis=1, keepdims=True) for x in problem.arrays())
  similarities = near(1 - pool @ pool[points].T)
  best = near(1 - aligned @ pool[points].T).max(axis=0, initial=0)
  left, picks, margins = remaining.copy(), [], []
  for _ in range(min(k, left.sum())):
    scores = np.maximum(similarities - best, 0) @ weights / costs + lots
    scores = np.where(left, scores, -np.inf)
    picks.append(scores.argmax())
    margins.append(np.diff(np.sort(scores)[-2:])[0] if len(scores) > 1 else 1)
    left[picks[-1]], best = False, np.maximum(best, similarities[picks[-1]])
  return picks + [-1] * (k - len(picks)), margins + [1] * (k - len(margins))


def _check(problem, name, k=_K, seed=0, **fields):
  """Compares up to the first pick that rounding may decide."""
  rng, n = np.random.default_rng(seed), len(problem.pool)
  similarity, near = _SIMILARITIES[name]
  points = rng.permutation(np.flatnonzero(problem.remaining))[:40]
  weights, costs = rng.uniform(0, 2, len(points)), rng.uniform(0.2, 5, n)
  lots = np.zeros(n)
  if similarity.counts:
    weights, costs, lots = np.ones(len(points)), np.ones(n), rng.uniform(
        0, 0.5, n).astype(np.float32)
  expected, margins = _plain(problem, points, near, k, weights, costs, lots)
  found = coverage_of_points.select(
      problem.view(**fields), k, jnp.asarray(points, jnp.int32), similarity,
      0.3, jnp.float32(weights), jnp.float32(costs), jnp.float32(lots)).tolist()
  certain = next((i for i, m in enumerate(margins) if m < 1e-5), k)
  assert found[:certain] == expected[:certain]
  there = [pick for pick in found if pick >= 0]
  assert len(set(there)) == min(k, problem.remaining.sum())
  assert problem.remaining[there].all()
  return certain


@pytest.mark.parametrize('name', _SIMILARITIES)
@pytest.mark.parametrize('rows', [
    problems.unit, problems.clustered, problems.of_any_norm])
def test_picks_are_those_of_the_plain_greedy(name, rows):
  certain = [
      _check(problems.make(np.random.default_rng(seed), rows, _N), name,
             seed=seed) for seed in range(5)]
  assert np.mean(certain) > _K / 2


@pytest.mark.parametrize('name', _SIMILARITIES)
@pytest.mark.parametrize('n,k', [(1, 1), (1, 3), (9, 12)])
def test_of_a_few_items(name, n, k):
  for seed in range(3):
    _check(problems.make(np.random.default_rng(seed), problems.unit, n), name,
           k, seed)


def test_nothing_remains():
  problem = problems.make(np.random.default_rng(0), problems.unit, _N)
  view = problem.view(remaining=jnp.zeros(_N, bool))
  key = jax.random.key(0)
  assert facility_location.select_facilities(view, 3, key).tolist() == [-1] * 3
  assert max_coverage.select_max_coverage(view, 3, key).tolist() == [-1] * 3
  assert herding.select_herding(
      view, 3, key, jnp.ones(_N)).tolist() == [-1] * 3


def test_ties_go_to_the_lowest_index():
  for rows in (problems.axes, problems.duplicated):
    for seed in range(3):
      problem = problems.make(np.random.default_rng(seed), rows, _N)
      picks = np.asarray(facility_location.select_facilities(
          problem.view(), _K, jax.random.key(seed)))
      pool = problem.pool / np.linalg.norm(problem.pool, axis=1, keepdims=True)
      left = problem.remaining.copy()
      for pick in picks:
        copies = np.flatnonzero(left & (np.abs(pool - pool[pick]).max(
            axis=1) == 0))
        assert pick == copies[0]
        left[pick] = False


def _few_are_held(monkeypatch):
  monkeypatch.setattr(coverage_of_points, '_LEAST_HELD', 1)


def _over(devices):
  return None if devices == 1 else sharding.row_sharding(
      jax.devices()[:devices])


def _laid(problem, devices):
  rows = _over(devices)
  return problem.view(
      pool=rows_lib.laid(problem.pool, rows, 9.0), rows=rows,
      remaining=rows_lib.laid(problem.remaining, rows, False),
      size=len(problem.pool))


def _on_disk(problem, folder, chunk_rows=256):
  np.save(folder / 'a.npy', problem.pool[:300])
  np.save(folder / 'b.npy', problem.pool[300:])
  pool = disk.open_rows(
      [folder / 'a.npy', folder / 'b.npy'],
      chunk_bytes=chunk_rows * problem.pool[0].nbytes)
  return problem.view(pool=pool, remaining=problem.remaining)


def _select(name, view, k, points, key=jax.random.key(3)):
  if name == 'facility':
    return facility_location.select_facilities(view, k, key, points).tolist()
  if name == 'probcover':
    return max_coverage.select_max_coverage(
        view, k, key, None, points).tolist()
  uncertainty = jnp.linspace(0, 1, 2400)[:len(view.remaining)]
  rows = sharding.rows_of(view.pool)
  return herding.select_herding(
      view, k, key, rows_lib.laid(np.asarray(uncertainty), rows),
      points).tolist()


@pytest.mark.long
@pytest.mark.parametrize('name', ['facility', 'probcover', 'herding'])
@pytest.mark.parametrize('rows', [problems.clustered, problems.axes])
def test_in_blocks_over_devices_and_from_disk(
    name, rows, monkeypatch, tmp_path):
  problem = problems.make(np.random.default_rng(0), rows, 2310)
  whole = _select(name, problem.view(), 60, 50)
  _few_are_held(monkeypatch)
  jax.clear_caches()
  assert coverage_of_points._held_rows(50) == 256
  assert _select(name, problem.view(), 60, 50) == whole
  for devices in (2, 4, 8):
    assert _select(name, _laid(problem, devices), 60, 50) == whole, devices
  assert _select(name, _on_disk(problem, tmp_path), 60, 50) == whole
  jax.clear_caches()


def test_few_are_held_and_picks_are_those_of_the_plain_greedy(monkeypatch):
  _few_are_held(monkeypatch)
  for name in _SIMILARITIES:
    problem = problems.make(np.random.default_rng(0), problems.clustered, 777)
    _check(problem, name)


@pytest.mark.parametrize('name', ['facility', 'facility_reference',
                                  'probcover'])
def test_strategies_take_pools_from_disk(name, tmp_path):
  problem = problems.make(np.random.default_rng(0), problems.unit, 400)
  picks = []
  for view in (problem.view(), _on_disk(problem, tmp_path, 70)):
    views = {'image': view, 'text': problem.view()}
    picks.append(registry.find(f'{name}@image')(
        views, _K, jax.random.key(0)).indices.tolist())
  assert picks[0] == picks[1]


@pytest.mark.parametrize('kind', [jnp.bfloat16, jnp.float16])
def test_short_types_are_multiplied_exactly(kind):
  problem = problems.make(np.random.default_rng(0), problems.clustered, _N)
  short = problem.view(pool=jnp.asarray(problem.pool, kind))
  single = dataclasses.replace(short, pool=short.pool.astype(jnp.float32))
  for name in ('facility', 'probcover', 'herding'):
    assert _select(name, short, _K, 50) == _select(name, single, _K, 50)


@pytest.mark.parametrize('aligned', [0, 7])
def test_probcover_radius(aligned):
  problem = problems.make(
      np.random.default_rng(3), problems.unit, _N, aligned=aligned)
  pool, remaining, _ = problem.arrays()
  points = np.flatnonzero(remaining)
  distances = reference.distances(pool[points], pool[points])
  pairs = np.sort(distances[~np.eye(len(points), dtype=bool)])
  padded = np.concatenate([points, np.full(_N - len(points), -1)])
  found = max_coverage.radius(
      problem.view(), jnp.asarray(padded, jnp.int32), _K)
  # A ball holds its share of the other points on average.
  np.testing.assert_allclose(
      found, pairs[len(pairs) // (aligned + _K)], atol=1e-6)


def test_radius_of_one_item_and_of_none():
  for n in (1, 0):
    problem = problems.make(np.random.default_rng(0), problems.unit, _N)
    points = jnp.where(jnp.arange(_N) < n, 0, -1)
    assert max_coverage.radius(problem.view(), points, _K) == np.inf


def test_sums_are_the_same_to_the_bit_however_many_columns_there_are():
  rng = np.random.default_rng(0)
  similarities = jnp.asarray(rng.uniform(size=(1000, 256)), jnp.float32)
  points = held.Points(
      jnp.zeros((1000, 1)), jnp.asarray(rng.uniform(size=1000), jnp.float32),
      jnp.asarray(rng.uniform(size=1000), jnp.float32))
  gains = jax.jit(held.gains)
  np.testing.assert_array_equal(
      gains(similarities, points)[:8], gains(similarities[:, :8], points))


def test_thousands_of_equal_points_make_no_bound_too_low():
  # 4,000 additions of this similarity come out too high by 6e-5 of the sum.
  near, above, low = 0.54681396484375, 2e-5, 0.04 / 36
  pool = np.float32([
      [1, 0, 0], [0, 1, 0], [0, 0, 1],
      [near, (1 - near**2)**0.5, 0],
      [near + above, -(1 - (near + above)**2)**0.5, 0],  # Then gains 0.08,
      [-(1 - low**2)**0.5, 0, low]])  # and this 0.04.
  view = views_lib.View(
      jnp.asarray(pool), jnp.arange(6) > 2, jnp.zeros((1, 3)),
      jnp.zeros(1, bool))
  points = jnp.repeat(jnp.arange(3), jnp.asarray([4000, 60, 36]))
  found = coverage_of_points.select(view, 3, points, coverage_of_points.COSINE)
  assert found.tolist() == [3, 4, 5]


def test_few_points_do_not_bring_the_whole_pool_in():
  assert coverage_of_points._held_rows(1) <= 1 << 16
