"""Running first and second moments of a modality's rows, in bounded memory."""

from collections.abc import Iterator
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.embed import disk
from mmal_jax.parallel import sharding

_TINY = 1e-12
_CHUNK = 4096  # rows at a time


class Moments(NamedTuple):
  """Of all rows so far, scaled to norm 1 and shifted.

  Means, and not sums, so that a stream without end overflows nothing; the
  shift, because the rows of many encoders lie within a narrow cone, in which
  squares of what is not shifted would lose most of their digits.

  Attributes:
    count: scalar float32, how many rows.
    shift: `[d]` float32, the mean of the first rows that came.
    mean: `[d]`, of what is left of the rows without the shift.
    second: `[d, d]`, mean of the outer products of the same.
  """

  count: jax.Array
  shift: jax.Array
  mean: jax.Array
  second: jax.Array


def empty(dim: int) -> Moments:
  """Of no rows yet."""
  return Moments(jnp.zeros(()), jnp.zeros(dim), jnp.zeros(dim),
                 jnp.zeros((dim, dim)))


def unit(rows: jax.Array) -> jax.Array:
  """`[..., d]` float32 rows of norm 1; a row of zeros remains one."""
  rows = rows.astype(jnp.float32)
  # By the largest value first: the squares of float16 features may overflow.
  rows = rows / jnp.maximum(
      jnp.max(jnp.abs(rows), axis=-1, keepdims=True), 1e-30)
  squares = jnp.sum(jnp.square(rows), axis=-1, keepdims=True)
  return rows * jax.lax.rsqrt(jnp.maximum(squares, _TINY))


def take(
    values: np.ndarray | jax.Array | disk.DiskRows, rows: np.ndarray
) -> jax.Array:
  """`[k, d]` rows by number, wherever they lie; -1 takes any."""
  rows = np.maximum(rows, 0)
  if isinstance(values, disk.DiskRows):
    return jnp.asarray(values.take(rows))
  return jnp.asarray(values[rows])


def add(
    moments: Moments,
    values: np.ndarray | jax.Array | disk.DiskRows,
    rows: jax.sharding.NamedSharding | None = None,
    chunk: int = _CHUNK,
) -> Moments:
  r"""Takes in further rows.

  .. math::
    \mu' = \mu + \frac{b}{n + b} (\mu_b - \mu)

  for the mean of n rows and the mean of the b fresh ones, and in the same way
  for the second moments.

  Args:
    moments: of the rows so far.
    values: `[n, d]` floats in memory, or on disk, where each chunk is read
      ahead of its use.
    rows: each chunk's rows are laid over these devices, and sums are added up
      over all of them, by all-reduces of `[d, d]` and less; None takes one
      device.
    chunk: rows at a time; of rows on disk, theirs.

  Returns:
    The moments of all.
  """
  for part, there in chunks(values, chunk, rows):
    if rows is not None:
      # From one device to all of them by way of the host.
      moments = jax.device_get(moments)
    moments = sharding.local(_add(moments, part, there, rows))
  return moments


def chunks(
    values: np.ndarray | jax.Array | disk.DiskRows,
    chunk: int = _CHUNK,
    rows: jax.sharding.NamedSharding | None = None,
) -> Iterator[tuple[jax.Array, jax.Array]]:
  """Yields `([c, d] rows, [c] bool)`, all of one shape, in order.

  Args:
    values: `[n, d]`.
    chunk: c, rows at a time, at most.
    rows: lays them over devices.
  """
  if isinstance(values, disk.DiskRows):
    chunk, parts = values.chunk_rows, values.chunks()
  else:
    chunk = min(chunk, len(values))
    parts = (np.asarray(values[first:first + chunk])
             for first in range(0, len(values), chunk))
  for i, part in enumerate(parts):
    there = np.arange(chunk) < len(values) - i * chunk
    part = np.pad(part, ((0, chunk - len(part)), (0, 0)))
    if rows is not None:
      part, there = (sharding.shard_rows(x, rows) for x in (part, there))
    yield part, there


@functools.partial(jax.jit, static_argnames='rows')
def _add(moments, part, there, rows):
  def sums(axis, part, there, shift, is_first):
    part = unit(part) * there[:, None]
    count = sharding.total(jnp.sum(there, dtype=jnp.float32), axis)
    total = sharding.total(jnp.sum(part, axis=0), axis)
    shift = jnp.where(is_first, total / jnp.maximum(count, 1.0), shift)
    part = (part - shift[None]) * there[:, None]
    second = jnp.matmul(part.T, part, precision='highest')
    return (count, shift, sharding.total(jnp.sum(part, axis=0), axis),
            sharding.total(second, axis))

  count, shift, total, second = sharding.map_rows(
      sums, rows, (part, there), (moments.shift, moments.count == 0))
  new = moments.count + count
  weight = count / jnp.maximum(new, 1.0)
  count = jnp.maximum(count, 1.0)
  return Moments(
      new, shift, moments.mean + weight * (total / count - moments.mean),
      moments.second + weight * (second / count - moments.second))
