"""Arrays of one device, or whose rows lie over a mesh: the same calls for both.

What lies over a mesh may be padded at its end, so that every device has equally
many rows.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.parallel import processes
from mmal_jax.parallel import sharding

P = jax.sharding.PartitionSpec
Rows = jax.sharding.NamedSharding | None
# Bytes of an array of several hosts that are on their way to all at a time.
_AT_ONCE = 1 << 26


def laid(x: np.ndarray, rows: Rows, fill: Any = 0) -> jax.Array:
  """`[m, ...]`: an array of the host on one device, or over the mesh.

  Args:
    x: `[n, ...]`; every process holds the whole.
    rows: how; None for one device.
    fill: value of rows of padding.
  """
  return jnp.asarray(x) if rows is None else sharding.shard_rows(x, rows, fill)


def everywhere(x: jax.Array, rows: Rows) -> jax.Array:
  """The array whole on each device: for values of a few bytes a row."""
  if rows is None:
    return x
  return jax.lax.with_sharding_constraint(
      x, jax.sharding.NamedSharding(rows.mesh, P()))


def on_host(x: jax.Array | np.ndarray, n: int) -> np.ndarray:
  """`[n, ...]` without padding, on each host; all processes must call it.

  Of what lies over several hosts no device gets the whole, but one part after
  another.
  """
  if isinstance(x, np.ndarray):
    return x[:n]
  if x.is_fully_addressable or x.nbytes <= _AT_ONCE or x.dtype == bool:
    return processes.whole(x)[:n]
  return _in_parts(x, n)


def _in_parts(x, n):
  step = max(1, _AT_ONCE * len(x) // x.nbytes)
  found = np.empty((n, *x.shape[1:]), x.dtype)
  for first in range(0, n, step):
    # All are of one shape: the last one takes some again.
    rows = np.minimum(np.arange(first, first + step), n - 1)
    found[first:first + step] = np.asarray(take(x, rows))[:n - first]
  return found


def take(x: jax.Array, indices: np.ndarray) -> jax.Array:
  """`[k, ...]` rows by number, wherever they lie; -1 takes any.

  Args:
    x: `[m, ...]`.
    indices: `[k]` int.

  Returns:
    On one device, or whole on each of the mesh.
  """
  rows = sharding.rows_of(x)
  if rows is None:
    return x[jnp.asarray(indices)]
  return _take(x, jnp.asarray(np.maximum(indices, 0), jnp.int32), rows)


@functools.partial(jax.jit, static_argnames='rows')
def _take(x, indices, rows):
  return sharding.map_rows(
      lambda axis, x, indices: sharding.take_rows(x, indices, axis), rows,
      (x,), (indices,))


def mean(x: jax.Array, rows: Rows, size: int | None = None) -> jax.Array:
  """`[d]`: of the first `size` rows of `[m, d]`, or of all; under `jit`."""
  if rows is None:
    return jnp.mean(x, axis=0)

  def local(axis, x):
    x = jnp.where(_is_item(x, axis, size), x, jnp.zeros_like(x))
    return sharding.total(jnp.sum(x, axis=0), axis)

  return sharding.map_rows(local, rows, (x,)) / (
      len(x) if size is None else size)


def centred(
    x: jax.Array, middle: jax.Array, rows: Rows = None, size: int | None = None
) -> jax.Array:
  """Rows less a middle, of norm 1; under `jit`.

  Args:
    x: `[m, d]` float32.
    middle: `[d]`.
    rows: how they lie over a mesh.
    size: rows from this one on become 0, as those that equal the middle.
  """

  def local(axis, x, middle):
    x = x - middle[None]
    squares = jnp.sum(jnp.square(x), axis=1, keepdims=True)
    x = x * jax.lax.rsqrt(jnp.maximum(squares, 1e-24))
    return x if size is None else jnp.where(_is_item(x, axis, size), x, 0.0)

  return sharding.map_rows(local, rows, (x,), (middle,), returns_rows=True)


def _is_item(local, axis, size):
  """`[m / parts, 1]` bool, False for rows of padding."""
  numbers = jnp.arange(len(local)) + sharding.first_row(len(local), axis)
  return (numbers < (jnp.iinfo(jnp.int32).max if size is None else size)
          )[:, None]


def top_k(
    values: jax.Array, k: int, axis: sharding.Axis
) -> tuple[jax.Array, jax.Array]:
  """`jax.lax.top_k` of what all devices have, within `sharding.map_rows`.

  Args:
    values: `[..., m / parts]`, this device's.
    k: at most m.
    axis: of the mesh.

  Returns:
    `[..., k]` values and int32 places in the whole, ties to the lowest.
  """
  here = values.shape[-1]
  best, places = jax.lax.top_k(values, min(k, here))
  # Were a slice of the result taken, XLA would no longer know it as the k
  # largest, and sort everything (40 times as slow, on CPU). Not of both at a
  # time: XLA crashes where a barrier holds the whole of a top k.
  best, places = map(jax.lax.optimization_barrier, (best, places))
  if axis is None:
    return best, places
  places = places + sharding.first_row(here, axis)
  # Devices come in the order of their rows: ties stay with the lowest.
  best, places = (
      jnp.moveaxis(sharding.gather(x, axis), 0, -2).reshape(
          *values.shape[:-1], -1) for x in (best, places))
  best, order = jax.lax.top_k(best, k)
  return best, jnp.take_along_axis(places, order, axis=-1)


def deal(
    local: jax.Array, indices: jax.Array, axis: sharding.Axis
) -> jax.Array:
  """Rows by number, other ones for each device, within `sharding.map_rows`.

  Args:
    local: `[m / parts, d]`, this device's.
    indices: `[parts, k]` int32, which rows each device is to get; -1 for none.
    axis: of the mesh.

  Returns:
    `[k, d]`, this device's; 0 for none. What is on its way takes no more room
    than that.
  """
  parts, k = indices.shape
  size = -(-k // parts)
  indices = jnp.pad(
      indices, ((0, 0), (0, size * parts - k)), constant_values=-1)
  first = sharding.first_row(len(local), axis)

  def some(indices):  # [parts, size]
    here = indices - first
    mine = (indices >= 0) & (here >= 0) & (here < len(local))
    taken = local[jnp.clip(here, 0, len(local) - 1)]
    return jax.lax.psum_scatter(
        jnp.where(mine[..., None], taken, jnp.zeros_like(taken)), axis)

  steps = jnp.moveaxis(indices.reshape(parts, parts, size), 1, 0)
  return jax.lax.map(some, steps).reshape(-1, local.shape[1])[:k]


def from_part(x: jax.Array, part: jax.Array, axis: sharding.Axis) -> jax.Array:
  """One device's values on all of them, within `sharding.map_rows`."""
  if x.dtype == bool:
    return from_part(x.astype(jnp.int32), part, axis) > 0
  mine = jax.lax.axis_index(axis) == part
  return sharding.total(jnp.where(mine, x, jnp.zeros_like(x)), axis)
