r"""An inverted file: nearest rows, looked for in a few cells of a pool alone.

The pool is cut into cells by k-means, its rows sorted by cell. Each query is
compared with the rows of those cells alone whose centres are nearest to it, and
with these exactly. What a query misses lies in other cells. Work falls from
:math:`n m d` to :math:`n (C + p\, m / C) d` for p of C cells, in full products:
all queries that look into a cell meet its rows together.

References:
  Jegou, Douze and Schmid, Product Quantization for Nearest Neighbor Search,
  2011, section IV (without the compression).
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import kmeans
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.acquire.kernels import tiles

_ROWS_OF_CELL = 64  # drawn for a cell, of which its centre is learnt
_ITERATIONS = 8
_FOUND = 2**23  # of rows that queries may hold at a time, before the best


class Index(NamedTuple):
  """A pool by cells.

  Attributes:
    centres: `[C, d]` float32, as `kmeans.points`.
    values: `[m, d]` rows of the pool by cell, within one in their order.
    order: `[m]` int32, which row of the pool each is.
    begin: `[C + 1]` int32, where each cell begins. What does not take part
      comes after the last.
  """

  centres: jax.Array
  values: jax.Array
  order: jax.Array
  begin: jax.Array


def check(metric: metric_lib.Metric) -> None:
  """Raises ValueError for a metric of which cells say nothing."""
  if metric == metric_lib.INNER:
    raise ValueError(
        'INNER: the largest products need not lie in the nearest cells; take '
        'COSINE or SQEUCLIDEAN, or the exact neighbours (recall=None).')


@functools.partial(jax.jit, static_argnames=('cells', 'metric'))
def build(
    pool: jax.Array,
    remaining: jax.Array,
    key: jax.Array,
    cells: int,
    metric: metric_lib.Metric,
) -> Index:
  """Cuts a pool into cells.

  Args:
    pool: `[m, d]`.
    remaining: `[m]` bool; False rows are in no cell.
    key: draws the rows of which centres are learnt.
    cells: C, at least 1; some are empty where there are fewer distinct rows.
    metric: COSINE or SQEUCLIDEAN.

  Returns:
    The index, of which `values` is a copy of the pool.
  """
  check(metric)
  points, m = kmeans.points(pool, metric), len(pool)
  lots = jnp.where(remaining, jax.random.uniform(key, (m,)), -1.0)
  lots, drawn = jax.lax.top_k(lots, min(m, _ROWS_OF_CELL * cells))
  cells = min(cells, len(drawn))
  learnt = kmeans.lloyd(
      points[drawn], lots >= 0, points[drawn[:cells]], lots[:cells] >= 0,
      _ITERATIONS).centres
  labels = kmeans.lloyd(
      points, remaining, learnt, lots[:cells] >= 0, 0).labels
  labels = jnp.where(labels < 0, cells, labels)
  order = jnp.argsort(labels, stable=True).astype(jnp.int32)
  begin = jnp.searchsorted(labels[order], jnp.arange(cells + 1))
  return Index(learnt, pool[order], order, begin.astype(jnp.int32))


@functools.partial(jax.jit, static_argnames=('probes', 'metric'))
def nearest_cells(
    index: Index, x: jax.Array, probes: int, metric: metric_lib.Metric
) -> jax.Array:
  """`[n, probes]` int32: cells to look into, nearest first; empty ones last.

  Args:
    index: of C cells.
    x: `[n, d]`.
    probes: at most C.
    metric: as of the index.
  """
  is_empty = index.begin[1:] == index.begin[:-1]
  squares = jnp.where(
      is_empty, jnp.inf, jnp.sum(jnp.square(index.centres), axis=1))

  def cells(some):
    closeness = 2 * metric_lib.dots(
        kmeans.points(some, metric), index.centres) - squares[None]
    return jax.lax.top_k(closeness, probes)[1]

  return tiles.map_tiles(cells, tile_sizes.of('kmeans').rows, x)


@functools.partial(jax.jit, static_argnames=('k', 'probes', 'metric'))
def search(
    index: Index, x: jax.Array, k: int, probes: int, metric: metric_lib.Metric
) -> tuple[jax.Array, jax.Array]:
  """The k most similar rows of the pool in the nearest cells of each query.

  Args:
    index: of C cells.
    x: `[n, d]`, n at least 1.
    k: how many.
    probes: cells to look into, at most C; with all, the answer is exact.
    metric: as of the index.

  Returns:
    `([n, k] int32 rows of the pool, [n, k] float32 similarities)`, as
    `pseudo_alignment.best_matches`: by falling similarity, ties to the lowest
    row; -1 and -inf where fewer are found.
  """
  find = functools.partial(
      _search, index, index_norms=metric.norms(index.values), k=k,
      probes=probes, metric=metric)
  return tiles.map_tiles(
      lambda some: find(some, nearest_cells(index, some, probes, metric)),
      max(1, _FOUND // (probes * k)), x)


def _search(index, x, cells, *, index_norms, k, probes, metric):
  """Of queries that are few enough for all they find in `probes` cells."""
  n, m = len(x), len(index.values)
  tile, count = tile_sizes.of('best_matches'), len(index.centres)
  # A cell, and those who look into it, are fewer than a whole pool.
  rows = min(tile.rows, n * probes, _rounded(n * probes / count))
  columns = min(tile.columns, m, _rounded(m / count))
  # Pairs of a query and a cell, by cell: a tile has pairs of one cell alone.
  cells = cells.reshape(-1)
  by_cell = jnp.argsort(cells, stable=True)
  first = jnp.searchsorted(cells[by_cell], jnp.arange(count + 1))
  ends = jnp.cumsum(-(-(first[1:] - first[:-1]) // rows))  # of its tiles
  queries = jnp.pad(by_cell // probes, (0, rows))
  norms = metric.norms(x)

  def add_tile(i, found):
    cell = jnp.searchsorted(ends, i, side='right')
    done = jnp.where(cell > 0, ends[cell - 1], 0)
    start = first[cell] + (i - done) * rows
    mine = jax.lax.dynamic_slice_in_dim(queries, start, rows)
    begin, end = index.begin[cell], index.begin[cell + 1]
    best = _best_of_cell(
        x[mine], norms[mine], index, index_norms, begin, end, columns, k,
        metric)
    # What a tile has beyond its cell, the next one writes over.
    return jax.tree.map(
        lambda whole, part: jax.lax.dynamic_update_slice_in_dim(
            whole, part, start, 0), found, best)

  size = n * probes + rows
  places, scores = jax.lax.fori_loop(
      0, ends[-1], add_tile, (jnp.full((size, k), m, jnp.int32),
                              jnp.full((size, k), -jnp.inf)))
  back = jnp.argsort(by_cell)
  where = jnp.append(index.order, m)[places[back]].reshape(n, probes * k)
  falling, where = jax.lax.sort(
      (-scores[back].reshape(n, probes * k), where), num_keys=2)
  falling, where = falling[:, :k], where[:, :k]
  return jnp.where(falling < jnp.inf, where, -1), -falling


def _rounded(size: float) -> int:
  """A little more than the mean, which few cells exceed by much."""
  return max(8, 2 ** math.ceil(math.log2(1.25 * size)))


def _best_of_cell(
    some, some_norms, index, index_norms, begin, end, columns, k, metric):
  """`([t, k] places, [t, k] similarities)` among the rows of one cell."""
  m = len(index.values)

  def add(j, found):
    place, best = found
    start = begin + j * columns
    at = jnp.minimum(start, m - columns)
    part, norms = (jax.lax.dynamic_slice_in_dim(x, at, columns)
                   for x in (index.values, index_norms))
    column = at + jnp.arange(columns)
    score = metric.similarity_at_zero - metric.distances(
        metric_lib.dots(some, part), some_norms, norms)
    score = jnp.where(
        ((column >= start) & (column < end))[None], score, -jnp.inf)
    best, picks = jax.lax.top_k(jnp.concatenate([best, score], axis=1), k)
    before = jnp.take_along_axis(place, jnp.minimum(picks, k - 1), axis=1)
    return jnp.where(picks < k, before, at + picks - k), best

  place, best = jax.lax.fori_loop(
      0, -(-(end - begin) // columns), add,
      (jnp.full((len(some), k), m, jnp.int32),
       jnp.full((len(some), k), -jnp.inf)))
  return jnp.where(best > -jnp.inf, place, m), best


@functools.partial(jax.jit, static_argnames='metric')
def recalls(
    index: Index, x: jax.Array, neighbours: jax.Array,
    metric: metric_lib.Metric,
) -> jax.Array:
  """`[n, C]`: what share of its neighbours a query finds in 1, 2, ... cells.

  Args:
    index: of C cells.
    x: `[n, d]`, of which each row has a neighbour.
    neighbours: `[n, k]` int32, the exact ones; -1 where there are fewer.
    metric: as of the index.
  """
  count = len(index.centres)
  place = jnp.zeros(len(index.order), jnp.int32).at[index.order].set(
      jnp.arange(len(index.order), dtype=jnp.int32))
  cell = jnp.searchsorted(
      index.begin, place[neighbours], side='right') - 1
  ranks = jnp.argsort(nearest_cells(index, x, count, metric), axis=1)
  is_there = neighbours >= 0
  rank = jnp.take_along_axis(ranks, jnp.minimum(cell, count - 1), axis=1)

  def found(probes):
    return jnp.sum((rank < probes) & is_there, axis=1) / jnp.sum(
        is_there, axis=1)

  return jax.lax.map(found, 1 + jnp.arange(count)).T
