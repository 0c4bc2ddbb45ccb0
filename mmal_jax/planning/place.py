"""Abstract arrays over the chips of a slice: shapes, types, and where."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from mmal_jax.models import partition
from mmal_jax.parallel import sharding


class Place(NamedTuple):
  """Chips, and how a program's arrays lie over them.

  Attributes:
    mesh: as programs take it; None for a single chip.
    by_row: of what is cut along its leading axis, over all chips.
    whole: of what every chip has whole.
  """

  mesh: jax.sharding.Mesh | None
  by_row: jax.sharding.NamedSharding
  whole: jax.sharding.NamedSharding

  @property
  def chips(self) -> int:
    return sharding.num_parts(self.by_row)

  @property
  def rows(self) -> jax.sharding.NamedSharding | None:
    """As `views.View.rows`: None for a single chip."""
    return None if self.mesh is None else self.by_row

  def cut(self, *shape: int, dtype: Any) -> jax.ShapeDtypeStruct:
    """`[n, ...]`, n filled up to a multiple of the chips."""
    rows = shape[0] + -shape[0] % self.chips
    return jax.ShapeDtypeStruct(
        (rows, *shape[1:]), dtype, sharding=self.by_row)

  def copy(self, *shape: int, dtype: Any) -> jax.ShapeDtypeStruct:
    """An array that every chip has."""
    return jax.ShapeDtypeStruct(shape, dtype, sharding=self.whole)

  def parameters(self, tree: Any) -> Any:
    """A tree of shapes, each laid as `partition.RULES` say."""
    where = (jax.tree.map(lambda _: self.whole, tree) if self.mesh is None
             else partition.shardings(tree, self.mesh))
    return jax.tree.map(
        lambda x, where: jax.ShapeDtypeStruct(
            x.shape, x.dtype, sharding=where), tree, where)

  def first_chip(self) -> 'Place':
    """For what is computed on one chip, and then given to the others."""
    return of(self.by_row.mesh.devices.flat[:1], 1, 1)


def of(devices: Sequence[jax.Device], data: int, fsdp: int) -> Place:
  """The place of a mesh.

  Args:
    devices: chips of a slice.
    data: as of `sharding.make_mesh`, like `fsdp`; -1 takes all chips.
    fsdp: see there.

  Raises:
    ValueError: as `sharding.make_mesh`.
  """
  mesh = sharding.make_mesh(data, fsdp, devices)
  rows = (sharding.row_sharding(devices[:1]) if mesh is None
          else partition.batch_rows(mesh))
  return Place(
      mesh, rows, jax.sharding.NamedSharding(rows.mesh, sharding.P()))
