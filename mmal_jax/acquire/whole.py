"""What works on pools in memory, or that one device holds whole, alone."""

from collections.abc import Mapping
import dataclasses

import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import views as views_lib
from mmal_jax.embed import disk
from mmal_jax.parallel import rows as rows_lib

# Fields of `View` with a value for every row of the pool.
_BY_ROW = ('pool', 'remaining', 'nearest', 'costs', 'reference')


class OnDisk(TypeError):
  """A pool lies on disk."""


class Sharded(ValueError):
  """A pool is sharded over devices."""


def check(
    views: Mapping[str, views_lib.View], what: str, may_be_sharded: bool = False
) -> None:
  """Raises for pools that are sharded over devices or lie on disk.

  Args:
    views: by modality.
    what: the name of what cannot work on them.
    may_be_sharded: whether it can work on sharded ones.

  Raises:
    OnDisk: for a pool on disk.
    Sharded: for a sharded pool.
  """
  needed = 'an array in memory' if may_be_sharded else 'an array on one device'
  for modality, view in views.items():
    if isinstance(view.pool, disk.DiskRows):
      raise OnDisk(f'{what}: the {modality} pool lies on disk; {needed} is '
                   'needed.')
    if not may_be_sharded and views_lib.located(view).rows is not None:
      raise Sharded(
          f'{what}: the {modality} pool is sharded over devices; {needed} is '
          'needed.')


def on_one_device(
    views: Mapping[str, views_lib.View]
) -> dict[str, views_lib.View]:
  """Sharded pools brought to one device of each process, without padding.

  For what cannot work on parts, and while one device has the room.

  Args:
    views: by modality; all processes must call it.
  """
  return {m: _whole(view) for m, view in views.items()}


def _whole(view):
  view = views_lib.located(view)
  if view.rows is None:
    return view
  n = len(view.pool) if view.size is None else view.size
  fields = {field.name: getattr(view, field.name)
            for field in dataclasses.fields(view)
            if not field.metadata.get('static')}
  return dataclasses.replace(view, rows=None, size=None, **{
      name: jnp.asarray(rows_lib.on_host(value, n) if name in _BY_ROW
                        else np.asarray(value))
      for name, value in fields.items() if value is not None})
