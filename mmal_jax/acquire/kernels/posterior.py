"""What is known of a ridge regression between answers; see `design`.

After the answers A the covariance between items is :math:`Z S Z^T`, and the
weighted squares of it sum to :math:`S G S` with the pool's moments G.
"""

import functools

import jax
import jax.numpy as jnp

product = functools.partial(jnp.matmul, precision='highest')
# Sums that fell to this share of what they were are computed anew: what they
# were rounded to then is too much for them now.
RENEWED_BELOW = 1 / 8


def matters(remaining: jax.Array, weights: jax.Array | None) -> jax.Array:
  """`[n]` float32: how much each row's variance counts."""
  remaining = remaining.astype(jnp.float32)
  return remaining if weights is None else remaining * weights


def gram(rows: jax.Array, matters: jax.Array) -> jax.Array:
  """`[r, r]`, G, of rows `[n, r]`."""
  return product(rows.T, matters[:, None] * rows)


def covariance(precision: jax.Array) -> jax.Array:
  """`S [r, r]` of its inverse."""
  factor = jax.scipy.linalg.cho_factor(precision)
  return jax.scipy.linalg.cho_solve(factor, jnp.eye(len(precision)))


def renewed(
    rows: jax.Array, covariance: jax.Array, explained: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """`(totals [n], variances [n])` of rows `[n, r]`."""
  return (jnp.sum(product(rows, explained) * rows, axis=1),
          jnp.sum(product(rows, covariance) * rows, axis=1))


def precision(
    aligned: jax.Array, aligned_mask: jax.Array, ridge: jax.Array | float
) -> jax.Array:
  """`[r, r]`, the inverse of S: its eigenvalues lie within [1, 1 + a / mu]."""
  known = jnp.where(aligned_mask[:, None], aligned, 0).astype(jnp.float32)
  return jnp.eye(known.shape[1]) + product(known.T, known) / ridge
