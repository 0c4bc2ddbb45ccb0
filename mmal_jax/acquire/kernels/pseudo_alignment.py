r"""Which items would be counterparts, if the present model were right.

Unlike `matches`, this says *which* items the best matches are, and it can keep
hubs, the items that are near to everything, from winning everywhere: CSLS takes
from every similarity how similar both items are to their neighbourhoods,

.. math::
  \mathrm{csls}(x, y) = 2\, s(x, y) - r(x) - r(y), \qquad
  r(x) = \frac{1}{k} \sum_{y \in N_k(x)} s(x, y).
"""

import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import k_largest
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.acquire.kernels import tiles
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.parallel import sharding


def best_matches(
    view: views_lib.View, other: views_lib.View, k: int
) -> tuple[jax.Array, jax.Array]:
  """Every item's most similar ones among what remains of another modality.

  Args:
    view: of n items, whether they remain or not; its metric is used.
    other: of m items.
    k: how many.

  Returns:
    `([n, k] int32 indices into other.pool, [n, k] float32 similarities)`, by
    falling similarity, ties to the lowest index; -1 and -inf where fewer than k
    remain. In O(n m d) time, and memory that does not grow with n times m. Over
    a mesh they lie as the view's pool does.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for pools over different meshes.
  """
  whole.check({'first': view, 'second': other}, 'best_matches', True)
  view, other = views_lib.together(view, other)
  return _best_matches(
      view.pool, other.pool, other.remaining, k, view.metric, view.rows)


@functools.partial(jax.jit, static_argnames=('k', 'metric', 'rows'))
def _best_matches(x, y, y_remaining, k, metric, rows):

  def local(axis, x, y, remaining):
    return _top(x, y, remaining, jnp.zeros(len(y)), k, metric, axis)

  return sharding.map_rows(local, rows, (x, y, y_remaining), returns_rows=True)


def csls_mutual(
    view: views_lib.View, other: views_lib.View, k: int = 10
) -> tuple[jax.Array, jax.Array]:
  """Pairs of remaining items that are each other's best by CSLS.

  Args:
    view: of n items; its metric is used.
    other: of m items of another modality.
    k: neighbours of the other modality whose mean similarity is taken off; all
      where fewer remain.

  Returns:
    `([n] int32, [n] float32)`: the partner's index into `other.pool` and their
    CSLS; -1 and -inf for items that have none or do not remain. No partner
    comes twice; ties go to the lowest index on either side. In O(n m d) time,
    and memory that does not grow with n times m. Over a mesh they lie as the
    view's pool does.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for pools over different meshes, or a k below 1.

  References:
    Conneau et al., Word Translation Without Parallel Data, 2018, section 2.3.
  """
  if k < 1:
    raise ValueError(f'k={k!r} must be at least 1.')
  whole.check({'first': view, 'second': other}, 'csls_mutual', True)
  view, other = views_lib.together(view, other)
  return _csls_mutual(
      view.pool, view.remaining, other.pool, other.remaining, k, view.metric,
      view.rows)


@functools.partial(jax.jit, static_argnames=('k', 'metric', 'rows'))
def _csls_mutual(x, x_remaining, y, y_remaining, k, metric, rows=None):
  return sharding.map_rows(
      functools.partial(_mutual, k=k, metric=metric), rows,
      (x, x_remaining, y, y_remaining), returns_rows=True)


def _mutual(axis, x, x_remaining, y, y_remaining, k, metric):

  def best(x, y, remaining, mean):
    # What does not depend on y changes no maximum over y.
    index, score = _top(x, y, remaining, -0.5 * mean, 1, metric, axis)
    return index[:, 0], score[:, 0]

  x_mean = _neighbourhood(x, y, y_remaining, k, metric, axis)
  y_mean = _neighbourhood(y, x, x_remaining, k, metric, axis)
  partner, score = best(x, y, y_remaining, y_mean)
  back, _ = best(y, x, x_remaining, x_mean)
  back = sharding.gather(back, axis).reshape(-1)
  is_mutual = x_remaining & (partner >= 0) & (
      back[partner] == jnp.arange(len(x)) + sharding.first_row(len(x), axis))
  return (jnp.where(is_mutual, partner, -1),
          jnp.where(is_mutual, 2 * score - x_mean, -jnp.inf))


def _neighbourhood(x, y, y_remaining, k, metric, axis):
  """`[n]`: the mean of the k largest similarities; 0 where there are none."""
  _, largest = _top(x, y, y_remaining, jnp.zeros(len(y)), k, metric, axis)
  is_there = largest > -jnp.inf
  return jnp.sum(largest, axis=1, where=is_there) / jnp.maximum(
      jnp.sum(is_there, axis=1), 1)


def _top(x, y, y_remaining, y_bonus, k, metric, axis):
  """The k largest of similarity plus bonus for each row, and where they are."""
  none = k_largest.nothing(len(x), k)
  part = y, metric.norms(y), y_remaining, y_bonus
  if axis is None:
    return _top_of_part(x, none, 0, part, metric)

  def add_part(i, found):
    # In the order of their rows: ties stay with the lowest index.
    here = tuple(rows_lib.from_part(some, i, axis) for some in part)
    return _top_of_part(x, found, i * len(y), here, metric)

  return jax.lax.fori_loop(0, jax.lax.axis_size(axis), add_part, none)


def _top_of_part(x, found, start, y_part, metric):
  """`found`, and what is better among some rows of y, the first being `start`.
  """
  tile = tile_sizes.of('best_matches')

  def top_of(some, some_norms, found):

    def add(found, first, fresh, part, norms, remaining, bonus):
      # A column for each row of x, which is the quickest to compare.
      score = bonus[:, None] + _similarities(
          metric_lib.dots(part, some), norms, some_norms, metric)
      score = jnp.where((fresh & remaining)[:, None], score, -jnp.inf)
      return k_largest.add(found, start + first, score, 0)

    return tiles.fold_tiles(
        add, found, k_largest.size(len(y_part[0]), tile.columns), *y_part)

  return tiles.map_tiles(top_of, tile.rows, x, metric.norms(x), found)


def _similarities(dots, norms, of_norms, metric):
  """`[m, n]` of n rows, by `of_norms`, with m others: a column for each row."""
  return metric.similarity_at_zero - metric.distances(
      dots.T, of_norms, norms).T


def best_both_ways(
    view: views_lib.View, other: views_lib.View, k: int
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
  """`best_matches` of two pools among each other, from the same products.

  Args:
    view: of n items; its metric is used.
    other: of m items.
    k: how many.

  Returns:
    What `best_matches(view, other, k)` and `best_matches(other, view, k)` do,
    in little more time than one of them takes. Similarities may differ from
    theirs in the last bits: products of other shapes may be summed in another
    order.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for pools over several devices.
  """
  whole.check({'first': view, 'second': other}, 'best_both_ways')
  return _best_both_ways(
      view.pool, view.remaining, other.pool, other.remaining, k, view.metric)


@functools.partial(jax.jit, static_argnames=('k', 'metric'))
def _best_both_ways(x, x_remaining, y, y_remaining, k, metric):
  n, m = len(x), len(y)
  tile = tile_sizes.of('best_both_ways')
  rows, columns = k_largest.size(n, tile.rows), k_largest.size(m, tile.columns)

  def add_rows(found, i, x_fresh, some, some_norms, some_remaining):

    def add_columns(found, j, y_fresh, part, norms, remaining):
      of_rows, of_columns = found
      dots = metric_lib.dots(some, part)
      scores = _similarities(dots.T, norms, some_norms, metric).T
      of_rows = k_largest.add(of_rows, j, jnp.where(
          (y_fresh & remaining)[None], scores, -jnp.inf), 1)
      # Nothing is found twice: neither in rows of the tile before this one, nor
      # in columns.
      counts = (x_fresh & some_remaining)[:, None] & y_fresh[None]
      scores = _similarities(dots, some_norms, norms, metric)
      mine = k_largest.add(
          tuple(jax.lax.dynamic_slice_in_dim(values, j, columns)
                for values in of_columns),
          i, jnp.where(counts, scores, -jnp.inf), 0)
      return of_rows, tuple(
          jax.lax.dynamic_update_slice_in_dim(values, new, j, 0)
          for values, new in zip(of_columns, mine))

    of_all, of_columns = found
    of_rows, of_columns = tiles.fold_tiles(
        add_columns, (k_largest.nothing(rows, k), of_columns), columns,
        y, metric.norms(y), y_remaining)
    # Rows of the tile before this one find the same again.
    return tuple(
        jax.lax.dynamic_update_slice_in_dim(values, new, i, 0)
        for values, new in zip(of_all, of_rows)), of_columns

  return tiles.fold_tiles(
      add_rows, (k_largest.nothing(n, k), k_largest.nothing(m, k)), rows,
      x, metric.norms(x), x_remaining)
