r"""Many greedy picks from one look at the pool.

The textbook greedy brings every row up to date after every pick. But it needs
to know only the best of them, and **gains never rise**. So:

1. Take the K candidates of the largest gains. Order all rows by falling gain,
   ties by rising index: no row outside comes before *the bound*, the K-th
   candidate or the first of the rows that are not up to date.
2. Pick greedily among the candidates, whose gains alone are lowered after each,
   as long as the best of them does not come after the bound.
3. Take all picks into the gains of the rest at once.

Exactness, by induction over picks: say the picks so far are those of the
textbook greedy. Since the block began, gains outside have only fallen, and so
every row outside still comes after the bound's *old* place in the order. A
candidate whose present place is not after that old place therefore comes before
all rows outside; being the best of the candidates, it is the best of all: the
textbook's next pick, ties included. Where the bound is a candidate, the first
pick of a block is the best of all without any condition. Nothing here asks for
the triangle inequality: any distance will do.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Candidates(NamedTuple):
  """The K rows of the largest gains, by rising index.

  Attributes:
    values: `[K, d]`.
    gains: `[K]` float32; -inf: may not be picked.
    indices: `[K]` int32, in the whole pool.
    bound: `(gain, index)` that no row outside comes before; of -inf, there is
      nothing outside.
  """

  values: jax.Array
  gains: jax.Array
  indices: jax.Array
  bound: tuple[jax.Array, jax.Array]


def size(k: int, n: int) -> int:
  """How many candidates to take for k picks from n rows.

  More candidates save turns, but their product grows with the square (measured
  by `experiments.benchmarks.blocks`).
  """
  return min(n, 1024, max(256, int((4 * n) ** 0.5)), max(512, 2 * k))


def order(
    gains: jax.Array,
    indices: jax.Array,
    n: int,
    outside: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array, tuple[jax.Array, jax.Array]]:
  """Sorts the largest gains by index, and returns the bound.

  Args:
    gains: `[K]`, falling, ties by rising index, as from `top_k`.
    indices: `[K]` int32.
    n: rows of the whole pool.
    outside: `(bound, index)` of the first row that is not up to date; -inf
      where all are.

  Returns:
    `(order [K], gains [K], bound)`.
  """
  last = -jnp.inf if len(gains) == n else gains[-1]
  old, first_old = outside
  # One place before it, as the bound itself may be picked.
  is_old = (old > last) | (old == last) & (first_old <= indices[-1])
  bound = (jnp.where(is_old, old, last),
           jnp.where(is_old, first_old - 1, indices[-1]))
  # Then `argmax`, which takes the first, settles ties by the lowest index.
  by_index = jnp.argsort(indices)
  return by_index, gains[by_index], bound


def pick(
    candidates: Candidates,
    most: jax.Array,
    among: Any,
    lower: Callable[..., tuple[Any, jax.Array]],
) -> tuple[jax.Array, jax.Array]:
  """Greedy picks among the candidates, up to the bound.

  Args:
    candidates: K of them.
    most: scalar int, no more than that many picks.
    among: what `lower` needs of them.
    lower: `(among, gains [K], best) -> (among, gains [K])`, after a pick.

  Returns:
    `(chosen [K] int32, count)`: places among the candidates in the order of
    choice, zeros beyond the first `count`.
  """
  indices = candidates.indices
  bound, bound_index = candidates.bound

  def precedes(best, gains):
    value = gains[best]
    tied = (value == bound) & (indices[best] <= bound_index)
    return (value > -jnp.inf) & ((value > bound) | tied)

  def add(carry):
    among, gains, chosen, count, best = carry
    # What is picked must leave, or coinciding rows bring it up again and again.
    gains = gains.at[best].set(-jnp.inf)
    among, gains = lower(among, gains, best)
    chosen = chosen.at[count].set(best)
    return (among, gains, chosen, count + 1,
            jnp.argmax(gains).astype(jnp.int32))

  def goes_on(carry):
    _, gains, _, count, best = carry
    return (count < most) & precedes(best, gains)

  start = (
      among, candidates.gains, jnp.zeros(len(indices), jnp.int32),
      jnp.zeros((), jnp.int32),
      jnp.argmax(candidates.gains).astype(jnp.int32))
  _, _, chosen, count, _ = jax.lax.while_loop(goes_on, add, start)
  return chosen, count
