"""Groups that take turns in naming their best item."""

import jax
import jax.numpy as jnp


def take_in_turn(
    groups: jax.Array,
    scores: jax.Array,
    allowed: jax.Array,
    order: jax.Array,
    k: int,
) -> jax.Array:
  """One item of every group that has some left, turn after turn.

  Args:
    groups: `[n]` int32, of each item; of items that are not allowed it means
      nothing.
    scores: `[n]` float32; a group names its highest first, ties to the lowest
      index.
    allowed: `[n]` bool.
    order: `[g]` int32, all groups in the order in which they take their turns.
    k: how many items.

  Returns:
    `[k]` int32 indices, none twice; -1 where fewer are allowed.

  >>> groups, scores = jnp.array([0, 0, 0, 1]), jnp.array([1., 3., 2., 0.])
  >>> take_in_turn(
  ...     groups, scores, jnp.ones(4, bool), jnp.array([1, 0]), 3).tolist()
  [3, 1, 2]
  """
  g, n = len(order), len(groups)
  groups = jnp.where(allowed, groups, g)
  sorting = jnp.lexsort((-scores, groups))
  by_group = groups[sorting]
  turn = jnp.arange(n) - jnp.searchsorted(by_group, by_group)
  place = jnp.zeros(g + 1, jnp.int32).at[order].set(jnp.arange(g))
  best = jnp.lexsort((place[by_group], turn, by_group == g))[:k]
  picks = jnp.where(by_group[best] < g, sorting[best], -1).astype(jnp.int32)
  return jnp.pad(picks, (0, k - len(picks)), constant_values=-1)


def sizes(groups: jax.Array, counted: jax.Array, g: int) -> jax.Array:
  """How many of the items that count are in each group.

  Args:
    groups: `[n]` int32.
    counted: `[n]` bool.
    g: number of groups.

  Returns:
    `[g]` int32.
  """
  return jnp.zeros(g, jnp.int32).at[jnp.where(counted, groups, g)].add(
      1, mode='drop')
