r"""Who would belong to whom, if the present model were right.

Unlike `matches`, this tells *which* item the best match is, and it lets hubs,
the items that are near to everything, not win everywhere: CSLS takes from every
similarity how similar both items are to their neighbourhoods,

.. math::
  \mathrm{csls}(x, y) = 2\, s(x, y) - r(x) - r(y), \qquad
  r(x) = \frac{1}{k} \sum_{y \in N_k(x)} s(x, y).
"""

from collections.abc import Callable
import functools
from typing import Any

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import nearest as nearest_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole

_ROWS = 256  # rows of a tile


def best_match(
    view: views_lib.View, other: views_lib.View
) -> tuple[jax.Array, jax.Array]:
  """Every item's most similar one among what remains of another modality.

  Args:
    view: of n items, whether they remain or not; its metric is used.
    other: of m items.

  Returns:
    `([n] int32 indices into other.pool, [n] float32 similarities)`, ties to the
    lowest index; -1 and -inf where nothing remains. In O(n m d) time, and
    memory that does not grow with n times m.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one.
  """
  whole.check({'first': view, 'second': other}, 'best_match')
  return _best(
      view.pool, other.pool, other.remaining, jnp.zeros(len(other.pool)),
      view.metric)


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
    and memory that does not grow with n times m.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one, or a k below 1.

  References:
    Conneau et al., Word Translation Without Parallel Data, 2018, section 2.3.
  """
  if k < 1:
    raise ValueError(f'k={k!r} must be at least 1.')
  whole.check({'first': view, 'second': other}, 'csls_mutual')
  return _csls_mutual(
      view.pool, view.remaining, other.pool, other.remaining, k, view.metric)


@functools.partial(jax.jit, static_argnames=('k', 'metric'))
def _csls_mutual(x, x_remaining, y, y_remaining, k, metric):
  x_mean = _neighbourhood(x, y, y_remaining, k, metric)
  y_mean = _neighbourhood(y, x, x_remaining, k, metric)
  # What does not depend on the other side changes no maximum.
  partner, score = _best(x, y, y_remaining, -0.5 * y_mean, metric)
  back, _ = _best(y, x, x_remaining, -0.5 * x_mean, metric)
  is_mutual = x_remaining & (partner >= 0) & (
      back[partner] == jnp.arange(len(x)))
  return (jnp.where(is_mutual, partner, -1),
          jnp.where(is_mutual, 2 * score - x_mean, -jnp.inf))


@functools.partial(jax.jit, static_argnames='metric')
def _best(x, y, y_remaining, y_bonus, metric):
  """The largest similarity plus bonus for each row of x, and where it is."""

  def add(found, similarity, at):
    index, value = found
    columns = similarity.shape[1]
    bonus = jax.lax.dynamic_slice_in_dim(y_bonus, at, columns)
    # Computed once: rounded otherwise, the maximum would not be found again.
    similarity = jax.lax.optimization_barrier(similarity + bonus[None])
    highest = jnp.max(similarity, axis=1)
    # As `argmax`, which vectorises badly (measured on CPU: 7 times as slow).
    # Tiles come in the order of their rows: ties stay with the lowest index.
    place = at + jnp.min(jnp.where(
        similarity == highest[:, None], jnp.arange(columns)[None], columns),
        axis=1).astype(jnp.int32)
    is_better = highest > value
    return (jnp.where(is_better, place, index),
            jnp.where(is_better, highest, value))

  none = (jnp.full(len(x), -1, jnp.int32), jnp.full(len(x), -jnp.inf))
  return fold_similarities(add, none, x, y, y_remaining, metric)


def _neighbourhood(x, y, y_remaining, k, metric):
  """`[n]`: the mean of the k largest similarities; 0 where there are none."""

  def add(largest, similarity, at):
    del at
    return jax.lax.top_k(
        jnp.concatenate([largest, similarity], axis=1), k)[0]

  largest = fold_similarities(
      add, jnp.full((len(x), k), -jnp.inf), x, y, y_remaining, metric)
  is_there = largest > -jnp.inf
  return jnp.sum(largest, axis=1, where=is_there) / jnp.maximum(
      jnp.sum(is_there, axis=1), 1)


def fold_similarities(
    add: Callable[[Any, jax.Array, jax.Array], Any],
    start: Any,
    x: jax.Array,
    y: jax.Array,
    y_remaining: jax.Array,
    metric: metric_lib.Metric,
) -> Any:
  """Takes all similarities between two sets of rows in, tile by tile.

  Args:
    add: `(found so far, [rows, columns] float32, index of the first column)` to
      what is found then; of every row of `x` on its own. Similarities that do
      not count are -inf.
    start: pytree of `[n, ...]`, what is found of nothing.
    x: `[n, d]`.
    y: `[m, d]`.
    y_remaining: `[m]` bool; False rows do not count.
    metric: similarity falls as its distance grows.

  Returns:
    As `start`.
  """
  n, m = len(x), len(y)
  rows, columns = min(_ROWS, n), min(nearest_lib.tile_rows(), m)
  x_norms, y_norms = metric.norms(x), metric.norms(y)

  def fold_rows(i, found):
    # The last tile reaches back into the one before, and finds the same again.
    first = jnp.minimum(i * rows, n - rows)
    some, some_norms, nothing = jax.tree.map(
        lambda a: jax.lax.dynamic_slice_in_dim(a, first, rows),
        (x, x_norms, start))

    def fold_columns(j, part_found):
      at = jnp.minimum(j * columns, m - columns)
      part, part_norms, remaining = (
          jax.lax.dynamic_slice_in_dim(a, at, columns)
          for a in (y, y_norms, y_remaining))
      # Not to count twice.
      fresh = remaining & (jnp.arange(columns) + at >= j * columns)
      similarity = metric.similarity_at_zero - metric.distances(
          metric_lib.dots(some, part), some_norms, part_norms)
      return add(
          part_found, jnp.where(fresh[None], similarity, -jnp.inf), at)

    part_found = jax.lax.fori_loop(0, -(-m // columns), fold_columns, nothing)
    return jax.tree.map(
        lambda a, b: jax.lax.dynamic_update_slice_in_dim(a, b, first, 0),
        found, part_found)

  return jax.lax.fori_loop(0, -(-n // rows), fold_rows, start)
