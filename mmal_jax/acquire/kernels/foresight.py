r"""Many picks of experimental design from one look at the pool.

The plain greedy reads the whole pool for every pick. Gains of the design may
rise, so that no old gain bounds a new one, and what k-center does (`block`) is
not to be had. But a guess is cheap to check:

1. A few thousand candidates propose many picks: greedily, among themselves,
   from rows that fit in the cache (`propose`).
2. One pass over all rows follows the proposal, pick by pick (`look`). What a
   pick s, t of it changes in a row's total and variance are the row's products
   with s and t alone: one product of matrices for all picks. A row stays in
   the pass as long as it takes to find the first pick that it would have
   beaten.
3. Picks before the first that is beaten by any row are those of the plain
   greedy, by induction; and the best of the rows that beat this one is the
   greedy's pick in its place. So every pass yields at least one pick.
4. The rows that came closest to a pick, or beat it, are the next candidates.

Whatever is proposed, the picks are those of the plain greedy, whose gains are
computed as in step 2; from the proposal depends only how many passes it takes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire.kernels import posterior
from mmal_jax.acquire.kernels import rivals
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.acquire.kernels import tiles

# Picks whose products are one matrix product. Always that many, and rows of one
# tile size, padded: then a row's gains are the same to the bit wherever it lies
# (seen on CPU), and so are the picks.
BLOCK = 128
# A proposal is of no more: what comes after a wrong one is of little use.
_MOST = 2048
_RENEWALS = 8  # Blocks of a proposal that may be begun for a renewal.


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


class Beaten(NamedTuple):
  """The first pick that is beaten, and by which row; a row each, or the best.

  Attributes:
    slot: int32; that of no pick where none is beaten.
    gain: float32 of the row in this slot.
    place: int32, of the row in the pool.
  """

  slot: jax.Array
  gain: jax.Array
  place: jax.Array


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
    return found, covariance, total, variance, left, jnp.max(
        jnp.where(left, total, 0.0), initial=0.0)

  def is_small(carry):
    _, _, total, _, left, largest = carry
    return jnp.max(jnp.where(left, total, 0.0), initial=0.0) < (
        posterior.RENEWED_BELOW * largest)

  def pick(carry):
    carry = jax.lax.cond(is_small(carry), begin, lambda x: x, carry)
    found, covariance, total, variance, left, largest = carry
    best = jnp.argmax(jnp.where(
        left, total / ((variance + ridge) * prices), -jnp.inf))
    z = rows[best]
    s = posterior.product(covariance, z)
    divisor = jnp.dot(z, s, precision='highest') + ridge
    gram_s = posterior.product(gram, s)
    t, square = posterior.product(covariance, gram_s), jnp.dot(
        s, gram_s, precision='highest')
    both = posterior.product(rows, jnp.stack([s, t], axis=1))
    total, variance = answered(
        total, variance, both[:, 0], both[:, 1], divisor, square)
    at = found.slots
    found = found._replace(
        places=found.places.at[at].set(places[best]),
        rows=found.rows.at[at].set(z), s=found.s.at[at].set(s),
        t=found.t.at[at].set(t), divisor=found.divisor.at[at].set(divisor),
        square=found.square.at[at].set(square), slots=at + 1)
    return (found, covariance - jnp.outer(s, s) / divisor, total, variance,
            left.at[best].set(False), largest)

  def goes_on(carry):
    found, left = carry[0], carry[4]
    # There must be room for the block that a renewal begins.
    full = jnp.where(is_small(carry), -(-found.slots // BLOCK) * BLOCK,
                     found.slots) >= slots
    return jnp.any(left) & ~full & (jnp.sum(found.places >= 0) < most)

  nothing = Proposal(
      jnp.full(slots, -1, jnp.int32), *(
          jnp.zeros((slots, r)) for _ in range(3)), jnp.ones(slots),
      jnp.zeros(slots), jnp.zeros(blocks, bool), *(
          jnp.zeros((blocks, r, r)) for _ in range(2)),
      jnp.zeros((), jnp.int32))
  none = jnp.zeros(len(rows))
  start = begin((nothing, covariance, none, none, left, 0.0))
  return jax.lax.while_loop(goes_on, pick, start)[0]


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


def own_gains(
    proposal: Proposal, prices: jax.Array, ridge: jax.Array | float
) -> jax.Array:
  """`[slots]`: of every pick in its slot, to the bit as `look` computes it.

  Args:
    proposal: which one.
    prices: `[slots]`, of its picks.
    ridge: mu.

  Returns:
    +inf of empty slots, that nothing beats.
  """
  slots = jnp.arange(len(proposal.places), dtype=jnp.int32)
  floor = jnp.full(len(slots), -jnp.inf)
  _, found = _follow(
      proposal, floor, ridge, proposal.rows, slots, slots, slots + 1, prices)
  return jnp.where(proposal.places >= 0, found.gain, jnp.inf)


def glance(
    proposal: Proposal,
    ridge: jax.Array | float,
    rows: jax.Array,
    first_place: jax.Array,
    left: jax.Array,
    prices: jax.Array,
    count: int,
) -> rivals.Rivals:
  """Rows that might beat a proposal, without following it; arguments of `look`.

  Each is set against the pick that it varies with most, by its gain before the
  first pick: half of the products of `look`, and nothing step by step.
  """
  n = len(rows)
  tile = min(tile_sizes.of('design').rows, n)

  def some(rows, left, prices):
    total, variance = posterior.renewed(
        rows, proposal.covariance[0], proposal.explained[0])
    shared = jnp.abs(posterior.product(rows, proposal.s.T))
    return (jnp.where(left, total / ((variance + ridge) * prices), -jnp.inf),
            jnp.argmax(shared, axis=1).astype(jnp.int32))

  gain, nearby = tiles.map_tiles(some, tile, rows, left, prices)
  places = jnp.arange(n, dtype=jnp.int32) + first_place
  return rivals.of(gain, nearby, places, proposal.slots, count)


def look(
    proposal: Proposal,
    gains: jax.Array,
    ridge: jax.Array | float,
    rows: jax.Array,
    first_place: jax.Array,
    left: jax.Array,
    prices: jax.Array,
    count: int,
) -> tuple[rivals.Rivals, Beaten]:
  """What rows of the pool say to a proposal; one pass.

  Args:
    proposal: which one.
    gains: `[slots]`, from `own_gains`.
    ridge: mu.
    rows: `[n, r]` float32: all, a device's, or those of a chunk.
    first_place: scalar int32, of the first row in the pool.
    left: `[n]` bool, False for what may not be picked.
    prices: `[n]` float32.
    count: K, even: how many candidates there are to be.

  Returns:
    The rivals; and of the rows that beat a pick the one that is right in place
    of the first.
  """
  n, slots = len(rows), len(proposal.places)
  places = jnp.arange(n, dtype=jnp.int32) + first_place
  here = proposal.places - first_place
  here = jnp.where((proposal.places >= 0) & (here >= 0), here, n)
  until = jnp.where(left, slots, -1).astype(jnp.int32).at[here].set(
      jnp.arange(slots, dtype=jnp.int32), mode='drop')
  (closest, nearby), found = _follow(
      proposal, gains, ridge, rows, places, jnp.zeros(n, jnp.int32), until,
      prices)
  return rivals.of(
      closest, nearby, places, proposal.slots, count), first(found)


def first(found: Beaten) -> Beaten:
  """Of many the lowest slot's best, ties to the first; `[m]` to scalars."""
  slot = jnp.min(found.slot)
  best = jnp.argmax(jnp.where(found.slot == slot, found.gain, -jnp.inf))
  return jax.tree.map(lambda x: x[best], found)


def _follow(proposal, gains, ridge, rows, places, since, until, prices):
  """Rows from slot to slot; beats count from `since` to before `until`."""
  slots = len(gains)
  scale = jnp.where(
      jnp.isfinite(gains), 1 / jnp.maximum(gains, jnp.finfo(jnp.float32).tiny),
      0.0)
  by_slot = (proposal.divisor, proposal.square, gains, scale, proposal.places,
             jnp.arange(slots, dtype=jnp.int32))

  def follow(rows, places, since, until, prices):

    def block(b, carry):

      def cut(x):
        return jax.lax.dynamic_slice_in_dim(x, b * BLOCK, BLOCK)

      def anew(carry):
        total, variance = posterior.renewed(
            rows, proposal.covariance[b], proposal.explained[b])
        return (jnp.maximum(total, 0.0), jnp.maximum(variance, 0.0),
                *carry[2:])

      # By slots first: one after the other is read as it lies.
      both = posterior.product(
          jnp.concatenate([cut(proposal.s), cut(proposal.t)]), rows.T)
      carry = jax.lax.cond(
          proposal.renewed[b], anew, lambda carry: carry, carry)
      return jax.lax.scan(
          step, carry, (both[:BLOCK], both[BLOCK:], *map(cut, by_slot)))[0]

    def step(carry, of_slot):
      total, variance, closest, nearby, slot, value = carry
      share, second, divisor, square, bar, scale, place, at = of_slot
      gain = total / ((variance + ridge) * prices)
      beats = (gain > bar) | ((gain == bar) & (places < place))
      beats = beats & (at >= since) & (at < until) & (slot == slots)
      ratio = gain * scale
      closer = (at <= until) & (ratio > closest)
      total, variance = answered(
          total, variance, share, second, divisor, square)
      return (total, variance, jnp.where(closer, ratio, closest),
              jnp.where(closer, at, nearby), jnp.where(beats, at, slot),
              jnp.where(beats, gain, value)), None

    none = jnp.zeros(len(rows))
    start = (none, none, none - jnp.inf, jnp.zeros(len(rows), jnp.int32),
             jnp.full(len(rows), slots, jnp.int32), none - jnp.inf)
    _, _, closest, nearby, slot, value = jax.lax.fori_loop(
        0, -(-proposal.slots // BLOCK), block, start)
    return (closest, nearby), Beaten(slot, value, places)

  n, size = len(rows), tile_sizes.of('design').rows
  by_row = rows, places, since, until, prices
  if n < size:
    by_row = jax.tree.map(
        lambda x: jnp.pad(x, ((0, size - n),) + ((0, 0),) * (x.ndim - 1)),
        by_row)
  found = tiles.map_tiles(follow, size, *by_row)
  return jax.tree.map(lambda x: x[:n], found)


def unbeaten(slots: int) -> Beaten:
  """Of a proposal that nothing beats, as nothing else is there."""
  return Beaten(jnp.full((), slots, jnp.int32), jnp.full((), -jnp.inf),
                jnp.zeros((), jnp.int32))


def accept(
    proposal: Proposal,
    beaten: Beaten,
    row: jax.Array,
    precision: jax.Array,
    ridge: jax.Array | float,
) -> tuple[jax.Array, jax.Array]:
  """What of a proposal is right, and what beat the rest.

  Args:
    proposal: which one.
    beaten: by which of all rows.
    row: `[1, r]`, this.
    precision: `[r, r]` before.
    ridge: mu.

  Returns:
    `[slots]` int32 places of the right picks in their order, -1 between and
    behind them; `[r, r]`.
  """
  slots = len(proposal.places)
  at = jnp.arange(slots)
  places = jnp.where(at < beaten.slot, proposal.places, -1)
  places = places.at[beaten.slot].set(beaten.place, mode='drop')
  rows = proposal.rows.at[beaten.slot].set(row[0], mode='drop')
  rows = jnp.where((places >= 0)[:, None], rows, 0.0)
  return places, precision + posterior.product(rows.T, rows) / ridge
