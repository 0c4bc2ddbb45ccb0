r"""Many greedy picks from one look at the pool.

The textbook greedy reads the whole pool after every pick, to lower the
distances to the nearest centre. But it needs to know only the largest of them,
and **they never rise**. So:

1. Take the K candidates of the largest distances. Order all rows by falling
   distance, ties by rising index: no row outside comes before the K-th
   candidate, *the bound*.
2. Pick greedily among the candidates, whose distances to each other are one
   small product, as long as the best of them does not come after the bound.
3. Fold all picks into everybody's distance, with one product and one read.

Exactness, by induction over picks: say the picks so far are those of the
textbook greedy. Since the block began, distances outside have only fallen, and
so every row outside still comes after the bound's *old* place in the order. A
candidate whose present place is not after that old place therefore comes before
all rows outside; being the best of the candidates, it is the best of all: the
textbook's next pick, ties included. The first pick of a block is the best of
all without any condition, so every pass yields at least one. Nothing here asks
for the triangle inequality: any distance will do.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import nearest as nearest_lib


class Candidates(NamedTuple):
  """The K rows of the largest distances, by rising index.

  Attributes:
    values: `[K, d]`.
    nearest: `[K]` float32 distances to the nearest centre; -inf: may not be
      picked.
    indices: `[K]` int32, in the whole pool.
    bound: `(distance, index)` that no row outside comes before; of -inf, there
      is nothing outside.
  """

  values: jax.Array
  nearest: jax.Array
  indices: jax.Array
  bound: tuple[jax.Array, jax.Array]


def size(k: int, n: int) -> int:
  """How many candidates to take for k picks from n rows.

  More candidates save passes, but their product grows with the square: it
  should cost no more than what half a tile of centres, the padding of the last,
  wastes on average in a pass (measured by `experiments.benchmarks.blocks`).
  """
  affordable = int((n * nearest_lib.CENTRES / 2) ** 0.5)
  return min(n, 1024, max(256, affordable), max(512, 2 * k))


def order(
    nearest: jax.Array, indices: jax.Array, n: int
) -> tuple[jax.Array, jax.Array, tuple[jax.Array, jax.Array]]:
  """Sorts the largest distances by index, and returns the bound.

  Args:
    nearest: `[K]`, falling, ties by rising index, as from `top_k`.
    indices: `[K]` int32.
    n: rows of the whole pool.

  Returns:
    `(order [K], nearest [K], bound)`.
  """
  last = -jnp.inf if len(nearest) == n else nearest[-1]
  # Then `argmax`, which takes the first, settles ties by the lowest index.
  by_index = jnp.argsort(indices)
  return by_index, nearest[by_index], (last, indices[-1])


def pick(
    candidates: Candidates, most: jax.Array, metric: metric_lib.Metric
) -> tuple[jax.Array, jax.Array]:
  """Greedy picks among the candidates, up to the bound.

  Args:
    candidates: K of them.
    most: scalar int, no more than that many picks.
    metric: of the distances.

  Returns:
    `(chosen [K] int32, count)`: places among the candidates in the order of
    choice, zeros beyond the first `count`.
  """
  values, indices = candidates.values, candidates.indices
  norms = metric.norms(values)
  distances = metric.distances(metric_lib.dots(values, values), norms, norms)
  bound, bound_index = candidates.bound

  def precedes(best, nearest):
    value = nearest[best]
    tied = (value == bound) & (indices[best] <= bound_index)
    return (value > -jnp.inf) & ((value > bound) | tied)

  def to_all(best, nearest):
    row = distances[best]
    if metric.exact is None:
      return row
    in_doubt = (row < metric.doubt(norms, norms[best])) & (
        row < nearest + metric.slack(norms, norms[best]))

    def measure():
      exact = metric.exact(values, values[best][None], norms, norms[best][None])
      return jnp.where(in_doubt, exact, row)

    return jax.lax.cond(jnp.any(in_doubt), measure, lambda: row)

  def add(carry):
    nearest, chosen, count, best = carry
    # What is picked must leave, or coinciding rows bring it up again and again.
    nearest = nearest.at[best].set(-jnp.inf)
    nearest = jnp.minimum(nearest, to_all(best, nearest))
    chosen = chosen.at[count].set(best)
    return nearest, chosen, count + 1, jnp.argmax(nearest).astype(jnp.int32)

  def goes_on(carry):
    nearest, _, count, best = carry
    return (count < most) & precedes(best, nearest)

  start = (
      candidates.nearest, jnp.zeros(len(indices), jnp.int32),
      jnp.zeros((), jnp.int32),
      jnp.argmax(candidates.nearest).astype(jnp.int32))
  _, chosen, count, _ = jax.lax.while_loop(goes_on, add, start)
  return chosen, count
