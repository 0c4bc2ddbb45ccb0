"""Passes and greedy selection over a pool on disk, streamed through a device.

What is kept of every row (4 bytes of gain, 4 of how old it is) stays on the
device, the rows come and go in chunks: while one is worked on, the next is read
and sent.
"""

from collections.abc import Callable, Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import block as block_lib
from mmal_jax.acquire.kernels import greedy
from mmal_jax.acquire.kernels import nearest as nearest_lib
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.embed import disk
from mmal_jax.parallel import rows as rows_lib

_FEW = 16  # below 1 / 16 of the rows, rows are read and not their chunks
_LOT = 32768  # rows that are read so at a time


def over_chunks(
    function: Callable[..., Any],
    pool: disk.DiskRows,
    *by_row: list[Any],
    numbers: Sequence[int] | None = None,
) -> list[Any]:
  """Applies a function to every chunk, two of them on the device at a time.

  Args:
    function: `(values [chunk_rows, d], *parts)` to arrays.
    pool: on disk.
    *by_row: what else it needs of each chunk.
    numbers: of the chunks; all if None.

  Returns:
    Its results, a chunk each.
  """
  results = []
  for values, *parts in zip(pool.chunks(numbers), *by_row):
    # Returns at once: the device works while the next chunk is read and sent.
    results.append(function(jax.device_put(values), *parts))
    if len(results) > 1:
      jax.block_until_ready(results[-2])
  return results


def cut(pool: disk.DiskRows, values: jax.Array, fill: Any) -> list[jax.Array]:
  """`[n]` values by chunk, the last one padded to `[chunk_rows]`."""
  padding = pool.num_chunks * pool.chunk_rows - len(pool)
  padded = np.pad(np.asarray(values), (0, padding), constant_values=fill)
  return [jax.device_put(part) for part in np.split(padded, pool.num_chunks)]


def fold(view, aligned: jax.Array, aligned_mask: jax.Array) -> jax.Array:
  """As `nearest.fold`, for a view of a pool on disk.

  Args:
    view: with `nearest`.
    aligned: `[a, d]`.
    aligned_mask: `[a]` bool.

  Returns:
    `[n]` float32.
  """
  nearest = _fold_chunks(
      view.pool, cut(view.pool, view.remaining, False),
      cut(view.pool, view.nearest, np.inf), jnp.asarray(aligned),
      jnp.asarray(aligned_mask), view.metric)
  return jnp.concatenate(nearest)[:len(view.pool)]


def select(
    rule: greedy.Rule,
    pool: disk.DiskRows,
    metric: metric_lib.Metric,
    remaining: jax.Array,
    gains: jax.Array,
    state: Any,
    k: int,
    candidates: int,
) -> tuple[jax.Array, jax.Array]:
  """As `greedy.select`, for a pool on disk.

  Args:
    rule: of the gains, hashable.
    pool: of n rows.
    metric: whose norms the rule is given with the rows.
    remaining: `[n]` bool.
    gains: `[n]` float32, before the first pick.
    state: of the rule, before the first pick.
    k: number of picks.
    candidates: for a turn.

  Returns:
    `([k] int32 in the order of choice, turns)`. A turn reads only the chunks
    that have a row to refresh; or the rows alone, where they are few.
  """
  n = len(pool)
  # The same in every turn: fewer rows would be more turns, and each reads.
  wanted = jnp.int32(greedy.first_wanted(candidates, n, greedy.ON_DISK))
  known = greedy.Gains(
      jnp.asarray(gains), jnp.zeros(n, jnp.int32), jnp.asarray(remaining))
  picks, turns, done = np.full(k, -1, np.int32), 0, 0
  while done < k and bool(jnp.any(known.remaining)):
    known = _pickable(known)
    floor = _floor(known, wanted)
    known = _refresh(
        rule, pool, metric, known, state, jnp.int32(done), floor)
    best, indices, bound = _farthest(
        known, jnp.int32(done), min(candidates, n))
    offered = block_lib.Candidates(
        jax.device_put(pool.take(np.asarray(indices))), best, indices, bound)
    state, known, chosen, count = _pick(
        rule, offered, state, known, jnp.int32(done), k - done)
    count = int(count)
    picks[done:done + count] = np.asarray(chosen)[:count]
    done, turns = done + count, turns + 1
  return jnp.asarray(picks), jnp.asarray(turns, jnp.int32)


def _refresh(rule, pool, metric, gains, state, count, floor):
  """`greedy.refresh`, with as little read as that needs."""
  old = np.asarray(_is_old(gains, count, floor))
  places = np.flatnonzero(old)
  if not len(places):
    return gains
  known = [np.array(x) for x in gains[:2]]

  def refresh(values, *part):
    return _refresh_part(rule, values, *part, state, count, floor, metric)

  if len(places) * _FEW < len(pool):
    # Of few sizes: each is a program to compile.
    size = min(_LOT, max(tile_sizes.of('refresh').rows,
                         1 << (len(places) - 1).bit_length()))
    for lot in np.split(places, range(size, len(places), size)):
      at = np.pad(lot, (0, size - len(lot)), mode='edge')
      found = refresh(
          jax.device_put(pool.take(at)), known[0][at], known[1][at],
          np.arange(size) < len(lot))
      for all_rows, part in zip(known, found):
        all_rows[lot] = np.asarray(part)[:len(lot)]
    return gains._replace(
        bound=jnp.asarray(known[0]), seen=jnp.asarray(known[1]))
  numbers = np.unique(places // pool.chunk_rows)
  whole = [cut(pool, x, fill) for x, fill in (
      (known[0], -np.inf), (known[1], 0), (old, False))]
  parts = [[chunks[i] for i in numbers] for chunks in whole]
  results = over_chunks(refresh, pool, *parts, numbers=numbers)
  for i, found in zip(numbers, results):
    start = i * pool.chunk_rows
    for all_rows, part in zip(known, found):
      all_rows[start:start + pool.chunk_rows] = np.asarray(
          part)[:len(pool) - start]
  return gains._replace(bound=jnp.asarray(known[0]), seen=jnp.asarray(known[1]))


@jax.jit
def _is_old(gains, count, floor):
  return gains.remaining & (gains.bound >= floor) & (gains.seen < count)


_pickable = jax.jit(greedy.pickable)
_floor = jax.jit(greedy.floor)


@functools.partial(jax.jit, static_argnames=('rule', 'metric'))
def _refresh_part(
    rule, values, bound, seen, remaining, state, count, floor, metric):
  rows = nearest_lib.Rows(values, metric.norms(values), remaining)
  return greedy.refresh(
      rule, rows, greedy.Gains(bound, seen, remaining), state, count, floor)[:2]


@functools.partial(jax.jit, static_argnames='k')
def _farthest(gains, count, k):
  best, indices = rows_lib.top_k(greedy.up_to_date(gains, count), k, None)
  order, best, bound = block_lib.order(
      best, indices, len(gains.bound), greedy.best_outside(gains, count))
  return best, indices[order], bound


@functools.partial(jax.jit, static_argnames='rule')
def _pick(rule, offered, state, gains, count, most):
  chosen, found = block_lib.pick(
      offered, most, rule.among(state, offered.values), rule.lower)
  is_pick = jnp.arange(len(chosen)) < found
  picked = offered.indices[chosen]
  remaining = gains.remaining.at[
      jnp.where(is_pick, picked, len(gains.remaining))].set(False, mode='drop')
  state = rule.add(state, offered.values[chosen], is_pick, count)
  return state, gains._replace(remaining=remaining), picked, found


def _fold_chunks(pool, remaining, nearest, centres, mask, metric):
  return over_chunks(
      lambda *part: _fold_chunk(*part, centres, mask, metric), pool, remaining,
      nearest)


@functools.partial(jax.jit, static_argnames='metric')
def _fold_chunk(values, remaining, nearest, centres, mask, metric):
  rows = nearest_lib.Rows(values, metric.norms(values), remaining)
  return nearest_lib.fold(rows, nearest, centres, mask, metric)
