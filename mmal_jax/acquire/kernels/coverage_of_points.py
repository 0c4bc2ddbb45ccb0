r"""Greedy coverage of points: each pick raises the most what they have near.

.. math::
  c_i = \arg\max_{x \in U} \frac{1}{p_x} \sum_{r \in R} w_r
    \max(0, s(x, r) - b_r), \qquad
  b_r = \max(0, \max_{c \in A \cup \{c_1..c_{i-1}\}} s(c, r))

Facility location, uncertainty herding and ProbCover are this, with different
similarities s. Gains only fall as picks are added (the sum is submodular), so
an old gain bounds the present one:

1. Take the K candidates of the highest bounds, and hold their similarities to
   all points. No row outside comes before the K-th of them, *the bound*.
2. Pick the best candidate as long as it does not come after the bound. A pick
   raises b at some points, of which there are ever fewer: what these take off
   the candidates' gains is summed over them alone.
3. That is rounded, and so it lowers bounds only, by a little less than it may.
   A candidate is picked by a gain that is summed over all points anew, as is
   that of every candidate whose bound is above it (Minoux's lazy greedy).

Where gains are counts, nothing is rounded, and step 3 is spared. The picks are
those of the plain greedy, by the induction of `block`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import held as held_lib
from mmal_jax.acquire.kernels import nearest as nearest_lib
from mmal_jax.acquire.kernels import projected
from mmal_jax.acquire.kernels import streaming
from mmal_jax.acquire.kernels import tiles
from mmal_jax.embed import disk
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.parallel import sharding

# Similarities that are held: of as many candidates as points, within these.
_LEAST_HELD, _MOST_HELD = 1 << 24, 1 << 29
# Their rows are held, too: of a few points all of the pool would be.
_MOST_ROWS = 1 << 16
_ON_DISK = disk.DiskRows, projected.ProjectedRows


def _cosine(distances, scale):
  del scale
  return jnp.maximum(1.0 - distances, 0.0)


def _exponential(distances, scale):
  return jnp.exp(-distances / scale)


def _ball(distances, scale):
  return (distances <= scale).astype(jnp.float32)


COSINE = held_lib.Similarity(metric_lib.COSINE, _cosine)
"""The cosine where it is positive."""

EXPONENTIAL = held_lib.Similarity(metric_lib.COSINE, _exponential)
"""`exp(-(1 - cosine) / scale)`."""


def balls(metric: metric_lib.Metric) -> held_lib.Similarity:
  """1 up to a distance of the scale, 0 beyond."""
  return held_lib.Similarity(metric, _ball, counts=True)


def draw(view: views_lib.View, key: jax.Array, count: int) -> jax.Array:
  """Items that stand for the pool.

  Args:
    view: of one modality.
    key: draws them.
    count: how many.

  Returns:
    `[min(count, n)]` int32, remaining items in random order; -1 where no more
    remain.
  """
  view = views_lib.located(view)
  n = len(view.remaining) if view.size is None else view.size
  return views_lib.keep_best(
      views_lib.random_values(key, view), view.remaining, min(count, n),
      view.rows)


def take(view: views_lib.View, indices: jax.Array) -> jax.Array:
  """`[m, d]` rows of a pool, wherever it lies; -1 takes any."""
  if isinstance(view.pool, _ON_DISK):
    return jnp.asarray(view.pool.take(np.maximum(np.asarray(indices), 0)))
  if views_lib.located(view).rows is None:
    return jnp.asarray(view.pool)[indices]
  return rows_lib.take(view.pool, indices)


def select(
    view: views_lib.View,
    k: int,
    points: jax.Array,
    similarity: held_lib.Similarity,
    scale: jax.Array | float = 1.0,
    weights: jax.Array | None = None,
    costs: jax.Array | None = None,
    lots: jax.Array | None = None,
) -> jax.Array:
  """k times the item of the largest gain.

  Args:
    view: of one modality, in memory, over a mesh, or on disk.
    k: number of items.
    points: `[r]` int32, to be covered; -1 for none.
    similarity: what covers them; its metric is taken, not the view's.
    scale: of the similarity.
    weights: `[r]` float32, at least 0, of the points; 1 each if None.
    costs: `[n]` float32, by which gains are divided; None where all are equal.
    lots: `[n]` float32 that are added to gains, to settle ties.

  Returns:
    `[k]` int32 pool indices in the order of their choice, ties to the lowest
    index, none twice; -1 where nothing remained. Beyond the pool it holds, on
    each device, the similarities of as many candidates as there are points, but
    2 GB at most for up to two million points, and the rows of 65,536 at most.
  """
  view = views_lib.located(view)
  points = held_lib.Points(
      take(view, points),
      jnp.where(points >= 0, 1.0 if weights is None else weights, 0.0),
      jnp.zeros(len(points)))
  scale = jnp.asarray(scale, jnp.float32)
  points = _cover(points, view.aligned, view.aligned_mask, similarity, scale)
  if isinstance(view.pool, _ON_DISK):
    return _from_disk(view, k, points, similarity, scale, costs, lots)
  return _select(
      view.pool, view.remaining, costs, lots, points, scale, k, similarity,
      view.rows)


def _held_rows(points):
  """How many candidates' similarities are held at a time."""
  number = min(max(points**2, _LEAST_HELD), _MOST_HELD)
  number = min(-(-number // points), _MOST_ROWS)
  tile = held_lib.tile()
  return -(-number // tile) * tile


@functools.partial(jax.jit, static_argnames='similarity')
def _cover(points, aligned, aligned_mask, similarity, scale):
  """The points, of which some are near to what is aligned."""
  metric = similarity.metric
  rows = nearest_lib.Rows(
      points.values, metric.norms(points.values), points.weights > 0)
  nearest = nearest_lib.fold(
      rows, jnp.full(len(points.values), jnp.inf), jnp.asarray(aligned),
      jnp.asarray(aligned_mask), metric)
  best = jnp.where(nearest < jnp.inf, similarity.near(nearest, scale), 0.0)
  return points._replace(best=best)


def _all_gains(values, points, similarity, scale):
  """`[n]` float32."""
  n = len(values)
  values = jnp.pad(values, ((0, max(held_lib.tile() - n, 0)), (0, 0)))
  return tiles.map_tiles(
      lambda rows: held_lib.gains(
          held_lib.near(points, scale, similarity, rows), points),
      held_lib.tile(), values)[:n]


@functools.partial(jax.jit, static_argnames=('k', 'similarity', 'layout'))
def _select(
    pool, remaining, costs, lots, points, scale, k, similarity, layout):
  return sharding.map_rows(
      functools.partial(_local, k=k, similarity=similarity), layout,
      (pool, remaining, costs, lots), (points, scale))


def _local(axis, pool, remaining, costs, lots, points, scale, k, similarity):
  """The whole greedy on one device's rows; three collectives a pick."""
  n = len(pool)
  prices = jnp.ones(n) if costs is None else costs
  lots = jnp.zeros(n) if lots is None else lots
  size = min(n, _held_rows(len(points.best)))
  # If all are candidates, their gains are summed when they are held.
  bounds = jnp.zeros(n)
  if size < n:
    bounds = _all_gains(pool, points, similarity, scale)
  first = sharding.first_row(n, axis)

  def add_block(carry):
    bounds, remaining, points, picks, done, _ = carry
    places, last = jnp.arange(n), (jnp.float32(-jnp.inf), jnp.int32(0))
    if size < n:
      scores = jnp.where(remaining, bounds / prices + lots, -jnp.inf)
      scores, places = jax.lax.top_k(scores, size)
      last = scores[-1], first + places[-1]
      places = jnp.sort(places)
    candidates = held_lib.Candidates(
        *(x[places] for x in (pool, remaining, prices, lots)), first + places)
    found = held_lib.pick(
        axis, candidates, points, _first(last, axis), picks, done, similarity,
        scale)
    remaining = remaining.at[places].set(found.left)
    left = sharding.total(jnp.any(remaining).astype(jnp.int32), axis) > 0
    return (bounds.at[places].set(found.bounds), remaining,
            points._replace(best=found.best), found.picks, found.done, left)

  left = sharding.total(jnp.any(remaining).astype(jnp.int32), axis) > 0
  return jax.lax.while_loop(
      lambda carry: carry[5] & (carry[4] < k), add_block,
      (bounds, remaining, points, jnp.full(k, -1, jnp.int32),
       jnp.zeros((), jnp.int32), left))[3]


def _first(last, axis):
  """The first in order of what all devices have, `(score, index)`."""
  scores, indices = (sharding.gather(x, axis) for x in last)
  part = jnp.argmax(scores)
  return scores[part], indices[part]


def _from_disk(view, k, points, similarity, scale, costs, lots):
  """The same, for a pool on disk, of which only candidates are read again."""
  pool, n = view.pool, len(view.pool)
  remaining = np.array(view.remaining)
  prices = np.ones(n, np.float32) if costs is None else np.asarray(
      costs, np.float32)
  lots = np.zeros(n, np.float32) if lots is None else np.asarray(
      lots, np.float32)
  source, of = pool, lambda values: values
  if isinstance(pool, projected.ProjectedRows):
    source, of = pool.pool, pool.of
  bounds = np.concatenate([np.asarray(x) for x in streaming.over_chunks(
      lambda values: _of_chunk(of(values), points, similarity, scale),
      source)])[:n]
  size = min(n, _held_rows(len(points.best)))
  picks, done = jnp.full(k, -1, jnp.int32), 0
  while done < k and remaining.any():
    scores = np.where(remaining, bounds / prices + lots, -np.inf)
    places, last = _highest(scores, size)
    found = _pick(
        held_lib.Candidates(
            jax.device_put(pool.take(places)), remaining[places],
            prices[places], lots[places], places.astype(np.int32)),
        points, last, picks, done, similarity, scale)
    bounds[places], remaining[places] = found.bounds, found.left
    points, picks, done = (
        points._replace(best=found.best), found.picks, int(found.done))
  return picks


@functools.partial(jax.jit, static_argnames='similarity')
def _of_chunk(values, points, similarity, scale):
  return _all_gains(values, points, similarity, scale)


@functools.partial(jax.jit, static_argnames='similarity')
def _pick(candidates, points, last, picks, done, similarity, scale):
  return held_lib.pick(
      None, candidates, points, last, picks, jnp.asarray(done, jnp.int32),
      similarity, scale)


def _highest(scores, size):
  """`(places [size], by rising index, (last score, its index))`."""
  if size == len(scores):
    return np.arange(size), (np.float32(-np.inf), np.int32(0))
  last = np.partition(scores, len(scores) - size)[len(scores) - size]
  above, tied = np.flatnonzero(scores > last), np.flatnonzero(scores == last)
  tied = tied[:size - len(above)]
  return np.sort(np.concatenate([above, tied])), (last, np.int32(tied[-1]))
