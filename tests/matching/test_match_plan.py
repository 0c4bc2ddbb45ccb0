"""Plan and candidates, against whole matrices in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.matching import candidates
from mmal_jax.matching import plan
from mmal_jax.parallel import sharding


def _problem(n, m, seed=0):
  """Unit rows on a grid, with ties, and masks."""
  rng = np.random.default_rng([n, m, seed])
  x, y = (rng.choice([-0.5, 0.5], size=(k, 4)) for k in (n, m))
  x_there, y_there = (rng.random(k) < 0.8 for k in (n, m))
  x_there[0] = y_there[0] = True
  return x.astype(np.float32), y.astype(np.float32), x_there, y_there


def _most_similar(similarities, there, other, k):
  """`[n, m]` bool: the k largest of each row, ties to the lowest index."""
  kept = np.zeros(similarities.shape, bool)
  masked = np.where(other, similarities, -np.inf)
  for i, order in enumerate(np.argsort(-masked, axis=1, kind='stable')):
    best = [j for j in order[:k] if other[j]]
    kept[i, best] = there[i]
  return kept


def _log_plan(similarities, kept, temperature, share, iterations):
  """On whole matrices, as the docstring says."""
  kernel = np.where(kept, np.exp(similarities / temperature), 0.0)
  n, m = kept.any(axis=1).sum(), kept.any(axis=0).sum()
  a, b = min(1.0, m / n), min(1.0, n / m)
  u, v = np.ones(len(kernel)), np.ones(kernel.shape[1])

  def ratio(total, sums):
    return np.where(
        sums > 0, total / np.maximum(sums, 1e-300), 0.0) ** share

  for _ in range(iterations):
    u = ratio(a, kernel @ v)
    v = ratio(b, kernel.T @ u)
  u = np.sqrt(u * ratio(a, kernel @ v))
  return np.log(np.maximum(u[:, None] * kernel * v, 1e-300))


@pytest.mark.parametrize('n,m', [(1, 1), (1, 9), (12, 5), (300, 4100)])
@pytest.mark.parametrize('share', [1.0, 0.6])
def test_edges_and_plan_are_those_of_whole_matrices(n, m, share):
  x, y, x_there, y_there = _problem(n, m)
  found = plan.edges(jnp.asarray(x), jnp.asarray(y), x_there, y_there, 3)
  similarities = x.astype(float) @ y.T.astype(float)
  kept = _most_similar(similarities, x_there, y_there, 3) | _most_similar(
      similarities.T, y_there, x_there, 3).T
  np.testing.assert_array_equal(np.stack(found[:2]), np.nonzero(kept))
  np.testing.assert_allclose(found.similarities, similarities[kept], atol=1e-6)
  exact = found._replace(similarities=similarities[kept])
  np.testing.assert_allclose(
      plan.log_plan(exact, 0.1, share, 7),
      _log_plan(similarities, kept, 0.1, share, 7)[kept], atol=1e-9)


@pytest.mark.parametrize('sharded', ['both', 'first', 'second'])
def test_edges_over_a_mesh_are_the_same(sharded):
  x, y, x_there, y_there = _problem(41, 150)
  rows = sharding.row_sharding()
  pair = [jnp.asarray(pool) if sharded == other
          else sharding.shard_rows(pool, rows)
          for pool, other in ((x, 'second'), (y, 'first'))]
  for one, two in zip(plan.edges(*pair, x_there, y_there, 3), plan.edges(
      jnp.asarray(x), jnp.asarray(y), x_there, y_there, 3)):
    np.testing.assert_array_equal(one, two)


def test_plan_finds_a_place_for_all_of_the_smaller_pool():
  rng = np.random.default_rng(0)
  similarities = rng.random((4, 6))
  rows, columns = np.nonzero(np.ones((4, 6)))
  found = np.exp(plan.log_plan(plan.Edges(
      rows, columns, similarities.ravel()), 0.2, iterations=200)).reshape(4, 6)
  np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
  np.testing.assert_allclose(found.sum(0), 4 / 6, atol=1e-6)


def _candidates(kept, similarities, log_plan, x_ids, y_ids, k):
  """Of x among y, item by item."""
  items, partners, shares, features, mutual = [], [], [], [], []
  p = np.where(kept, np.exp(log_plan), 0.0)

  def best(scores, there):
    return min(np.flatnonzero(there), key=lambda j: (-scores[j], j))

  for i in np.flatnonzero(kept.any(axis=1)):
    there = np.flatnonzero(kept[i])
    order = sorted(there, key=lambda j: (-log_plan[i, j], j))
    share = [sum(p[i, h] for h in there if y_ids[h] == y_ids[j])
             for j in order]
    j = order[0]
    rival = best(log_plan[:, j], kept[:, j])
    others = [log_plan[i, h] for h in there if y_ids[h] != y_ids[j]]
    if x_ids[rival] == x_ids[i]:
      others += [log_plan[h, j] for h in np.flatnonzero(kept[:, j])
                 if x_ids[h] != x_ids[rival]]
    else:
      others.append(log_plan[rival, j])
    clipped = np.clip(share[0], 1e-6, 1 - 1e-6)
    items.append(i)
    partners.append((order + [-1] * k)[:k])
    shares.append((share + [0.0] * k)[:k])
    features.append([
        np.log(clipped / (1 - clipped)), similarities[i, j],
        np.clip(log_plan[i, j] - max(others, default=-np.inf), -10, 10),
        x_ids[rival] == x_ids[i]])
    mutual.append(rival == i)
  return items, partners, shares, features, mutual


@pytest.mark.parametrize('n,m', [(1, 1), (1, 7), (14, 9), (40, 40)])
def test_candidates_with_ties_and_equal_items(n, m):
  rng = np.random.default_rng([n, m])
  kept = rng.random((n, m)) < 0.5
  kept[0, 0] = True
  similarities = rng.integers(0, 4, size=(n, m)) / 4
  log_plan = rng.integers(-8, 0, size=(n, m)) / 4 - 1.0
  x_ids, y_ids = rng.integers(0, n, size=n), rng.integers(0, m, size=m)
  rows, columns = np.nonzero(kept)
  ways = candidates.both_ways(
      plan.Edges(rows, columns, similarities[kept]), log_plan[kept], x_ids,
      y_ids, 3)
  for way, expected in zip(ways, (
      _candidates(kept, similarities, log_plan, x_ids, y_ids, 3),
      _candidates(kept.T, similarities.T, log_plan.T, y_ids, x_ids, 3))):
    for got, wanted in zip(way, expected, strict=True):
      np.testing.assert_allclose(got, np.array(wanted), atol=1e-12)
