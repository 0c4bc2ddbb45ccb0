"""Best matches by index and CSLS pairs, against whole matrices in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import pseudo_alignment
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.embed import disk
from mmal_jax.parallel import sharding
from tests.support import problems
from tests.support import reference

_SIZES = [(1, 1), (2, 40), (513, 40), (40, 4096 + 7)]  # within and beyond tiles


def _pair(n, m, rows=problems.unit, metric='cosine'):
  rng = np.random.default_rng([n, m])
  return (problems.make(rng, rows, n, metric),
          problems.make(rng, rows, m, metric))


def _similarities(mine, other):
  similarity = np.full((len(mine.pool), len(other.pool)), -np.inf)
  similarity[:, other.remaining] = reference.logits(
      mine.pool, other.pool, other.remaining, mine.metric, 1.0)
  return similarity


def _csls(mine, other, k):
  """`[n, m]`, -inf for pairs of which one does not remain."""
  similarity = _similarities(mine, other)
  similarity[~mine.remaining] = -np.inf
  left = similarity[mine.remaining][:, other.remaining]
  r_x = np.sort(left, axis=1)[:, -k:].mean(axis=1)
  r_y = np.sort(left, axis=0)[-k:].mean(axis=0)
  similarity[np.ix_(mine.remaining, other.remaining)] = (
      2 * left - r_x[:, None] - r_y[None])
  return similarity


def _sorted(similarities, k):
  """The k best of each row, ties to the lowest index."""
  expected = np.pad(similarities, ((0, 0), (0, k)), constant_values=-np.inf)
  order = np.argsort(-expected, axis=1, kind='stable')[:, :k]
  best = np.take_along_axis(expected, order, axis=1)
  return np.where(best > -np.inf, order, -1), best


@pytest.mark.parametrize('n,m', _SIZES)
@pytest.mark.parametrize('metric', metric_lib.METRICS)
@pytest.mark.parametrize('k', [1, 10])
def test_best_matches_with_ties(n, m, metric, k):
  mine, other = _pair(n, m, problems.exact(metric), metric)
  index, similarity = pseudo_alignment.best_matches(
      mine.view(), other.view(), k)
  order, best = _sorted(_similarities(mine, other), k)
  np.testing.assert_array_equal(index, order)
  np.testing.assert_array_equal(similarity, best)
  assert index.dtype == jnp.int32 and similarity.dtype == jnp.float32


@pytest.mark.parametrize('n,m', _SIZES)
def test_best_matches(n, m):
  mine, other = _pair(n, m, problems.of_any_norm)
  index, similarity = map(np.asarray, pseudo_alignment.best_matches(
      mine.view(), other.view(), 1))
  expected = _similarities(mine, other)
  best = expected.max(axis=1, keepdims=True)
  np.testing.assert_allclose(similarity, best, atol=1e-6)
  np.testing.assert_allclose(
      np.take_along_axis(expected, index, axis=1), best, atol=1e-6)


_PAIRS = [(1, 1), (1, 90), (3, 700), (200, 333), (1100, 300)]


@pytest.mark.parametrize('n,m', _PAIRS)
@pytest.mark.parametrize('metric', metric_lib.METRICS)
@pytest.mark.parametrize('k', [1, 20])
def test_best_both_ways_with_ties(n, m, metric, k):
  mine, other = _pair(n, m, problems.exact(metric), metric)
  # Several tiles of either pool, of which the last reach back.
  with tile_sizes.instead(('best_both_ways', tile_sizes.Tile(128, 192))):
    found = pseudo_alignment.best_both_ways(mine.view(), other.view(), k)
  expected = (_sorted(_similarities(mine, other), k),
              _sorted(_similarities(other, mine), k))
  for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize('n,m', _PAIRS + [(1300, 1100)])
@pytest.mark.parametrize('rows', [problems.of_any_norm, problems.duplicated])
def test_best_both_ways(n, m, rows):
  mine, other = _pair(n, m, rows)
  found = pseudo_alignment.best_both_ways(mine.view(), other.view(), 7)
  for ways, (x, y) in zip(found, ((mine, other), (other, mine))):
    expected = _similarities(x, y)
    index, similarity = map(np.asarray, ways)
    there = index >= 0
    assert (there.sum(axis=1) == min(7, y.remaining.sum())).all()
    best = _sorted(expected, 7)[1][there]
    np.testing.assert_allclose(similarity[there], best, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(
        expected, np.maximum(index, 0), axis=1)[there], best, atol=1e-6)
    ties = (similarity[:, 1:] == similarity[:, :-1]) & there[:, 1:]
    assert (np.diff(index, axis=1)[ties] > 0).all()
    # None is found twice.
    assert all(len(set(row[row >= 0])) == sum(row >= 0) for row in index)


def test_best_both_ways_where_nothing_remains():
  mine, other = (problem.view() for problem in _pair(40, 50))
  empty = dataclasses.replace(other, remaining=jnp.zeros(50, bool))
  one, two = pseudo_alignment.best_both_ways(mine, empty, 3)
  assert (one[0] == -1).all() and (one[1] == -jnp.inf).all()
  assert (two[0] >= 0).all() and (two[1] > -jnp.inf).all()


def test_best_both_ways_refuses_what_one_device_does_not_hold():
  mine, other = _pair(40, 40)
  sharded = other.view(pool=jax.device_put(
      jnp.asarray(other.pool), sharding.row_sharding()))
  with pytest.raises(ValueError, match='second pool is sharded'):
    pseudo_alignment.best_both_ways(mine.view(), sharded, 1)


@pytest.mark.parametrize('n,m', _SIZES)
@pytest.mark.parametrize('k', [1, 10])
def test_csls_mutual(n, m, k):
  mine, other = _pair(n, m)
  partner, score = map(np.asarray, pseudo_alignment.csls_mutual(
      mine.view(), other.view(), k))
  csls = _csls(mine, other, k)
  best, back = csls.argmax(axis=1), csls.argmax(axis=0)
  is_mutual = mine.remaining & (back[best] == np.arange(n))
  np.testing.assert_array_equal(partner, np.where(is_mutual, best, -1))
  np.testing.assert_allclose(
      score, np.where(is_mutual, csls.max(axis=1), -np.inf), atol=2e-6)
  assert is_mutual.any()


def test_csls_finds_the_pairs_that_a_hub_hides():
  mine, other = _pair(6, 7)
  mine.remaining[:] = other.remaining[:] = True
  mine.pool[:] = np.eye(6, problems.D)
  # Text i: 0.35 to image i and 0 to all others; the last text: 0.41 to all.
  other.pool[:6] = 0.35 * mine.pool + 0.94 * np.eye(problems.D)[7]
  other.pool[6] = mine.pool.mean(axis=0)
  best, _ = pseudo_alignment.best_matches(mine.view(), other.view(), 1)
  assert (best == 6).all()
  partner, _ = pseudo_alignment.csls_mutual(mine.view(), other.view())
  np.testing.assert_array_equal(partner, np.arange(6))


def test_csls_of_duplicates_is_one_to_one():
  mine, other = _pair(60, 60, problems.axes)
  partner, _ = pseudo_alignment.csls_mutual(mine.view(), other.view())
  partner = np.asarray(partner)
  found = partner[partner >= 0]
  assert len(found) and len(set(found.tolist())) == len(found)
  assert mine.remaining[partner >= 0].all() and other.remaining[found].all()


def test_nothing_remains():
  mine, other = (problem.view() for problem in _pair(40, 40))
  empty = dataclasses.replace(other, remaining=jnp.zeros(40, bool))
  index, similarity = pseudo_alignment.best_matches(mine, empty, 1)
  assert (index == -1).all() and (similarity == -jnp.inf).all()
  for pair in ((mine, empty), (empty, mine)):
    partner, score = pseudo_alignment.csls_mutual(*pair)
    assert (partner == -1).all() and (score == -jnp.inf).all()


def test_no_matrix_of_both_pools():
  x = jnp.zeros((20_000, 4))
  mask = jnp.ones(20_000, bool)
  compiled = pseudo_alignment._csls_mutual.lower(
      x, mask, x, mask, 10, metric_lib.COSINE).compile()
  # Of 1.6 GB for all similarities.
  assert compiled.memory_analysis().temp_size_in_bytes < 100e6


def test_pools_on_disk_are_refused_and_a_sharded_one_is_not(tmp_path):
  mine, other = _pair(40, 40)
  rows = sharding.row_sharding()
  sharded = other.view(pool=jax.device_put(jnp.asarray(other.pool), rows))
  np.save(tmp_path / 'pool.npy', other.pool)
  on_disk = other.view(pool=disk.open_rows(tmp_path / 'pool.npy'))
  for function in (
      pseudo_alignment.best_matches, pseudo_alignment.csls_mutual):
    (index, score), (best, expected) = (
        function(mine.view(), view, 1) for view in (sharded, other.view()))
    np.testing.assert_array_equal(index, best)
    np.testing.assert_allclose(score, expected, atol=1e-6)
    with pytest.raises(TypeError, match='second pool lies on disk'):
      function(mine.view(), on_disk, 1)
  with pytest.raises(ValueError, match='k=0 must be at least 1'):
    pseudo_alignment.csls_mutual(mine.view(), other.view(), 0)
