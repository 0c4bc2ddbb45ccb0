"""Transductive experimental design: ask what says most about the rest."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire.kernels import posterior
from mmal_jax.parallel import sharding


@functools.partial(jax.jit, static_argnames=('k', 'layout'))
def select_design(
    rows: jax.Array,
    remaining: jax.Array,
    aligned: jax.Array,
    aligned_mask: jax.Array,
    k: int,
    ridge: jax.Array | float = 1.0,
    weights: jax.Array | None = None,
    costs: jax.Array | None = None,
    layout: jax.sharding.NamedSharding | None = None,
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
  Numerators are computed from S and G whenever they have become eight times
  smaller, as rounding errors do not shrink with them.

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
    layout: how what is `[n, ...]` lies over a mesh, of which each device works
      on its own rows: three small exchanges a pick.

  Returns:
    `[k]` int32 indices in the order of their choice, ties to the lowest index,
    none twice; -1 where nothing remained. In O(n r (r + k) + a r^2 + r^3) time,
    and n r^2 more for every eightfold by which the gains fall.

  References:
    Yu, Bi and Tresp, Active Learning via Transductive Experimental Design,
    2006, algorithm 2 (sequential).
  """
  return sharding.map_rows(
      functools.partial(_select, k=k), layout,
      (rows, remaining, weights, costs), (aligned, aligned_mask, ridge))


def _select(
    axis, rows, remaining, weights, costs, aligned, aligned_mask, ridge, k):
  """All picks, on one device's rows."""
  before = start(rows, remaining, aligned, aligned_mask, ridge, weights, axis)
  prices = jnp.ones(len(rows)) if costs is None else costs

  def pick(i, carry):
    state, left, picks = carry
    gains = state.total / ((state.variance + ridge) * prices)
    gains = jnp.where(left, gains, -jnp.inf)
    best = jnp.argmax(gains).astype(jnp.int32)
    there, row, here = left[best], before.rows[best], best
    if axis is not None:
      best, there, row = _best_of_all(gains[best], best, before.rows, axis)
      here = best - sharding.first_row(len(rows), axis)
      # Writes of what is not here are dropped.
      here = jnp.where(here < 0, len(rows), here)
    state = answered(before, state, row, ridge, there)
    return (state, left.at[here].set(False),
            picks.at[i].set(jnp.where(there, best, -1)))

  return jax.lax.fori_loop(
      0, k, pick,
      (before.state, remaining, jnp.full(k, -1, jnp.int32)))[2]


def _best_of_all(gain, best, rows, axis):
  """Of each device's best item the best: its index, if it is one, its row."""
  gains, places = (sharding.gather(x, axis) for x in (
      gain, best + sharding.first_row(len(rows), axis)))
  # Devices come in the order of their rows: ties stay with the lowest index.
  at = jnp.argmax(gains)
  return places[at], gains[at] > -jnp.inf, sharding.take_rows(
      rows, places[at][None], axis)[0]


class State(NamedTuple):
  """What changes with every answer.

  Attributes:
    total: `[n]` float32, the sums of `w_j K_jc^2` of every item c.
    variance: `[n]`, `K_cc`.
    covariance: `[r, r]`, S.
    largest: scalar, of the items that remained at the start the largest
      `total`, as it was when all were last computed from S.
  """

  total: jax.Array
  variance: jax.Array
  covariance: jax.Array
  largest: jax.Array


class Start(NamedTuple):
  """Of one modality, before the first pick.

  Attributes:
    rows: `[n, r]` float32, Z.
    remaining: `[n]` bool, U.
    gram: `[r, r]`, G.
    state: before the first pick.
  """

  rows: jax.Array
  remaining: jax.Array
  gram: jax.Array
  state: State


def start(
    rows: jax.Array,
    remaining: jax.Array,
    aligned: jax.Array,
    aligned_mask: jax.Array,
    ridge: jax.Array | float = 1.0,
    weights: jax.Array | None = None,
    axis: sharding.Axis = None,
) -> Start:
  """The variances that the aligned items leave; arguments of `select_design`.

  Within `sharding.map_rows`, `axis` is the mesh's, and rows are one device's.

  Returns:
    What `answered` goes on from.
  """
  z = rows.astype(jnp.float32)
  known = jnp.where(aligned_mask[:, None], aligned, 0).astype(jnp.float32)
  matters = remaining.astype(jnp.float32)
  if weights is not None:
    matters = matters * weights
  gram = sharding.total(posterior.product(z.T, matters[:, None] * z), axis)
  # Positive definite, its eigenvalues within [1, 1 + a / mu].
  identity = jnp.eye(z.shape[1])
  factor = jax.scipy.linalg.cho_factor(
      identity + posterior.product(known.T, known) / ridge)
  covariance = jax.scipy.linalg.cho_solve(factor, identity)
  total = _totals(z, gram, covariance)
  return Start(z, remaining, gram, State(
      total, jnp.sum(posterior.product(z, covariance) * z, axis=1), covariance,
      _largest(total, remaining)))


def _totals(rows, gram, covariance):
  """`z_c^T S G S z_c` of every row."""
  explained = posterior.product(posterior.product(covariance, gram), covariance)
  return jnp.sum(posterior.product(rows, explained) * rows, axis=1)


def _largest(total, remaining):
  return jnp.max(jnp.where(remaining, total, 0.0), initial=0.0)


def answered(
    before: Start,
    state: State,
    row: jax.Array,
    ridge: jax.Array | float,
    is_asked: jax.Array | bool = True,
) -> State:
  """The state after one more answer.

  Args:
    before: from `start`.
    state: present.
    row: `[r]` float32, of the item that is asked about.
    ridge: mu.
    is_asked: scalar bool; where False the state is not changed.

  Returns:
    The state. One pass over the rows; now and then r more.
  """
  s = posterior.product(state.covariance, row)
  divisor = jnp.dot(row, s, precision='highest') + ridge
  gram_s = posterior.product(before.gram, s)
  t = posterior.product(state.covariance, gram_s)
  both = posterior.product(before.rows, jnp.stack([s, t], axis=1))
  share = jnp.where(is_asked, both[:, 0] / divisor, 0.0)
  covariance = state.covariance - jnp.where(
      is_asked, jnp.outer(s, s) / divisor, 0.0)
  total = (state.total - 2 * share * both[:, 1]
           + jnp.square(share) * jnp.dot(s, gram_s, precision='highest'))
  is_small = _largest(total, before.remaining) < (
      posterior.RENEWED_BELOW * state.largest)
  total = jax.lax.cond(
      is_small,
      lambda: _totals(before.rows, before.gram, covariance), lambda: total)
  # Rounding must not take them below 0, where they cannot be.
  return State(
      jnp.maximum(total, 0.0),
      jnp.maximum(state.variance - jnp.square(share) * divisor, 0.0),
      covariance, jnp.where(
          is_small, _largest(total, before.remaining), state.largest))
