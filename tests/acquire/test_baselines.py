"""The baselines against their definitions, in float64."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import coverage_of_points
from mmal_jax.acquire.kernels import design
from mmal_jax.acquire.kernels import facility_location
from mmal_jax.acquire.kernels import held
from mmal_jax.acquire.kernels import plan_scores
from mmal_jax.acquire.kernels import seeding
from mmal_jax.acquire.strategies import badge
from mmal_jax.acquire.strategies import cluster_margin
from mmal_jax.acquire.strategies import kmeans
from mmal_jax.acquire.strategies import probcover
from mmal_jax.acquire.strategies import typiclust
from mmal_jax.embed import disk
from mmal_jax.parallel import sharding
from tests.support import problems
from tests.support import reference

pytestmark = pytest.mark.usefixtures('quick_compilation')
_WHOLE = ['badge', 'cluster_margin', 'design', 'facility', 'herding', 'kmeans',
          'mmal_plus', 'probcover', 'two_sided', 'typiclust']
_N, _K = 60, 8
_SCALE, _BIAS = 10.0, -7.0


def _problem(seed, rows=problems.unit, metric='cosine', aligned=None):
  return problems.make(
      np.random.default_rng(seed), rows, _N, metric, aligned=aligned)


def _views(*problems_):
  return {m: problem.view(
      logit_scale=jnp.float32(_SCALE), logit_bias=jnp.float32(_BIAS))
          for m, problem in zip(('image', 'text', 'sound'), problems_)}


def _ask(name, views, seed=0, **knobs):
  query = registry.find(f'{name}@image')(
      views, _K, jax.random.key(seed), **knobs)
  return query.indices.tolist()


def _blobs(sizes, rng):
  """Far apart and tight, in any order: `[n, D]` and the blob of each."""
  blob = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
  return np.eye(problems.D)[blob] + 0.02 * problems.unit(rng, len(blob)), blob


def _of_blobs(sizes, seed):
  rng = np.random.default_rng(seed)
  pool, blob = _blobs(sizes, rng)
  problem = _problem(seed, aligned=0)
  problem.pool[:], problem.remaining[:] = pool, True
  return problem, blob


def _losses(x, y, scale, bias):
  """Of a row whose first match is taken to be right, the others wrong."""
  z = scale * y @ x + bias
  return np.logaddexp(0, -z[0]) + np.logaddexp(0, z[1:]).sum()


def _slopes(x, y):
  """Central differences."""
  step = 1e-5 * np.eye(len(x))
  return np.array([
      _losses(x + e, y, _SCALE, _BIAS) - _losses(x - e, y, _SCALE, _BIAS)
      for e in step]) / 2e-5


@pytest.mark.parametrize('negatives', [0, 4])
@pytest.mark.parametrize('metric', ['cosine', 'inner'])
def test_badge_gradients(negatives, metric):
  rows = problems.of_any_norm if metric == 'cosine' else problems.unit
  mine, other = (_problem(seed, rows, metric) for seed in range(2))
  views = _views(mine, other)
  found = badge.gradients(views['image'], views['text'], negatives)
  x, y = (p.pool / np.linalg.norm(p.pool, axis=1, keepdims=True)
          if metric == 'cosine' else p.pool for p in (
              mine._replace(pool=mine.pool.astype(np.float64)),
              other._replace(pool=other.pool.astype(np.float64))))
  y = y[other.remaining]
  for row, gradient in zip(x, np.asarray(found)):
    best = np.argsort(-(y @ row))[:1 + negatives]
    np.testing.assert_allclose(
        gradient, _slopes(row, y[best]), rtol=1e-3, atol=1e-4)


def test_badge_where_fewer_remain_than_negatives():
  mine, other = _problem(0), _problem(1)
  other.remaining[:] = np.arange(_N) == 5
  views = _views(mine, other)
  np.testing.assert_allclose(
      badge.gradients(views['image'], views['text'], 4),
      badge.gradients(views['image'], views['text'], 0), rtol=1e-6)
  other.remaining[5] = False
  views = _views(mine, other)
  assert not badge.gradients(views['image'], views['text'], 4).any()


def test_badge_asks_for_spread_gradients_of_all_losses():
  views = _views(*map(_problem, range(3)))
  total = sum(
      badge.gradients(views['image'], views[m], 4) for m in ('text', 'sound'))
  _, key = jax.random.split(jax.random.key(3))
  expected = seeding.spread(
      total, views['image'].remaining, jax.random.fold_in(key, 0), _K)
  assert _ask('badge', views, 3) == expected.tolist()


def test_badge_needs_logits():
  views = _views(_problem(0), _problem(1))
  for name in ('logit_scale', 'logit_bias'):
    without = views | {'text': dataclasses.replace(views['text'], **{
        name: None})}
    with pytest.raises(ValueError, match=f'view.{name}=None: badge needs it'):
      badge.badge(without, _K, jax.random.key(0))
  with pytest.raises(ValueError, match='negatives=-1 must be at least 0'):
    badge.badge(views, _K, jax.random.key(0), negatives=-1)


def _typical(pool, members):
  """The most typical of the members."""
  rows = pool[members].astype(np.float64)
  rows /= np.linalg.norm(rows, axis=1, keepdims=True)
  distances = np.sqrt(np.square(rows[:, None] - rows[None]).sum(axis=2))
  nearest = np.sort(distances, axis=1)[:, 1:21]
  return members[nearest.mean(axis=1).argmin()]


def test_typiclust_asks_for_typical_items_of_large_clusters_not_covered():
  # Eleven clusters would be too many for these: at most as many as there are.
  problem, blob = _of_blobs([20, 3, 11, 8, 6, 7, 5], 0)
  problem.aligned[:2], problem.aligned_mask[:2] = np.eye(8)[[0, 4]], True
  views = _views(problem, _problem(1))
  picks = _ask('typiclust', views, most_clusters=7)
  members = {b: np.flatnonzero(blob == b) for b in range(7)}
  # The largest without an aligned item, those with one, and all over again.
  order = [2, 3, 5, 6, 1, 0, 4, 2]
  assert blob[picks].tolist() == order
  assert picks[:7] == [_typical(problem.pool, members[b]) for b in order[:7]]


def test_typiclust_makes_as_many_clusters_as_there_will_be_aligned_items():
  # Two aligned ones and eight to come: every point has a cluster of its own.
  problem, blob = _of_blobs([30, 30], 0)
  problem.remaining[:] = False
  problem.remaining[[*np.flatnonzero(blob == 0)[:5],
                     *np.flatnonzero(blob == 1)[:5]]] = True
  problem.aligned[:2] = problem.pool[problem.remaining][:2]
  problem.aligned_mask[:2] = True
  picks = _ask('typiclust', _views(problem, _problem(1)))
  covered = np.flatnonzero(problem.remaining)[:2]
  assert sorted([*picks, *covered]) == np.flatnonzero(
      problem.remaining).tolist()


@pytest.mark.parametrize('metric', metric_lib.METRICS)
def test_probcover_is_greedy(metric):
  for seed in range(8):
    problem = _problem(seed, problems.clustered, metric, aligned=seed // 2)
    pool, remaining, aligned = problem.arrays()
    distances = np.array([
        reference.distance_to(pool[remaining], row, metric) for row in pool])
    delta = np.quantile(distances, (0.05, 0.2)[seed % 2])
    picks = _ask('probcover', _views(problem, _problem(9)), seed, delta=delta)
    is_open = reference.nearest(pool[remaining], aligned, metric) > delta
    assert is_open.any()
    left = remaining.copy()
    for pick in picks:
      counts = (distances[:, is_open] <= delta).sum(axis=1)
      assert left[pick] and counts[pick] == counts[left].max()
      left[pick] = False
      is_open &= distances[pick] > delta


def test_probcover_asks_at_random_once_all_is_covered():
  views = _views(_problem(0), _problem(1))
  chosen = {tuple(_ask('probcover', views, seed, delta=3.0))
            for seed in range(5)}
  assert len(chosen) == 5


def _facility_regrets(problem, picks, points):
  """By how much less each pick raises the sum than the best would have."""
  pool, remaining, aligned = problem.arrays()
  cosines = 1 - reference.distances(*(
      x / np.linalg.norm(x, axis=1, keepdims=True)
      for x in (pool.astype(np.float64), pool[points].astype(np.float64))))
  best = np.maximum(
      1 - reference.nearest(pool[points], aligned, 'cosine'), 0)
  left, regrets = remaining.copy(), []
  for pick in picks:
    gains = np.maximum(cosines - best, 0).sum(axis=1)
    assert left[pick]
    regrets.append((gains[left].max() - gains[pick],
                    np.flatnonzero(left & (gains == gains[left].max()))[0]))
    left[pick] = False
    best = np.maximum(best, cosines[pick])
  return regrets


@pytest.mark.parametrize('rows', [
    problems.of_any_norm, problems.clustered, problems.duplicated])
def test_facility_location_is_greedy(rows):
  for seed in range(3):
    problem = _problem(seed, rows)
    picks = _ask('facility', _views(problem, _problem(9)), seed)
    regrets = _facility_regrets(
        problem, picks, np.flatnonzero(problem.remaining))
    assert max(regret for regret, _ in regrets) < 1e-5


def test_facility_location_settles_ties_by_the_lowest_index():
  for seed in range(3):
    problem = _problem(seed, problems.axes, aligned=3)
    picks = _ask('facility', _views(problem, _problem(9)), seed)
    first = _facility_regrets(
        problem, picks, np.flatnonzero(problem.remaining))
    assert picks == [index for _, index in first]


def test_facility_location_is_greedy_where_bounds_are_many():
  # More items than are brought up to date at a time.
  rng = np.random.default_rng(0)
  problem = problems.make(rng, problems.clustered, 700)
  picks = facility_location.select_facilities(
      problem.view(), 30, jax.random.key(0)).tolist()
  regrets = _facility_regrets(
      problem, picks, np.flatnonzero(problem.remaining))
  assert max(regret for regret, _ in regrets) < 1e-4


@pytest.mark.parametrize('name', ['facility', 'probcover'])
def test_drawn_points_stand_for_the_pool(name):
  problem, blob = _of_blobs([55, 5], 0)
  knobs = {'delta': 0.1} if name == 'probcover' else {}
  views = _views(problem, _problem(1))
  picks = [_ask(name, views, seed, points=9, **knobs) for seed in range(5)]
  # Most of nine are of the large one, and other nine every time.
  assert {int(blob[pick[0]]) for pick in picks} == {0}
  assert len(set(map(tuple, picks))) == 5
  with pytest.raises(ValueError, match='points=0 must be at least 1'):
    _ask(name, views, points=0)


def test_kmeans_asks_for_what_is_nearest_to_the_centres():
  problem, blob = _of_blobs([14, 3, 11, 8, 6, 7, 5, 6], 0)
  picks = _ask('kmeans', _views(problem, _problem(1)))
  order = [0, 2, 3, 5, 4, 7, 6, 1]
  assert sorted(blob[picks].tolist()) == list(range(8))
  assert blob[picks[:4]].tolist() == order[:4]
  rows = problem.pool / np.linalg.norm(problem.pool, axis=1, keepdims=True)
  for pick in picks:
    members = np.flatnonzero(blob == blob[pick])
    centre = rows[members].mean(axis=0)
    assert pick == members[
        np.square(rows[members] - centre).sum(axis=1).argmin()]


def test_cluster_margin_asks_for_small_margins_of_small_clusters_first():
  problem, blob = _of_blobs([14, 3, 11, 8, 6, 7, 5, 6], 0)
  other = _problem(1)
  views = _views(problem, other)
  margins = reference.margins(
      problem.pool / np.linalg.norm(problem.pool, axis=1, keepdims=True),
      *other.arrays()[:2])
  candidates = np.argsort(margins)[:3 * _K]
  counts = np.bincount(blob[candidates], minlength=8)
  for seed in range(4):
    picks = _ask('cluster_margin', views, seed, ratio=3)
    assert set(picks) <= set(candidates.tolist())
    # One of each cluster that has a candidate before the second of any.
    first = blob[picks[:(counts > 0).sum()]]
    assert len(set(first)) == len(first)
    assert (np.diff(counts[first]) >= 0).all()
  fewer = _ask('cluster_margin', views, ratio=1)
  assert set(fewer) == set(candidates[:_K].tolist())


@pytest.mark.parametrize('name,sign', [
    ('similarity', 1), ('dissimilarity', -1)])
def test_similarity(name, sign):
  mine, other = _problem(0), _problem(1)
  best = (1 - reference.distances(
      mine.pool, other.pool[other.remaining])).max(axis=1)
  order = np.argsort(-sign * best)
  expected = order[mine.remaining[order]][:_K]
  assert _ask(name, _views(mine, other)) == expected.tolist()


@pytest.mark.parametrize('name', _WHOLE)
def test_half_precision(name):
  views = {
      m: dataclasses.replace(
          view, pool=view.pool.astype(jnp.bfloat16),
          aligned=view.aligned.astype(jnp.bfloat16))
      for m, view in _views(_problem(0), _problem(1)).items()}
  single = {
      m: dataclasses.replace(
          view, pool=view.pool.astype(jnp.float32),
          aligned=view.aligned.astype(jnp.float32))
      for m, view in views.items()}
  assert _ask(name, views) == _ask(name, single)


@pytest.mark.parametrize('name', _WHOLE)
def test_padding_of_the_aligned_set_may_be_anything(name):
  views = _views(_problem(0), _problem(1))
  filled = {
      m: dataclasses.replace(view, aligned=jnp.where(
          view.aligned_mask[:, None], view.aligned, jnp.nan))
      for m, view in views.items()}
  assert _ask(name, filled) == _ask(name, views)


def _coverage_program(similarity, view, key):
  del key
  points = held.Points(view.pool[:4096], jnp.ones(4096), jnp.zeros(4096))
  return coverage_of_points._select.lower(
      view.pool, view.remaining, None, None, points, jnp.float32(0.1), 200,
      similarity, None)


@pytest.mark.parametrize('select', [
    *(functools.partial(_coverage_program, similarity) for similarity in (
        coverage_of_points.balls(metric_lib.COSINE), coverage_of_points.COSINE,
        coverage_of_points.EXPONENTIAL)),
    lambda view, key: design.select_design.lower(
        view.pool, view.remaining, view.aligned, view.aligned_mask, 200),
    lambda view, key: plan_scores._summarized.lower(
        view.pool, view.remaining, view.pool, view.remaining, key, 0.05, 1024,
        20, plan_scores._scores, view.remaining, view.remaining),
    lambda view, key: kmeans._select.lower(view, key, 200),
    lambda view, key: typiclust._select.lower(view, key, 200, 300, 20)])
def test_nothing_grows_with_the_square_of_the_pool(select):
  n = 20_000
  pool, mask = jnp.zeros((n, 4)), jnp.ones(n, bool)
  view = views_lib.View(pool, mask, pool[:100], mask[:100])
  compiled = select(view, jax.random.key(0)).compile()
  # Of 1.6 GB for all pairs.
  assert compiled.memory_analysis().temp_size_in_bytes < 100e6


# The others work there: see `test_sharded_strategies`, `test_foresight` and
# `test_coverage_of_points`.
@pytest.mark.parametrize(
    'name', [name for name in _WHOLE
             if registry.STRATEGIES[name].one_device])
def test_pools_that_are_not_whole_are_refused(name, tmp_path):
  problem = _problem(0)
  views = _views(problem, _problem(1))
  sharded = sharding.shard_rows(problem.pool, sharding.row_sharding())
  np.save(tmp_path / 'pool.npy', problem.pool)
  on_disk = disk.open_rows(tmp_path / 'pool.npy')
  for pool, error, what in (
      (on_disk, TypeError, 'lies on disk'),
      (sharded, ValueError, 'is sharded over devices')):
    moved = views | {'text': dataclasses.replace(views['text'], pool=pool)}
    with pytest.raises(error, match=f'{name}: the text pool {what}'):
      _ask(name, moved)


def test_numbers_below_one_are_refused():
  views, key = _views(_problem(0), _problem(1)), jax.random.key(0)
  for strategy, name in (
      (typiclust.typiclust, 'most_clusters'),
      (typiclust.typiclust, 'neighbours'),
      (cluster_margin.cluster_margin, 'ratio'),
      (cluster_margin.cluster_margin, 'clusters'),
      (probcover.probcover, 'points')):
    with pytest.raises(ValueError, match=f'{name}=0 must be at least 1'):
      strategy(views, _K, key, **{name: 0})
