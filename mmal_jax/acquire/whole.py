"""What works on pools that one device holds whole, and on no others."""

from collections.abc import Mapping

from mmal_jax.acquire import views as views_lib
from mmal_jax.embed import disk
from mmal_jax.parallel import sharding


class OnDisk(TypeError):
  """A pool lies on disk."""


class Sharded(ValueError):
  """A pool is sharded over devices."""


def check(views: Mapping[str, views_lib.View], what: str) -> None:
  """Raises for pools that are sharded over devices or lie on disk.

  Args:
    views: by modality.
    what: the name of what cannot work on them.

  Raises:
    OnDisk: for a pool on disk.
    Sharded: for a sharded pool.
  """
  for modality, view in views.items():
    if isinstance(view.pool, disk.DiskRows):
      raise OnDisk(
          f'{what}: the {modality} pool lies on disk; an array on one device '
          'is needed.')
    if view.rows is not None or sharding.rows_of(view.pool) is not None:
      raise Sharded(
          f'{what}: the {modality} pool is sharded over devices; an array on '
          'one device is needed.')
