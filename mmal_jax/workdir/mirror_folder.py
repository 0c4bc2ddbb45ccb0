"""The folder in which a mirror lies, on a disk or in a bucket.

What may pass by itself, such as a network that is down, is tried again for some
minutes. All else, and what does not pass, is one kind of error.
"""

from collections.abc import Callable
import pathlib
import time
from typing import TypeVar

from absl import logging
from etils import epath

from mmal_jax import extras
from mmal_jax.files import buckets
from mmal_jax.files import durable
from mmal_jax.workdir import mirrored
from mmal_jax.workdir import states as states_lib

_Result = TypeVar('_Result')
# How long something is tried, gcsfs's own tries (half a minute each) included;
# and the longest pause between two of them.
PATIENCE_SECONDS, _LONGEST_PAUSE = 300, 30


class Folder:
  """Reads, writes and removes the files of one mirror.

  Attributes:
    name: of the mirror, in words.
    root: of all paths.
    is_local: whether it lies on a disk, and can be locked.
  """

  def __init__(self, path: str):
    """Takes any path that `etils.epath` takes."""
    self.name, self.is_local = f'mirror={path!r}', states_lib.is_local(path)
    self.root = epath.Path(path)

  def names(self) -> list[str]:
    """As `mirrored.names`; raises as `read`."""
    return self._tried(lambda: mirrored.names(self.root), 'it', 'read')

  def entries(self) -> list[str]:
    """Names of all that lies there; raises as `read`."""
    return self._tried(lambda: sorted(
        path.name for path in buckets.entries(self.root)), 'it', 'read')

  def read(self, name: str) -> bytes:
    """What a file holds.

    Raises:
      ImportError: if a package for this kind of path is missing.
      OSError: if it cannot be read; `buckets.Unreachable` if it could not for
        minutes, of what may pass.
    """
    return self._tried((self.root / name).read_bytes, name, 'read')

  def write(
      self, name: str, content: bytes,
      before_retry: Callable[[], None] = lambda: None,
  ) -> None:
    """Puts a file there, whole or not at all.

    Args:
      name: its path within the folder.
      content: of the file.
      before_retry: called before it is tried again, when others may have
        written there.

    Raises:
      ImportError: as `read`.
      OSError: if it cannot be written.
    """
    self._tried(lambda: self._put(name, content), name, 'written', before_retry)

  def remove(self, name: str) -> None:
    """Removes a file or folder, if it is there; raises as `read`."""
    self._tried(lambda: durable.remove(self.root / name), name, 'removed')

  def _put(self, name, content) -> None:
    path = self.root / name
    if self.is_local:
      path.parent.mkdir(parents=True, exist_ok=True)
      durable.write(pathlib.Path(path), content)
    else:  # There a file appears once it is whole, and needs no folder.
      path.write_bytes(content)

  def _tried(
      self, action: Callable[[], _Result], name: str, what: str,
      before_retry: Callable[[], None] = lambda: None,
  ) -> _Result:
    """Does it, if need be again and again."""
    until, pause = time.monotonic() + PATIENCE_SECONDS, 1
    while True:
      try:
        return action()
      except ImportError as e:
        if str(self.root).startswith('gs://'):
          extras.load('gcsfs', 'to write to gs://')
        raise ValueError(f'{self.name}: {e}') from e
      except Exception as e:
        wrong = f'{self.name}: {name} cannot be {what}: {self._why(e, what)}.'
        if not buckets.may_pass(e):
          raise OSError(wrong) from e
        if time.monotonic() + pause > until:
          raise buckets.Unreachable(wrong) from e
        logging.warning('%s It is tried again, for %.0f s yet.', wrong,
                        until - time.monotonic())
      time.sleep(pause)
      pause = min(2 * pause, _LONGEST_PAUSE)
      before_retry()

  def _why(self, error: Exception, what: str) -> str:
    if not self.is_local and what == 'written' and isinstance(
        error, FileNotFoundError):
      # Of which gcsfs names the address alone.
      return 'there is no such bucket, or it may not be seen'
    return durable.reason(error)
