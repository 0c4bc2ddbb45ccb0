"""Folders that sessions of this program hold, each locked by one of them."""

import contextlib
import os
import pathlib
from typing import Any
import weakref

from mmal_jax.files import lock

_HOLDERS: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


class Hold:
  """A locked folder; it is free once the hold is released, or nobody's."""

  def __init__(self, folder: pathlib.Path):
    """Locks a folder; an earlier session of this program loses it.

    (In a notebook a cell that loads a session is run again, and what it made
    before lives on.)

    Raises:
      lock.InUse: if another program has locked it.
    """
    self._key = os.path.realpath(folder)
    earlier = _HOLDERS.get(self._key)
    if earlier is not None:
      earlier.release()
    stack = contextlib.ExitStack()
    stack.enter_context(lock.exclusive(folder, of='(a session)'))
    self._release = weakref.finalize(self, stack.close)
    _HOLDERS[self._key] = self

  @property
  def is_held(self) -> bool:
    return self._release.alive

  def release(self) -> None:
    """Unlocks the folder; once."""
    self._release()
