"""One program at a time in a folder."""

from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib
import socket
import time

from mmal_jax.files import durable

NAME = '.owner'


class InUse(ValueError):
  """Another program has locked a folder."""


@contextlib.contextmanager
def exclusive(
    folder: str | os.PathLike[str], name: str = NAME, of: str = ''
) -> Iterator[None]:
  """Locks a folder; the system releases the lock if the program dies.

  Args:
    folder: it must exist.
    name: of the file in it that is locked, where a folder has several owners.
    of: what it is locked for, for the error of another program.

  Raises:
    InUse: if another program has locked it, naming that one.
    ValueError: if a link lies where the file should be (`durable.open_own`).
  """
  # Never removed: a program that waits could lock a file without a name.
  path = pathlib.Path(folder) / name
  with open(durable.open_own(path, os.O_RDWR | os.O_APPEND), 'a+',
            encoding='utf-8') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      file.seek(0)
      by = file.read().strip() or 'another program'
      raise InUse(
          f'{str(path.parent)!r} is in use by {by}. Wait for it, or stop it, '
          'or choose another folder.') from None
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}'
               f'{" " if of else ""}{of}, since '
               f'{time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())}\n')
    file.flush()
    yield
    file.truncate(0)
