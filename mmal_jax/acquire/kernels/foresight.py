r"""Many picks of experimental design from one look at the pool.

The plain greedy reads the whole pool for every pick. Gains of the design may
rise, so that no old gain bounds a new one, and what k-center does (`block`) is
not to be had. But a guess is cheap to check:

1. Some candidates propose many picks: greedily, among themselves
   (`proposals`).
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
from mmal_jax.acquire.kernels import proposals
from mmal_jax.acquire.kernels import rivals
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.acquire.kernels import tiles

# Picks whose products are one matrix product. Always that many, and rows of one
# tile size, padded: then a row's gains are the same to the bit wherever it lies
# (seen on CPU), and so are the picks.
_BLOCK = proposals.BLOCK
_SLOT_BITS = 0xFFF  # More than a proposal has slots.


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


def own_gains(
    proposal: proposals.Proposal, prices: jax.Array, ridge: jax.Array | float
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
    proposal: proposals.Proposal,
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

    def block(b, highest):
      shared = jnp.abs(posterior.product(
          jax.lax.dynamic_slice_in_dim(proposal.s, b * _BLOCK, _BLOCK), rows.T))
      # Floats above 0 are ordered as their bits are: with its slot in place of
      # the last of them a value says where it was found.
      slot = jnp.minimum(
          b * _BLOCK + jnp.arange(_BLOCK, dtype=jnp.int32), proposal.slots - 1)
      bits = jax.lax.bitcast_convert_type(shared, jnp.int32)
      return jnp.maximum(highest, jnp.max(
          bits & ~_SLOT_BITS | slot[:, None], axis=0))

    highest = jax.lax.fori_loop(
        0, -(-proposal.slots // _BLOCK), block, jnp.zeros(len(rows), jnp.int32))
    return (jnp.where(left, total / ((variance + ridge) * prices), -jnp.inf),
            highest & _SLOT_BITS)

  gain, nearby = tiles.map_tiles(some, tile, rows, left, prices)
  places = jnp.arange(n, dtype=jnp.int32) + first_place
  return rivals.of(gain, nearby, places, proposal.slots, count)


def look(
    proposal: proposals.Proposal,
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
        return jax.lax.dynamic_slice_in_dim(x, b * _BLOCK, _BLOCK)

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
          step, carry, (both[:_BLOCK], both[_BLOCK:], *map(cut, by_slot)))[0]

    def step(carry, of_slot):
      total, variance, closest, nearby, slot, value = carry
      share, second, divisor, square, bar, scale, place, at = of_slot
      gain = total / ((variance + ridge) * prices)
      beats = (gain > bar) | ((gain == bar) & (places < place))
      beats = beats & (at >= since) & (at < until) & (slot == slots)
      ratio = gain * scale
      closer = (at <= until) & (ratio > closest)
      total, variance = proposals.answered(
          total, variance, share, second, divisor, square)
      return (total, variance, jnp.where(closer, ratio, closest),
              jnp.where(closer, at, nearby), jnp.where(beats, at, slot),
              jnp.where(beats, gain, value)), None

    none = jnp.zeros(len(rows))
    start = (none, none, none - jnp.inf, jnp.zeros(len(rows), jnp.int32),
             jnp.full(len(rows), slots, jnp.int32), none - jnp.inf)
    _, _, closest, nearby, slot, value = jax.lax.fori_loop(
        0, -(-proposal.slots // _BLOCK), block, start)
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
    proposal: proposals.Proposal,
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
