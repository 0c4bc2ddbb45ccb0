"""Work on all rows of an array, a tile of them at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def map_tiles(
    function: Callable[..., Any], size: int, *by_row: Any
) -> Any:
  """`function` of all rows, of which only a tile is worked on at a time.

  Args:
    function: `(*tiles [rows, ...])` to a pytree of `[rows, ...]`, of every row
      on its own.
    size: rows of a tile; fewer where there are no more.
    *by_row: pytrees of `[n, ...]`, n at least 1.

  Returns:
    Pytree of `[n, ...]`.
  """
  n = len(jax.tree.leaves(by_row)[0])
  size = min(size, n)

  def some(first):
    return function(*jax.tree.map(
        lambda x: jax.lax.dynamic_slice_in_dim(x, first, size), by_row))

  def add_tile(i, found):
    # The last tile reaches back into the one before, and finds the same again:
    # so the rows need no padding, which would be a copy of them.
    first = jnp.minimum(i * size, n - size)
    return jax.tree.map(
        lambda whole, part: jax.lax.dynamic_update_slice_in_dim(
            whole, part, first, 0), found, some(first))

  nothing = jax.tree.map(
      lambda x: jnp.zeros((n,) + x.shape[1:], x.dtype),
      jax.eval_shape(some, 0))
  return jax.lax.fori_loop(0, -(-n // size), add_tile, nothing)


def fold_tiles(
    add: Callable[..., Any], start: Any, size: int, *by_row: Any
) -> Any:
  """Takes all rows into one value, a tile of them at a time.

  Args:
    add: `(found so far, index of the first row, fresh [rows] bool, *tiles)` to
      what is found then; rows that are not fresh were there before and must not
      count again.
    start: what is found of nothing.
    size: rows of a tile; fewer where there are no more.
    *by_row: pytrees of `[n, ...]`, n at least 1.

  Returns:
    As `start`.
  """
  n = len(jax.tree.leaves(by_row)[0])
  size = min(size, n)

  def add_tile(i, found):
    first = jnp.minimum(i * size, n - size)
    fresh = jnp.arange(size) + first >= i * size
    tiles = jax.tree.map(
        lambda x: jax.lax.dynamic_slice_in_dim(x, first, size), by_row)
    return add(found, first, fresh, *tiles)

  return jax.lax.fori_loop(0, -(-n // size), add_tile, start)
