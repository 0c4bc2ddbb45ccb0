r"""Sinkhorn's matching of two pools in which everything has its counterpart.

If every remaining item has one counterpart among the remaining items of the
other modality, an item that matches two others well cannot belong to both. The
entropic optimal transport plan says so in probabilities: of all matrices with
the given row and column sums it is the one nearest to `exp(S / temperature)`.
"""

import functools

import jax
import jax.numpy as jnp

_TINY = 1e-30


@functools.partial(jax.jit, static_argnames='iterations')
def plan(
    similarities: jax.Array,
    temperature: jax.Array | float,
    iterations: int = 20,
    x_weight: jax.Array | None = None,
    y_weight: jax.Array | None = None,
    share: jax.Array | float = 1.0,
) -> jax.Array:
  r"""The transport plan between n and m items.

  .. math::
    P_{ij} = u_i K_{ij} v_j, \qquad K_{ij} = e^{(s_{ij} - s_{max}) / T}, \qquad
    u = (a / K v)^\rho, \quad v = (b / K^T u)^\rho

  with a the weights of the rows and b those of the columns, scaled to the
  rows' sum. With rho = 1 both marginals hold in the limit (Sinkhorn's
  algorithm). With rho < 1 they are only wanted (unbalanced transport, with the
  penalty rho / (1 - rho) * T on their Kullback-Leibler divergence): items that
  resemble nothing get less than their weight, which is right where only a
  share rho of the items has a counterpart.

  >>> similarities = jnp.array([[1.0, 0.9], [0.9, 0.0]])
  >>> print(plan(similarities, 0.1, iterations=200).round(1))
  [[0. 1.]
   [1. 0.]]

  Args:
    similarities: `[n, m]` float32; where both weights are above 0 they lie
      within 60 temperatures of the largest; what is lower counts as so low.
    temperature: T, above 0.
    iterations: updates of u and of v.
    x_weight: `[n]` float32, at least 0; 0 for rows that do not take part. All 1
      if None.
    y_weight: `[m]`, of the columns.
    share: rho, within (0, 1].

  Returns:
    `[n, m]` float32. Rows sum to nearly, columns to exactly their weights where
    `share` is 1.

  References:
    Cuturi, Sinkhorn Distances, 2013; Chizat et al., Scaling Algorithms for
    Unbalanced Optimal Transport Problems, 2018, section 3.3.
  """
  n, m = similarities.shape
  a = jnp.ones(n) if x_weight is None else x_weight
  b = jnp.ones(m) if y_weight is None else y_weight
  # Both marginals must have the same total.
  b = b * (jnp.sum(a) / jnp.maximum(jnp.sum(b), _TINY))
  there = (a[:, None] > 0) & (b[None] > 0)
  highest = jnp.max(similarities, where=there, initial=-jnp.inf)
  exponents = jnp.maximum((similarities - highest) / temperature, -60.0)
  kernel = jnp.where(there, jnp.exp(exponents), 0.0)

  def ratio(weight, sums):
    return jnp.where(
        weight > 0, jnp.power(weight / jnp.maximum(sums, _TINY), share), 0.0)

  def update(_, scaling):
    _, v = scaling
    u = ratio(a, kernel @ v)
    return u, ratio(b, u @ kernel)

  u, v = jax.lax.fori_loop(
      0, iterations, update, (jnp.zeros(n), jnp.where(b > 0, 1.0, 0.0)))
  return u[:, None] * kernel * v[None]
