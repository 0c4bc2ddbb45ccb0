"""Greedy k-center over a pool on disk: every pass streams it through a device.

The distances to the nearest centre (4 bytes a row) stay on the device, the rows
come and go in chunks: while one is worked on, the next is read and sent.
"""

from collections.abc import Callable
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire.kernels import block as block_lib
from mmal_jax.acquire.kernels import nearest as nearest_lib
from mmal_jax.embed import disk


def over_chunks(
    function: Callable[..., Any], pool: disk.DiskRows, *by_row: list[Any]
) -> list[Any]:
  """Applies a function to every chunk, two of them on the device at a time.

  Args:
    function: `(values [chunk_rows, d], *parts)` to arrays.
    pool: on disk.
    *by_row: what else it needs of each chunk.

  Returns:
    Its results, a chunk each.
  """
  results = []
  for values, *parts in zip(pool.chunks(), *by_row):
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


def select_coreset(
    view, k: int, candidates: int
) -> tuple[jax.Array, jax.Array]:
  """As `coreset.select_with_passes`, for a view of a pool on disk.

  Args:
    view: with `nearest`.
    k: number of centres to add.
    candidates: size of a block.

  Returns:
    `([k] int32 indices, passes)`.
  """
  pool, metric = view.pool, view.metric
  remaining = np.array(view.remaining)
  nearest = cut(pool, view.nearest, np.inf)
  picks, passes, count = np.full(k, -1, np.int32), 0, 0
  while count < k:
    offered = _offer(
        pool, cut(pool, remaining, False), nearest, candidates)
    chosen, found = _pick(offered, k - count, metric)
    found, passes = int(found), passes + 1
    if not found:
      break
    picked = np.asarray(offered.indices)[np.asarray(chosen)[:found]]
    picks[count:count + found] = picked
    remaining[picked] = False
    count += found
    if count < k:
      nearest = _fold_chunks(
          pool, cut(pool, remaining, False), nearest, offered.values[chosen],
          jnp.arange(len(chosen)) < found, metric)
  return jnp.asarray(picks), jnp.asarray(passes, jnp.int32)


def _fold_chunks(pool, remaining, nearest, centres, mask, metric):
  return over_chunks(
      lambda *part: _fold_chunk(*part, centres, mask, metric), pool, remaining,
      nearest)


@functools.partial(jax.jit, static_argnames='metric')
def _fold_chunk(values, remaining, nearest, centres, mask, metric):
  rows = nearest_lib.Rows(values, metric.norms(values), remaining)
  return nearest_lib.fold(rows, nearest, centres, mask, metric)


def _offer(pool, remaining, nearest, candidates):
  values, places = zip(*(
      _farthest(left, distances, min(candidates, pool.chunk_rows))
      for left, distances in zip(remaining, nearest)))
  values = np.concatenate([np.asarray(x) for x in values])
  indices = np.concatenate([
      np.asarray(x) + i * pool.chunk_rows for i, x in enumerate(places)])
  real = indices < len(pool)
  values, indices = values[real], indices[real]
  best = np.lexsort((indices, -values))[:candidates]
  order, values, bound = block_lib.order(
      jnp.asarray(values[best]), jnp.asarray(indices[best]), len(pool))
  indices = indices[best][np.asarray(order)]
  return block_lib.Candidates(
      jax.device_put(pool.take(indices)), values, jnp.asarray(indices), bound)


@functools.partial(jax.jit, static_argnames='k')
def _farthest(remaining, nearest, k):
  return jax.lax.top_k(jnp.where(remaining, nearest, -jnp.inf), k)


@functools.partial(jax.jit, static_argnames='metric')
def _pick(candidates, most, metric):
  return block_lib.pick(candidates, most, metric)
