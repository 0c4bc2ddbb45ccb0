r"""Greedy selection by gains that never rise, looking only where it matters.

The textbook greedy brings every row's gain up to date after every pick. But an
old gain bounds the present one, and so a row that was once found to gain little
need not be looked at again before the best have come down to it. In turns:

1. A *floor* is set, so that the rows with bounds above it make full tiles.
   Those whose gains are not up to date are refreshed, the others wait: for good
   if no pick ever comes down to them.
2. The K best of what is up to date are candidates, from which `block.pick`
   takes as long as nothing outside, up to date or not, could come before them.
3. The state takes in the picks.

The picks are those of the textbook, ties included: see `block`. Every turn
refreshes a row, or picks one: nothing that is old is above the floor then.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire.kernels import block as block_lib
from mmal_jax.acquire.kernels import nearest as nearest_lib
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.parallel import sharding

_SAMPLE = 8192  # bounds that a floor is set by
# Each turn considers 1 / 8 of the rows in memory, 1 / 2 from disk. Measured:
# with fewer rows there are more turns, each with its fixed cost; with more,
# more are refreshed that are never picked. From disk every turn is a read.
IN_MEMORY, ON_DISK = 8, 2
_LEAST = 16  # rows for every candidate: most fall when they are refreshed


class Rule(NamedTuple):
  """What a row gains, and how picks lower it. All functions are pure.

  Attributes:
    until: `(seen, count) -> seen`, how many picks a gain that has seen some of
      them has seen after `refresh`: more than `seen`, at most `count`.
    refresh: `(state, rows, gains [t], first, until) -> [t]`, the gains of a
      tile of rows after the picks before `until`, of which all had seen those
      before `first`.
    among: `(state, values [K, d]) -> pytree`, what is needed to pick among K
      candidates.
    lower: `(among, gains [K], best) -> (among, gains [K])`, after a pick.
    add: `(state, values [K, d], is_pick [K], count) -> state`, after `is_pick`
      more picks than the `count` before.
  """

  until: Callable[..., jax.Array]
  refresh: Callable[..., jax.Array]
  among: Callable[..., Any]
  lower: Callable[..., tuple[Any, jax.Array]]
  add: Callable[..., Any]


class Gains(NamedTuple):
  """Of all rows, or one device's.

  Attributes:
    bound: `[n]` float32, at least the present gain.
    seen: `[n]` int32, of how many picks it is the gain.
    remaining: `[n]` bool.
  """

  bound: jax.Array
  seen: jax.Array
  remaining: jax.Array


def select(
    rule: Rule,
    axis: sharding.Axis,
    rows: nearest_lib.Rows,
    gains: jax.Array,
    state: Any,
    k: int,
    candidates: int,
    n: int,
) -> tuple[jax.Array, jax.Array]:
  """k picks, within `sharding.map_rows` or on one device.

  Args:
    rule: of the gains.
    axis: of the mesh.
    rows: this device's.
    gains: `[n / parts]` float32, this device's, before the first pick.
    state: of the rule, before the first pick.
    k: number of picks.
    candidates: for a turn, K.
    n: of all devices' rows.

  Returns:
    `([k] int32 in the order of choice, turns)`; -1 where nothing remained.
    Four collectives a turn: two of K numbers of each device, the K rows, and
    one of four numbers.
  """

  parts = 1 if axis is None else jax.lax.axis_size(axis)

  def turn(carry):
    gains, state, picks, done, turns, _, wanted = carry
    gains = pickable(gains)
    # A floor for each device: rows wait on one that another would refresh.
    above = floor(gains, wanted // parts)
    gains = refresh(rule, rows, gains, state, done, above)
    known = up_to_date(gains, done)
    outside, found, left = _of_all(
        best_outside(gains, done), jnp.sum(known >= above),
        jnp.sum(gains.remaining), len(known), axis)
    wanted = next_wanted(wanted, found, candidates, n)
    offered = _offer(rows.values, known, outside, candidates, n, axis)
    chosen, count = block_lib.pick(
        offered, k - done, rule.among(state, offered.values), rule.lower)
    is_pick = jnp.arange(len(chosen)) < count
    picked = jnp.where(is_pick, offered.indices[chosen], n)
    # Beyond the k-th place and beyond this device's rows writes are dropped.
    places = jnp.where(is_pick, done + jnp.arange(len(chosen)), k)
    picks = picks.at[places].set(picked, mode='drop')
    here = picked - sharding.first_row(len(rows.values), axis)
    here = jnp.where(here < 0, len(rows.values), here)
    gains = gains._replace(
        remaining=gains.remaining.at[here].set(False, mode='drop'))
    state = rule.add(state, offered.values[chosen], is_pick, done)
    return (gains, state, picks, done + count, turns + 1, left - count,
            wanted)

  def goes_on(carry):
    return (carry[3] < k) & (carry[5] > 0)

  zero = jnp.zeros((), jnp.int32)
  start = Gains(gains, jnp.zeros(len(gains), jnp.int32), rows.remaining)
  # Whether any are left, the first turn says.
  carry = jax.lax.while_loop(
      goes_on, turn, (start, state, jnp.full(k, -1, jnp.int32), zero, zero,
                      zero + 1,
                      jnp.int32(first_wanted(candidates, n, IN_MEMORY))))
  return carry[2], carry[4]


def pickable(gains: Gains) -> Gains:
  """Without rows whose gain is -inf or NaN: no turn could ever pick them."""
  return gains._replace(
      remaining=gains.remaining & (gains.bound > -jnp.inf))


def first_wanted(candidates: int, n: int, share: int) -> int:
  """How many rows are to be above the first floor; all where they are few."""
  return min(n, max(_LEAST * candidates, n // share))


def next_wanted(
    wanted: jax.Array, found: jax.Array, candidates: int, n: int
) -> jax.Array:
  """How many rows are to be above the next floor.

  Args:
    wanted: for the last one, scalar int32.
    found: how many were still above it when they were up to date.
    candidates: twice as many should be.
    n: of all devices' rows.

  Returns:
    Scalar int32: half of it or twice as many, or between.
  """
  # With fewer than candidates the floor ends a turn, and not the last of them.
  factor = jnp.clip(2 * candidates / jnp.maximum(found, 1), 0.5, 2.0)
  return jnp.clip(
      wanted * factor, _LEAST * candidates, n).astype(jnp.int32)


def floor(gains: Gains, wanted: jax.Array) -> jax.Array:
  """The bound below which rows wait: a quantile of a strided sample.

  Args:
    gains: of n rows.
    wanted: scalar int32, how many rows are to be above it, roughly.

  Returns:
    Scalar float32; -inf where all rows are wanted.
  """
  n = len(gains.bound)
  stride = max(1, n // _SAMPLE)
  some = jnp.sort(jnp.where(gains.remaining, gains.bound, -jnp.inf)[::stride])
  at = jnp.maximum(len(some) - 1 - wanted // stride, 0)
  return jnp.where(wanted >= n, -jnp.inf, some[at])


def refresh(
    rule: Rule,
    rows: nearest_lib.Rows,
    gains: Gains,
    state: Any,
    count: jax.Array,
    floor: jax.Array,
) -> Gains:
  """Brings bounds above the floor up to date.

  Args:
    rule: of the gains.
    rows: n of them.
    gains: of these rows.
    state: after `count` picks.
    count: scalar int32.
    floor: scalar float32; what falls below it is left as it is then.

  Returns:
    Gains, of which all bounds from the floor on have seen all picks.
  """
  n = len(rows.values)
  size = min(n, max(tile_sizes.of('refresh').rows, n // 4))

  def is_old(gains):
    return gains.remaining & (gains.bound >= floor) & (gains.seen < count)

  def some(gains):
    places, = jnp.nonzero(is_old(gains), size=size, fill_value=n)
    there = places < n
    bound = gains.bound.at[places].get(mode='fill', fill_value=-jnp.inf)
    seen = gains.seen.at[places].get(mode='fill', fill_value=0)

    def step(carry):
      first, bound, seen = carry
      until = rule.until(first, count)
      wanted = there & (seen < until) & (bound >= floor)
      bound = _refresh_some(
          rule, rows, places, wanted, bound, state, first, until)
      seen = jnp.where(wanted, until, seen)
      # What has seen more waits for its turn.
      nearest = jnp.min(jnp.where(
          there & (seen < count) & (bound >= floor), seen, count))
      return jnp.maximum(nearest, until), bound, seen

    start = jnp.min(jnp.where(there, seen, count))
    _, bound, seen = jax.lax.while_loop(
        lambda carry: carry[0] < count, step, (start, bound, seen))
    return gains._replace(
        bound=gains.bound.at[places].set(bound, mode='drop'),
        seen=gains.seen.at[places].set(seen, mode='drop'))

  return jax.lax.while_loop(
      lambda gains: jnp.any(is_old(gains)), some, gains)


def _refresh_some(rule, rows, places, wanted, bound, state, first, until):
  """`bound [s]` of the rows at `places [s]`, with those that are wanted lower.
  """
  n, size = len(rows.values), len(places)
  tile = min(tile_sizes.of('refresh').rows, size)
  # Gathered, so that tiles are full: what is left out costs nothing.
  order, = jnp.nonzero(wanted, size=size, fill_value=size)
  order = jnp.pad(order, (0, -size % tile), constant_values=size)

  def refresh_tile(i, bound):
    at = jax.lax.dynamic_slice_in_dim(order, i * tile, tile)
    here = places.at[at].get(mode='fill', fill_value=n)
    part = nearest_lib.Rows(
        *(jnp.take(x, here, axis=0, mode='clip') for x in rows[:2]), at < size)
    old = jnp.take(bound, at, mode='clip')
    return bound.at[at].set(
        rule.refresh(state, part, old, first, until), mode='drop')

  return jax.lax.fori_loop(
      0, -(-jnp.sum(wanted) // tile), refresh_tile, bound)


def best_outside(
    gains: Gains, count: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """`(bound, index)` of the first in order of what is not up to date."""
  old = jnp.where(gains.remaining & (gains.seen < count), gains.bound, -jnp.inf)
  at = jnp.argmax(old)
  return old[at], at.astype(jnp.int32)


def _of_all(outside, found, left, rows, axis):
  """The first outside of all devices, and the sums of what each counted."""
  bound, index = outside
  # As integers, of which a compiler may make sums with zeros.
  ours = jnp.stack([
      jax.lax.bitcast_convert_type(bound, jnp.int32),
      index + sharding.first_row(rows, axis), found.astype(jnp.int32),
      left.astype(jnp.int32)])
  bounds, indices, found, left = sharding.gather(ours, axis).T
  bounds = jax.lax.bitcast_convert_type(bounds, jnp.float32)
  # Devices come in the order of their rows: ties stay with the lowest index.
  at = jnp.argmax(bounds)
  return (bounds[at], indices[at]), jnp.sum(found), jnp.sum(left)


def up_to_date(gains: Gains, count: jax.Array) -> jax.Array:
  """`[n]` gains; -inf of what is not up to date, or does not remain."""
  return jnp.where(
      gains.remaining & (gains.seen >= count), gains.bound, -jnp.inf)


def _offer(values, known, outside, candidates, n, axis):
  """The rows of the largest gains that are up to date, of all devices."""
  best, indices = rows_lib.top_k(known, min(candidates, n), axis)
  by_index, best, bound = block_lib.order(best, indices, n, outside)
  indices = indices[by_index]
  return block_lib.Candidates(
      sharding.take_rows(values, indices, axis), best, indices, bound)
