"""One program at a time in a folder."""

from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib
import socket
import time

NAME = '.owner'


@contextlib.contextmanager
def sole(folder: str | os.PathLike[str]) -> Iterator[None]:
  """Holds a folder; the system lets go of it if the program dies.

  Raises:
    ValueError: if another program holds it, naming that one.
  """
  # Never removed: who waits for the name could lock what has none any more.
  path = pathlib.Path(folder) / NAME
  with open(path, 'a+', encoding='utf-8') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      file.seek(0)
      by = file.read().strip() or 'another program'
      raise ValueError(
          f'{str(folder)!r} is in use by {by}. Wait for it, or stop it, or '
          'choose another folder.') from None
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}, since '
               f'{time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())}\n')
    file.flush()
    yield
    file.truncate(0)
