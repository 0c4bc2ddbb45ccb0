"""Many picks of experimental design that candidates propose.

The greedy among candidates is made as `foresight` checks it with the whole
pool. The best of them, which stay in the cache, are followed from pick to pick.
The others are brought up to date after some picks, in one product of matrices:
from the first pick on that one of them beats, picks are made again.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire.kernels import posterior
from mmal_jax.parallel import rows as rows_lib

BLOCK = 128  # picks whose products are one matrix product in `foresight`
# A proposal is of no more: what comes after a wrong one is of little use.
_MOST = 2048
_RENEWALS = 8  # Blocks of a proposal that may be begun for a renewal.
# Candidates that are followed from pick to pick, and for how many picks (of
# 32,768 and 131,072 candidates, other numbers were slower).
_HELD, _AHEAD = 2048, 32
_ROUNDED = 2e-6


class Proposal(NamedTuple):
  """Picks in slots, a block of them after the other; some slots are empty.

  Attributes:
    places: `[slots]` int32 rows of the pool; -1: empty.
    rows: `[slots, r]`, theirs.
    s: `[slots, r]`, `S z` before the pick; 0 of an empty slot, as `t`.
    t: `[slots, r]`, `S G S z`.
    divisor: `[slots]`, `z S z + mu`; 1 of an empty slot.
    square: `[slots]`, `s G s`.
    renewed: `[blocks]` bool, whether totals and variances are computed anew
      before a block, which they are before the first.
    covariance: `[blocks, r, r]`, S before such a block.
    explained: `[blocks, r, r]`, S G S.
    slots: scalar int32, how many are used, empty ones among them.
  """

  places: jax.Array
  rows: jax.Array
  s: jax.Array
  t: jax.Array
  divisor: jax.Array
  square: jax.Array
  renewed: jax.Array
  covariance: jax.Array
  explained: jax.Array
  slots: jax.Array


def most_slots(k: int) -> int:
  """Slots of proposals of up to k picks."""
  return BLOCK * (-(-min(k, _MOST) // BLOCK) + _RENEWALS)


def propose(
    rows: jax.Array,
    places: jax.Array,
    left: jax.Array,
    prices: jax.Array,
    gram: jax.Array,
    covariance: jax.Array,
    ridge: jax.Array | float,
    most: jax.Array,
    slots: int,
) -> Proposal:
  """The greedy among candidates alone.

  Args:
    rows: `[K, r]` float32.
    places: `[K]` int32 in the pool, rising.
    left: `[K]` bool, False for what may not be picked.
    prices: `[K]` float32.
    gram: `[r, r]`, G.
    covariance: `[r, r]`, S.
    ridge: mu.
    most: scalar int32, no more picks than that.
    slots: static, from `most_slots`.

  Returns:
    What is proposed, ties to the lowest place.
  """
  r, blocks = rows.shape[1], slots // BLOCK

  def begin(carry):
    """A block with totals and variances computed anew."""
    found, covariance, _, _, left, _ = carry
    b = -(-found.slots // BLOCK)
    explained = posterior.product(
        posterior.product(covariance, gram), covariance)
    total, variance = posterior.renewed(rows, covariance, explained)
    total, variance = jnp.maximum(total, 0.0), jnp.maximum(variance, 0.0)
    found = found._replace(
        renewed=found.renewed.at[b].set(True),
        covariance=found.covariance.at[b].set(covariance),
        explained=found.explained.at[b].set(explained), slots=b * BLOCK)
    return found, covariance, total, variance, left, _largest(total, left)

  def is_small(carry):
    _, _, total, _, left, largest = carry
    return _largest(total, left) < posterior.RENEWED_BELOW * largest

  def turn(carry):
    """Up to `_AHEAD` picks."""
    carry = jax.lax.cond(is_small(carry), begin, lambda x: x, carry)
    found, covariance, total, variance, left, largest = carry
    gains = _gains(total, variance, left, prices, ridge)
    held = jnp.sort(rows_lib.top_k(gains, min(_HELD, len(rows)), None)[1])
    picks = _greedy(
        *(x[held] for x in (rows, left, prices, total, variance)), gram,
        covariance, ridge)
    total, variance, left, right = _checked(
        picks, rows, held, left, prices, total, variance, ridge,
        posterior.RENEWED_BELOW * largest, most - jnp.sum(found.places >= 0))
    chosen = held[picks.at]
    at = jnp.where(right, found.slots + jnp.arange(_AHEAD), slots)

    def put(whole, values):
      return whole.at[at].set(values, mode='drop')

    found = found._replace(
        places=put(found.places, places[chosen]),
        rows=put(found.rows, rows[chosen]), s=put(found.s, picks.s),
        t=put(found.t, picks.t), divisor=put(found.divisor, picks.divisor),
        square=put(found.square, picks.square),
        slots=found.slots + jnp.sum(right))
    s = jnp.where(right[:, None], picks.s, 0.0)
    covariance -= posterior.product(s.T, s / picks.divisor[:, None])
    return found, covariance, total, variance, left, largest

  def goes_on(carry):
    found, left = carry[0], carry[4]
    # There must be room for the block that a renewal begins.
    first = jnp.where(is_small(carry), -(-found.slots // BLOCK) * BLOCK,
                      found.slots)
    return jnp.any(left) & (first + _AHEAD <= slots) & (
        jnp.sum(found.places >= 0) < most)

  nothing = Proposal(
      jnp.full(slots, -1, jnp.int32), *(
          jnp.zeros((slots, r)) for _ in range(3)), jnp.ones(slots),
      jnp.zeros(slots), jnp.zeros(blocks, bool), *(
          jnp.zeros((blocks, r, r)) for _ in range(2)),
      jnp.zeros((), jnp.int32))
  none = jnp.zeros(len(rows))
  start = begin((nothing, covariance, none, none, left, 0.0))
  return jax.lax.while_loop(goes_on, turn, start)[0]


class _Picks(NamedTuple):
  """Picks among rows that are held, `[_AHEAD, ...]` each; see `Proposal`."""

  at: jax.Array  # int32, of the rows
  gain: jax.Array  # -inf where none was left
  s: jax.Array
  t: jax.Array
  divisor: jax.Array
  square: jax.Array


def _greedy(rows, left, prices, total, variance, gram, covariance, ridge):
  """The greedy among a few rows."""

  def pick(carry, _):
    covariance, total, variance, left = carry
    gains = _gains(total, variance, left, prices, ridge)
    best = jnp.argmax(gains)
    z = rows[best]
    s = posterior.product(covariance, z)
    divisor = jnp.dot(z, s, precision='highest') + ridge
    gram_s = posterior.product(gram, s)
    t, square = posterior.product(covariance, gram_s), jnp.dot(
        s, gram_s, precision='highest')
    both = posterior.product(rows, jnp.stack([s, t], axis=1))
    total, variance = answered(
        total, variance, both[:, 0], both[:, 1], divisor, square)
    return (covariance - jnp.outer(s, s) / divisor, total, variance,
            left.at[best].set(False)), _Picks(
                best, gains[best], s, t, divisor, square)

  return jax.lax.scan(
      pick, (covariance, total, variance, left), length=_AHEAD)[1]


def _checked(picks, rows, held, left, prices, total, variance, ridge, least,
             most):
  """What is known of all candidates after those picks that are right.

  These are the picks before the first that a row outside of those held beats,
  or before which totals are to be computed anew, below `least`; but `most` at
  most.

  Returns:
    `([K] totals, [K] variances, [K] left, [_AHEAD] bool, which are right)`.
  """
  both = posterior.product(jnp.concatenate([picks.s, picks.t]), rows.T)
  outside, numbers = left.at[held].set(False), jnp.arange(len(rows))

  def step(carry, pick):
    total, variance, left, right = carry
    at, place, gain, share, second, divisor, square = pick
    gains = _gains(total, variance, outside, prices, ridge)
    # Gains are rounded in two ways; what rounding decides is not worth a turn.
    # Where they are equal all the same, the lowest place wins.
    beaten = jnp.any((gains > gain * (1 + _ROUNDED)) | (
        (gains == gain) & (numbers < place)))
    is_small = _largest(total, left) < least
    # The first pick is the best of all: so each turn makes one.
    right = right & (gain > -jnp.inf) & (at < most) & (
        (at == 0) | ~(beaten | is_small))
    after = answered(total, variance, share, second, divisor, square)
    return (jnp.where(right, after[0], total),
            jnp.where(right, after[1], variance),
            left.at[place].min(~right), right), right

  (total, variance, left, _), right = jax.lax.scan(
      step, (total, variance, left, True),
      (jnp.arange(_AHEAD), held[picks.at], picks.gain, both[:_AHEAD],
       both[_AHEAD:], picks.divisor, picks.square))
  return total, variance, left, right


def _gains(total, variance, left, prices, ridge):
  """`[n]`: -inf of what may not be picked."""
  gains = total / ((variance + ridge) * prices)
  # What float32 cannot say is worth nothing, but may be picked: comparisons
  # with NaN are all false, and turns would have no end.
  return jnp.where(left, jnp.where(jnp.isnan(gains), 0.0, gains), -jnp.inf)


def _largest(total, left):
  return jnp.max(jnp.where(left, total, 0.0), initial=0.0)


def answered(total, variance, share, second, divisor, square):
  """Totals and variances after one more answer.

  Args:
    total: `[n]`, of rows z.
    variance: `[n]`.
    share: `[n]`, `z s`.
    second: `[n]`, `z t`.
    divisor: scalar, as all that follows, of `Proposal`.
    square: scalar.

  Returns:
    Both, `[n]`. Rounding must not take them below 0, where they cannot be.
  """
  share = share / divisor
  return (jnp.maximum(total - share * (2 * second - share * square), 0.0),
          jnp.maximum(variance - jnp.square(share) * divisor, 0.0))
