"""Rows over the devices of a mesh: placing them, and working on each part."""

from collections.abc import Callable, Sequence
import functools
from typing import Any

import jax
from jax.experimental import mesh_utils
import jax.numpy as jnp
import numpy as np

P = jax.sharding.PartitionSpec
# One name or several, or None where there is no mesh.
Axis = str | tuple[str, ...] | None
# Of training: batches lie over both, parameters over the second.
MESH_AXES = ('data', 'fsdp')


def make_mesh(
    data: int, fsdp: int, devices: Sequence[jax.Device] | None = None
) -> jax.sharding.Mesh | None:
  """A mesh to train on.

  Args:
    data: how many parts batches are cut in, beyond `fsdp`; -1 takes all devices
      that there are.
    fsdp: how many parts batches, parameters and the optimizer's state are cut
      in (fully sharded data parallelism: Rajbhandari et al., ZeRO, 2020).
    devices: all of all processes if None; the first data * fsdp are used.

  Returns:
    A mesh with the axes `data` and `fsdp`; None where that is one device.

  Raises:
    ValueError: if there are not this many devices, or `fsdp` does not divide
      all of them; or if no mesh can be laid over them: those of several TPU
      slices, or chips that are no block of theirs.
  """
  devices = jax.devices() if devices is None else devices
  if fsdp < 1 or data < 1 and data != -1:
    raise ValueError(f'mesh: data={data!r} and fsdp={fsdp!r} must be at least '
                     '1 (or data=-1: all devices).')
  if data == -1:
    if len(devices) % fsdp:
      raise ValueError(
          f'mesh: fsdp={fsdp} does not divide the {len(devices)} devices.')
    data = len(devices) // fsdp
  if not 1 <= data * fsdp <= len(devices):
    raise ValueError(f'mesh: data * fsdp = {data} * {fsdp} devices are wanted, '
                     f'but there are {len(devices)}.')
  if data * fsdp == 1:
    return None
  return _laid_out((data, fsdp), MESH_AXES, devices[:data * fsdp], len(devices))


def _laid_out(sizes, names, devices, there):
  """A mesh over all `devices`, of which `there` are many to choose from."""
  shape = ' x '.join(map(str, sizes))
  slices = {getattr(device, 'slice_index', 0) for device in devices}
  if len(slices) > 1:
    raise ValueError(
        f'mesh: {shape} devices lie in {len(slices)} TPU slices (multislice), '
        'and a mesh has to lie within one: run on one slice of as many chips.')
  try:
    # Where a torus of chips has no axis as long as one of the mesh (2 of 4x4),
    # its axes are cut. `jax.make_mesh` does so on some kinds of chips alone.
    devices = mesh_utils.create_device_mesh(
        sizes, devices, allow_split_physical_axes=True)
  except (AssertionError, NotImplementedError, ValueError) as e:
    kind = devices[0].device_kind
    raise ValueError(
        f'mesh: {shape} cannot be laid over the first {len(devices)} of '
        f'{there} devices ({kind}): take all chips of a slice (data=-1), or as '
        'many as make a block of it, in powers of 2; on a TPU v4, a chip has '
        'to be one device.') from e
  # Said, as the default is Explicit, under which row gathers fail.
  return jax.sharding.Mesh(
      devices, names, axis_types=(jax.sharding.AxisType.Auto,) * len(names))


def row_sharding(
    devices: Sequence[jax.Device] | None = None, axis: str = 'data'
) -> jax.sharding.NamedSharding:
  """Rows over all devices, in one line.

  Args:
    devices: all of all processes if None.
    axis: the name of the mesh's only axis.

  Returns:
    A sharding of the leading axis.

  Raises:
    ValueError: if no line can be laid over them, as for `make_mesh`.
  """
  devices = jax.devices() if devices is None else devices
  mesh = _laid_out((len(devices),), (axis,), devices, len(devices))
  return jax.sharding.NamedSharding(mesh, P(axis))


def shard_rows(
    x: np.ndarray, rows: jax.sharding.NamedSharding, fill: Any = 0
) -> jax.Array:
  """Lays an array's rows over the devices.

  Args:
    x: `[n, ...]`. With several processes every one holds the whole (it may be
      memory-mapped: each reads its own rows only).
    rows: from `row_sharding`.
    fill: value of the rows of padding.

  Returns:
    `[m, ...]`, n padded to the next multiple of the number of devices.

  >>> shard_rows(np.arange(5), row_sharding(), fill=-1).shape[0] >= 5
  True
  """
  parts = num_parts(rows)
  size = -(-len(x) // parts)
  padded = (size * parts,) + x.shape[1:]

  def part(index):
    start, stop, _ = index[0].indices(padded[0])
    values = np.asarray(x[start:stop])
    missing = (stop - start) - len(values)
    widths = [(0, missing)] + [(0, 0)] * (x.ndim - 1)
    return np.pad(values, widths, constant_values=fill)

  return jax.make_array_from_callback(padded, rows, part)


def num_parts(rows: jax.sharding.NamedSharding) -> int:
  """Into how many parts the rows are cut."""
  return int(np.prod([rows.mesh.shape[name] for name in _names(rows)]))


def rows_of(x: Any) -> jax.sharding.NamedSharding | None:
  """How the rows of an array lie over a mesh.

  Args:
    x: anything.

  Returns:
    A sharding of the leading axis alone; None if one device has all rows, or if
    that can't be known, as under `jit`.
  """
  if not isinstance(x, jax.Array) or isinstance(x, jax.core.Tracer):
    return None
  rows = x.sharding
  if not isinstance(rows, jax.sharding.NamedSharding) or not rows.spec:
    return None
  rows = jax.sharding.NamedSharding(rows.mesh, P(rows.spec[0]))
  return rows if _names(rows) and num_parts(rows) > 1 else None


def map_rows(
    body: Callable[..., Any],
    rows: jax.sharding.NamedSharding | None,
    by_row: tuple[Any, ...],
    whole: tuple[Any, ...] = (),
    returns_rows: bool = False,
) -> Any:
  """`body(axis, *by_row, *whole)`, on every device for its own rows.

  Args:
    body: gets the name of the mesh axis (None without a mesh), for collectives.
    rows: how arrays are cut; None where they are not.
    by_row: pytrees of `[n, ...]`, of which each device sees its part.
    whole: pytrees that every device sees whole.
    returns_rows: whether results are cut as well; otherwise they must be the
      same on all devices.

  Returns:
    What `body` returns.
  """
  if rows is None:
    return body(None, *by_row, *whole)
  axis = rows.spec[0]
  return jax.shard_map(
      functools.partial(body, axis), mesh=rows.mesh,
      in_specs=(P(axis),) * len(by_row) + (P(),) * len(whole),
      out_specs=P(axis) if returns_rows else P(),
      # All-gathered values are equal everywhere, which it cannot prove.
      check_vma=False)(*by_row, *whole)


def local(tree: Any) -> Any:
  """Arrays that are whole on every device, each as that of one device."""
  return jax.tree.map(
      lambda x: x.addressable_data(0) if len(x.sharding.device_set) > 1 else x,
      tree)


def gather(x: jax.Array, axis: Axis) -> jax.Array:
  """`[parts, ...]`: every device's `x`, in order."""
  return x[None] if axis is None else jax.lax.all_gather(x, axis)


def total(x: jax.Array, axis: Axis) -> jax.Array:
  """The sum over all devices."""
  return x if axis is None else jax.lax.psum(x, axis)


def first_row(local_rows: int, axis: Axis) -> jax.Array:
  """The global index of this device's first row."""
  part = 0 if axis is None else jax.lax.axis_index(axis)
  return jnp.asarray(part * local_rows, jnp.int32)


def take_rows(local: jax.Array, indices: jax.Array, axis: Axis) -> jax.Array:
  """Rows by global index, wherever they lie; one collective.

  Args:
    local: `[n / parts, ...]`, this device's.
    indices: `[m]` int32 global indices.
    axis: of the mesh.

  Returns:
    `[m, ...]`, the same on all devices.
  """
  if axis is None:
    return local[indices]
  here = indices - first_row(len(local), axis)
  mine = (here >= 0) & (here < len(local))
  taken = local[jnp.clip(here, 0, len(local) - 1)]
  mask = mine.reshape((-1,) + (1,) * (local.ndim - 1))
  return total(jnp.where(mask, taken, jnp.zeros_like(taken)), axis)


def _names(rows) -> tuple[str, ...]:
  names = rows.spec[0]
  if names is None:
    return ()
  return (names,) if isinstance(names, str) else tuple(names)
