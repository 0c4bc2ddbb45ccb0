"""k-means and what strategies make of clusters, against float64 and loops."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import kmeans
from mmal_jax.acquire.kernels import seeding
from mmal_jax.acquire.kernels import turns
from mmal_jax.acquire.kernels import typicality
from tests.support import problems

_SIZES = [1, 40, 4096 + 7]  # within and beyond a tile


def _lloyd(points, mask, centres, iterations):
  """Centres, and labels of all points, in float64."""
  points, centres = points.astype(np.float64), centres.astype(np.float64)

  def labels():
    distances = np.square(points[:, None] - centres[None]).sum(axis=2)
    return distances.argmin(axis=1)

  for _ in range(iterations):
    found = labels()
    for j in range(len(centres)):
      mine = mask & (found == j)
      centres[j] = points[mine].mean(axis=0) if mine.any() else centres[j]
  return centres, labels()


@pytest.mark.parametrize('n', _SIZES)
@pytest.mark.parametrize('iterations', [0, 3])
def test_lloyd(n, iterations):
  rng = np.random.default_rng(n)
  points = problems.clustered(rng, n).astype(np.float32)
  mask = rng.random(n) < 0.7
  mask[0] = True
  points[~mask] = 30.0  # which would draw centres away
  centres = problems.unit(rng, 12).astype(np.float32)
  found = kmeans.lloyd(
      jnp.asarray(points), jnp.asarray(mask), jnp.asarray(centres),
      jnp.arange(12) < 9, iterations)
  expected, labels = _lloyd(points, mask, centres[:9], iterations)
  np.testing.assert_allclose(found.centres[:9], expected, atol=1e-5)
  np.testing.assert_array_equal(found.labels, np.where(mask, labels, -1))
  np.testing.assert_allclose(
      found.distances,
      np.square(points - expected[labels]).sum(axis=1), rtol=1e-4, atol=1e-5)


def test_a_point_between_two_centres_goes_to_the_first():
  found = kmeans.lloyd(
      jnp.zeros((1, 2)), jnp.ones(1, bool),
      jnp.array([[2., 0.], [1., 0.], [0., 1.], [-1., 0.]]), jnp.ones(4, bool),
      0)
  assert found.labels.tolist() == [1]


def test_kmeans_finds_what_lies_apart():
  rng = np.random.default_rng(0)
  truth = rng.permutation(np.arange(40) % 5)
  points = jnp.asarray(
      np.eye(5)[truth] + 0.01 * rng.normal(size=(40, 5)), jnp.float32)
  # Five of at most eight.
  found = kmeans.kmeans(
      points, jnp.ones(40, bool), jax.random.key(0), 8, jnp.int32(5))
  labels = np.asarray(found.labels)
  assert set(labels.tolist()) == set(range(5))
  np.testing.assert_array_equal(
      labels[:, None] == labels[None], truth[:, None] == truth[None])


@pytest.mark.parametrize('n', [1, 2, 40])
def test_kmeans_of_fewer_points_than_clusters(n):
  points = jnp.asarray(np.arange(40) % 3, jnp.float32)[:, None]
  found = kmeans.kmeans(points, jnp.arange(40) < n, jax.random.key(1), 8)
  assert (found.labels[:n] >= 0).all() and (found.labels[n:] == -1).all()
  assert (found.distances[:n] == 0).all()
  assert np.isfinite(found.centres).all()


def test_rows_to_cluster():
  x = jnp.array([[3., 4.]], jnp.bfloat16)
  for name, expected in (('cosine', [0.6, 0.8]), ('sqeuclidean', [3., 4.]),
                         ('inner', [3., 4.])):
    points = kmeans.points(x, metric_lib.METRICS[name])
    assert points.dtype == jnp.float32
    np.testing.assert_allclose(points[0], expected, rtol=1e-6)


@pytest.mark.parametrize('scale', [1.0, 1e-15])
def test_seeds_are_drawn_by_squared_distance(scale):
  x = np.array([0.0, 1.0, 1.0, 3.0, 50.0])
  allowed = np.array([True, True, True, True, False])
  draws = 4000
  picks = np.asarray(jax.vmap(lambda key: seeding.spread(
      jnp.asarray(scale * x, jnp.float32)[:, None], jnp.asarray(allowed), key,
      2))(jax.random.split(jax.random.key(0), draws)))
  squares = np.square(x[:4, None] - x[None, :4])
  expected = squares / squares.sum(axis=1, keepdims=True) / 4
  for i, j in itertools.product(range(4), repeat=2):
    count = ((picks[:, 0] == i) & (picks[:, 1] == j)).sum()
    deviation = np.sqrt(draws * expected[i, j])
    assert abs(count - draws * expected[i, j]) <= 4 * deviation


def test_seeds_of_copies_are_distinct():
  points = jnp.asarray(np.arange(40) % 3, jnp.float32)[:, None]
  for seed in range(5):
    picks = np.asarray(seeding.spread(
        points, jnp.arange(40) < 10, jax.random.key(seed), 12))
    # Every value once before any copy.
    assert set((picks[:3] % 3).tolist()) == {0, 1, 2}
    assert sorted(picks[:10].tolist()) == list(range(10))
    assert picks[10:].tolist() == [-1, -1]


def _in_turn(groups, scores, allowed, order, k):
  waiting = {g: sorted(
      (i for i in range(len(groups)) if allowed[i] and groups[i] == g),
      key=lambda i: (-scores[i], i)) for g in order}
  picks = []
  while any(waiting.values()):
    picks += [waiting[g].pop(0) for g in order if waiting[g]]
  return (picks + [-1] * k)[:k]


@pytest.mark.parametrize('left', [0.0, 0.2, 0.9])
def test_take_in_turn(left):
  for seed in range(5):
    rng = np.random.default_rng(seed)
    groups = rng.integers(6, size=40).astype(np.int32)
    allowed = rng.random(40) < left
    groups[~allowed] = -1
    scores = rng.choice([0.0, 1.0, 2.0, np.inf, -np.inf], 40)
    order = rng.permutation(7)
    got = turns.take_in_turn(
        jnp.asarray(groups), jnp.asarray(scores, jnp.float32),
        jnp.asarray(allowed), jnp.asarray(order), 25)
    assert got.dtype == jnp.int32
    assert got.tolist() == _in_turn(groups, scores, allowed, order, 25)
    sizes = turns.sizes(jnp.asarray(groups), jnp.asarray(allowed), 7)
    assert sizes.tolist() == [
        (allowed & (groups == g)).sum() for g in range(7)]


@pytest.mark.parametrize('n,g', [(1, 1), (40, 12), (1500, 3), (1500, 40)])
def test_typicality(n, g):
  rng = np.random.default_rng([n, g])
  points = problems.unit(rng, n)
  groups = rng.integers(g, size=n)
  allowed = rng.random(n) < 0.8
  allowed[0] = True
  groups[0] = g  # alone
  found = np.asarray(typicality.typicality(
      jnp.asarray(points, jnp.float32), jnp.asarray(groups, jnp.int32),
      jnp.asarray(allowed), 20))
  assert found[0] == 0
  distances = np.sqrt(np.square(points[:, None] - points[None]).sum(axis=2))
  counts = allowed[None] & (groups[:, None] == groups[None])
  distances[~counts | np.eye(n, dtype=bool)] = np.inf
  for i in np.flatnonzero(allowed):
    nearest = np.sort(distances[i])[:20]
    nearest = nearest[nearest < np.inf]
    expected = 1 / nearest.mean() if len(nearest) else 0.0
    assert found[i] == pytest.approx(expected, rel=1e-4)


def test_copies_are_infinitely_typical():
  # Of any direction: products of these leave them some 1e-4 apart.
  points = np.repeat(problems.unit(np.random.default_rng(0), 5), 8, axis=0)
  found = typicality.typicality(
      jnp.asarray(points, jnp.float32), jnp.arange(40) // 8, jnp.ones(40, bool),
      7)
  assert (found == jnp.inf).all()


def test_typicality_of_near_copies():
  rng = np.random.default_rng(1)
  points = (problems.unit(rng, 1) + 1e-5 * rng.normal(
      size=(40, problems.D))).astype(np.float32)
  found = typicality.typicality(
      jnp.asarray(points), jnp.zeros(40, jnp.int32), jnp.ones(40, bool), 39)
  distances = np.sqrt(np.square(
      points[:, None].astype(float) - points[None]).sum(axis=2))
  np.testing.assert_allclose(found, 39 / distances.sum(axis=1), rtol=1e-4)
