"""Cosine distances between rows of norm 1."""

import jax
import jax.numpy as jnp

_TILE = 4096  # rows at a time: no array of pool x aligned is ever held


def cosine_distance(x: jax.Array, y: jax.Array) -> jax.Array:
  """`1 - x @ y.T` in full float32 precision: `[n, d]`, `[m, d]` to `[n, m]`."""
  return 1.0 - jnp.matmul(x, y.T, precision='highest')


def min_distance(
    pool: jax.Array, centres: jax.Array, centre_mask: jax.Array
) -> jax.Array:
  """Distance of every row to its nearest centre.

  Args:
    pool: `[n, d]`.
    centres: `[a, d]`.
    centre_mask: `[a]` bool; False rows are no centres.

  Returns:
    `[n]` float32; +inf if there is no centre.
  """

  def nearest(row):
    distances = cosine_distance(row[None], centres)[0]
    return jnp.min(jnp.where(centre_mask, distances, jnp.inf))

  return jax.lax.map(nearest, pool, batch_size=_TILE)
