"""Candidates whose similarities to all points are held: greedy picks of them.

See `coverage_of_points`, whose block this is.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.parallel import sharding

_ANEW = 8  # candidates whose gains are summed anew at a time
_LESS = 16  # points that are taken off at a time
# By how much a sum may be wrong, and an addition.
_SUM, _ADDITION = 2.0**-16, 2.0**-22


def tile() -> int:
  """Rows that one product takes, padded.

  So similarities and sums are the same to the bit wherever a row lies (seen on
  CPU).
  """
  return tile_sizes.of('gains').rows


class Similarity(NamedTuple):
  """What is near.

  Attributes:
    metric: of the distances.
    near: `(distances [...], scale) -> [...]` float32, at least 0.
    counts: whether it is 0 or 1, and points count the same: sums are exact.
  """

  metric: metric_lib.Metric
  near: Callable[[jax.Array, jax.Array], jax.Array]
  counts: bool = False


class Points(NamedTuple):
  """What is to be covered.

  Attributes:
    values: `[r, d]`.
    weights: `[r]` float32, at least 0; 0 for none.
    best: `[r]` float32, the similarity to the nearest of what is chosen.
  """

  values: jax.Array
  weights: jax.Array
  best: jax.Array


class Candidates(NamedTuple):
  """Rows by rising index, one device's.

  Attributes:
    values: `[K, d]`.
    left: `[K]` bool, False: may not be picked.
    prices: `[K]` float32, by which gains are divided.
    lots: `[K]` float32, which are added then.
    indices: `[K]` int32 in the whole pool.
  """

  values: jax.Array
  left: jax.Array
  prices: jax.Array
  lots: jax.Array
  indices: jax.Array


class Found(NamedTuple):
  """What a block of candidates gives.

  Attributes:
    best: `[r]` then.
    bounds: `[K]` float32 that the candidates' gains are not above.
    left: `[K]` bool.
    picks: `[k]` int32, with those that were there before.
    done: scalar int32, how many.
  """

  best: jax.Array
  bounds: jax.Array
  left: jax.Array
  picks: jax.Array
  done: jax.Array


def near(
    points: Points, scale: jax.Array, similarity: Similarity, rows: jax.Array
) -> jax.Array:
  """`[r, m]` similarities of all points to `[m, d]`."""
  metric = similarity.metric
  return similarity.near(metric.distances(
      metric_lib.dots(points.values, rows), metric.norms(points.values),
      metric.norms(rows)), scale)


def gains(similarities: jax.Array, points: Points) -> jax.Array:
  """`[m]` float32 from `[r, m]`."""
  raised = jnp.maximum(similarities - points.best[:, None], 0.0)
  raised = jax.lax.optimization_barrier(raised * points.weights[:, None])
  # By halves, in an order that does not depend on how many columns there are:
  # so sums are the same to the bit however a candidate comes to be summed, and
  # are wrong by some 2^-24 for each halving.
  while len(raised) > 1:
    half = -(-len(raised) // 2)
    raised = jnp.pad(raised, ((0, 2 * half - len(raised)), (0, 0)))
    raised = jax.lax.optimization_barrier(raised[:half] + raised[half:])
  return raised[0]


def pick(
    axis: sharding.Axis,
    candidates: Candidates,
    points: Points,
    bound: tuple[jax.Array, jax.Array],
    picks: jax.Array,
    done: jax.Array,
    similarity: Similarity,
    scale: jax.Array,
) -> Found:
  """Greedy picks among candidates, as long as they come before the bound.

  Args:
    axis: of the mesh.
    candidates: this device's.
    points: the same on all devices.
    bound: `(score, index)` that no row outside comes before, of all devices.
    picks: `[k]` int32, of which some are there.
    done: how many.
    similarity: to points.
    scale: of the similarity.

  Returns:
    What was found; picks are the same on all devices.
  """
  size, width = len(candidates.left), tile()
  values, left, prices, lots = (
      jnp.pad(x, ((0, -size % width),) + ((0, 0),) * (x.ndim - 1),
              constant_values=fill)
      for x, fill in zip(candidates, (0, False, 1, 0)))

  def hold(rows):
    similarities = near(points, scale, similarity, rows)
    return similarities, gains(similarities, points)

  held, bounds = jax.lax.map(hold, values.reshape(-1, width, values.shape[1]))

  def scores(bounds, left):
    return jnp.where(left, bounds.reshape(-1) / prices + lots, -jnp.inf)

  def column(at):
    return held[at // width, :, at % width]

  def settled(bounds, fresh, left, points):
    """Sums gains anew until the highest bound is one."""

    def is_stale(carry):
      bounds, fresh = carry
      at = jnp.argmax(scores(bounds, left))
      return left[at] & ~fresh[at]

    def sum_anew(carry):
      bounds, fresh = carry
      stale = left & ~fresh
      _, at = jax.lax.top_k(
          jnp.where(stale, scores(bounds, left), -jnp.inf), _ANEW)
      now = gains(jax.vmap(column, out_axes=1)(at), points)
      bounds = bounds.at[at].set(jnp.where(stale[at], now, bounds[at]))
      return bounds, fresh.at[at].set(True)

    return jax.lax.while_loop(is_stale, sum_anew, (bounds, fresh))

  def lost(old, best):
    """What gains lose, of the points that are nearer now."""
    weights = points.weights
    closer = (best > old) & (weights > 0)
    places, = jnp.nonzero(
        closer, size=len(old) + _LESS, fill_value=len(old))
    lows, gaps, weights = (jnp.pad(x, (0, 1)) for x in (
        old, best - old, weights))

    def take_off(i, carry):
      total, over = carry
      some = jax.lax.dynamic_slice_in_dim(places, i * _LESS, _LESS)
      low, gap, weight = lows[some], gaps[some], weights[some]
      less = -over  # By which the total is too high (Kahan): or the error of
      # thousands of additions would be more than `_SUM`.
      for j in range(_LESS):
        row = jax.lax.dynamic_index_in_dim(held, some[j], 1, keepdims=False)
        less += weight[j] * jnp.clip(row - low[j], 0.0, gap[j])
      new = total + less
      return new, (new - total) - less

    steps = -(-jnp.sum(closer) // _LESS)
    return jax.lax.fori_loop(
        0, steps, take_off, (jnp.zeros(held.shape[::2]),) * 2)[0].reshape(-1)

  def lower(bounds, fresh, less):
    if similarity.counts:
      return bounds - less, fresh
    # A gain of which nothing is taken off is the same to the bit.
    slack = jnp.where(less > 0, jnp.where(fresh, _SUM, _ADDITION), 0.0)
    bounds = bounds * (1.0 + slack) - less * (1.0 - _SUM)
    return jnp.maximum(bounds, 0.0), fresh & (less == 0)

  def add(carry):
    bounds, fresh, left, best, picks, done, _ = carry
    bounds, fresh = settled(bounds, fresh, left, points._replace(best=best))
    by_row = scores(bounds, left)
    at = jnp.argmax(by_row)
    index = candidates.indices[jnp.minimum(at, size - 1)]
    firsts, indices = (
        sharding.gather(x, axis) for x in (by_row[at], index))
    part = jnp.argmax(firsts)  # Devices come in the order of their rows.
    first, index = firsts[part], indices[part]
    goes_on = (first > -jnp.inf) & ((first > bound[0]) | (
        (first == bound[0]) & (index <= bound[1])))
    mine = goes_on & (sharding.first_row(1, axis) == part)
    raised = sharding.total(jnp.where(mine, column(at), 0.0), axis)

    def add_it():
      new = jnp.maximum(best, raised)
      less = lost(best, new)
      return (*lower(bounds, fresh, less), left.at[at].min(~mine), new,
              picks.at[done].set(index), done + 1, True)

    return jax.lax.cond(goes_on, add_it, lambda: (
        bounds, fresh, left, best, picks, done, False))

  bounds = bounds.reshape(-1)
  bounds, _, left, best, picks, done, _ = jax.lax.while_loop(
      lambda carry: carry[6] & (carry[5] < len(picks)), add,
      (bounds, jnp.ones_like(left), left, points.best, picks, done, True))
  return Found(best, bounds[:size], left[:size], picks, done)
