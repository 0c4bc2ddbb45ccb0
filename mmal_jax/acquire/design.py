"""Transductive experimental design: ask what tells most about the rest."""

import functools

import jax
import jax.numpy as jnp

_HIGHEST = functools.partial(jnp.matmul, precision='highest')


@functools.partial(jax.jit, static_argnames='k')
def select_design(
    rows: jax.Array,
    remaining: jax.Array,
    aligned: jax.Array,
    aligned_mask: jax.Array,
    k: int,
    ridge: jax.Array | float = 1.0,
    weights: jax.Array | None = None,
    costs: jax.Array | None = None,
) -> jax.Array:
  r"""k times the item whose answer lowers the variance of all others most.

  A ridge regression from the rows to whatever their counterparts are has, after
  the answers A, the posterior covariance K between items; one more answer c
  takes :math:`K_{jc}^2 / (K_{cc} + \mu)` off the variance of item j:

  .. math::
    c_i = \arg\max_{c \in U} \frac{1}{K_{cc} + \mu} \sum_{j \in U} w_j K_{jc}^2,
    \qquad K = Z S Z^T, \quad S = (I + Z_A^T Z_A / \mu)^{-1},
    \qquad S \leftarrow S - \frac{S z_c z_c^T S}{K_{cc} + \mu}.

  No `[n, n]` array: S and :math:`G = \sum_j w_j z_j z_j^T` are `[r, r]`, and a
  pick needs one pass over the rows, for :math:`Z S z_c` and
  :math:`Z S G S z_c`, by which numerators and variances are brought up to date.

  Args:
    rows: `[n, r]`, of norm 1 and centred as a rule (`View.reference`).
    remaining: `[n]` bool, U. Rows of others may be anything finite.
    aligned: `[a, r]` rows whose answers are known.
    aligned_mask: `[a]` bool, False for rows of padding.
    k: number of items.
    ridge: mu, above 0: the variance of an answer relative to that of the rows.
      It is the ridge of the regression, so that for rows of norm 1 an answer is
      worth one prior observation if it is 1.
    weights: `[n]` float32, at least 0: how much each item's variance matters;
      1 each if None.
    costs: `[n]` float32 above 0 by which gains are divided; None where all are
      equal.

  Returns:
    `[k]` int32 indices in the order of their choice, ties to the lowest index,
    none twice; -1 where nothing remained. In O(n r (r + k) + a r^2 + r^3) time.

  References:
    Yu, Bi and Tresp, Active Learning via Transductive Experimental Design,
    2006, algorithm 2 (sequential).
  """
  n, r = rows.shape
  z = rows.astype(jnp.float32)
  known = jnp.where(aligned_mask[:, None], aligned, 0).astype(jnp.float32)
  matters = remaining.astype(jnp.float32)
  if weights is not None:
    matters = matters * weights
  prices = jnp.ones(n) if costs is None else costs
  gram = _HIGHEST(z.T, matters[:, None] * z)
  # Positive definite, its eigenvalues within [1, 1 + a / mu].
  factor = jax.scipy.linalg.cho_factor(
      jnp.eye(r) + _HIGHEST(known.T, known) / ridge)
  covariance = jax.scipy.linalg.cho_solve(factor, jnp.eye(r))
  explained = _HIGHEST(_HIGHEST(covariance, gram), covariance)
  total = jnp.sum(_HIGHEST(z, explained) * z, axis=1)
  variance = jnp.sum(_HIGHEST(z, covariance) * z, axis=1)

  def pick(i, carry):
    total, variance, covariance, left, picks = carry
    gains = total / ((variance + ridge) * prices)
    best = jnp.argmax(jnp.where(left, gains, -jnp.inf)).astype(jnp.int32)
    there = left[best]
    s = _HIGHEST(covariance, z[best])
    divisor = variance[best] + ridge
    t = _HIGHEST(covariance, _HIGHEST(gram, s))
    both = _HIGHEST(z, jnp.stack([s, t], axis=1))
    to_best, through = both[:, 0], both[:, 1]
    # Rounding must not take them below 0, where they cannot be.
    new_total = jnp.maximum(
        total - 2 * to_best * through / divisor
        + jnp.square(to_best / divisor) * total[best], 0.0)
    new_variance = jnp.maximum(
        variance - jnp.square(to_best) / divisor, 0.0)
    return (jnp.where(there, new_total, total),
            jnp.where(there, new_variance, variance),
            jnp.where(there, covariance - jnp.outer(s, s) / divisor,
                      covariance),
            left.at[best].set(False),
            picks.at[i].set(jnp.where(there, best, -1)))

  start = (total, variance, covariance, remaining, jnp.full(k, -1, jnp.int32))
  return jax.lax.fori_loop(0, k, pick, start)[4]
