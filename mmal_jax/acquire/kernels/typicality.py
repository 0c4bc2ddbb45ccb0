"""How typical each item is of its cluster."""

import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.acquire.kernels import tiles


@functools.partial(jax.jit, static_argnames='k')
def typicality(
    points: jax.Array, groups: jax.Array, allowed: jax.Array, k: int
) -> jax.Array:
  r"""The inverse of the mean distance to the nearest items of the same group.

  .. math::
    t(x) = \Big(\frac{1}{k} \sum_{y \in N_k(x)} |x - y| \Big)^{-1}

  Args:
    points: `[n, d]` float32.
    groups: `[n]` int32.
    allowed: `[n]` bool; False points are no neighbours.
    k: neighbours; all of the group where there are fewer.

  Returns:
    `[n]` float32; 0 for an item that is alone, +inf for one of many copies; of
    items that are not allowed it means nothing. Products decide which
    points are near, differences how near: those of near copies would be lost in
    rounding. In O(n d) times the size of the largest group.

  References:
    Hacohen et al., Active Learning on a Budget, 2022, section 3.
  """
  n, tile = len(points), tile_sizes.of('typicality')
  columns = min(tile.columns, n)
  # Group by group: then neighbours are neighbours in memory, too.
  last = jnp.iinfo(jnp.int32).max
  groups = jnp.where(allowed, groups, last)
  sorting = jnp.argsort(groups)
  points, groups = points[sorting], groups[sorting]
  is_there = groups < last
  squares = jnp.sum(jnp.square(points), axis=1)
  begin = jnp.where(is_there, jnp.searchsorted(groups, groups), n)
  end = jnp.where(is_there, jnp.searchsorted(groups, groups, side='right'), 0)

  def of_rows(rows, places, begin, end):

    def add(j, found):
      nearest, at = found
      first = jnp.minimum(j * columns, n - columns)
      part, part_squares = (
          jax.lax.dynamic_slice_in_dim(x, first, columns)
          for x in (points, squares))
      column = (first + jnp.arange(columns))[None]
      counts = (column >= begin[:, None]) & (column < end[:, None]) & (
          column != places[:, None]) & (column >= j * columns)
      distance = (squares[places][:, None] + part_squares[None]
                  - 2 * metric_lib.dots(rows, part))
      distance = jnp.where(counts, jnp.maximum(distance, 0.0), jnp.inf)
      nearest, picks = jax.lax.top_k(
          -jnp.concatenate([nearest, distance], axis=1), k)
      before = jnp.take_along_axis(at, jnp.minimum(picks, k - 1), axis=1)
      return -nearest, jnp.where(picks < k, before, first + picks - k)

    nearest, at = jax.lax.fori_loop(
        jnp.min(begin) // columns, -(-jnp.max(end) // columns), add,
        (jnp.full((len(rows), k), jnp.inf),
         jnp.zeros((len(rows), k), jnp.int32)))
    found = nearest < jnp.inf

    def measure(j, total):
      distance = jnp.linalg.norm(rows - points[at[:, j]], axis=1)
      return total + jnp.where(found[:, j], distance, 0.0)

    total = jax.lax.fori_loop(0, k, measure, jnp.zeros(len(rows)))
    return jnp.sum(found, axis=1) / total

  typical = tiles.map_tiles(
      of_rows, tile.rows, points, jnp.arange(n), begin, end)
  # Nothing over nothing: alone.
  typical = jnp.where(jnp.isnan(typical), 0.0, typical)
  return jnp.zeros(n).at[sorting].set(typical)
