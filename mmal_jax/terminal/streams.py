"""Standard streams that are closed, full, or read no further.

It imports nothing slow: a program opens its streams before all else.
"""

from collections.abc import Iterator
import contextlib
import os
import sys
from typing import Any, TextIO

# Exit status of a program whose output is read no further, as by `head`.
UNREAD = 141


def open_closed() -> None:
  """Puts the null device where a standard stream is closed (`>&-`).

  Python has None there, and the next file that is opened has its number: what
  a library writes to it would get into that file.
  """
  while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
    os.set_inheritable(descriptor, True)  # As standard streams are.
  os.close(descriptor)
  if sys.stdout is None:
    sys.stdout = open(1, 'w', encoding='utf-8', closefd=False)
  if sys.stderr is None:
    sys.stderr = open(2, 'w', encoding='utf-8', closefd=False)


@contextlib.contextmanager
def ends_unread() -> Iterator[None]:
  """Ends the program without a word where its output is read no further.

  `run --help | head` is no error; a disk without room for it is. What is
  printed within is flushed here, not when the program ends and it is too late
  to say anything of it.
  """
  stdout = sys.stdout
  watched = _Watched(stdout)
  try:
    with contextlib.redirect_stdout(watched):
      try:
        yield
      finally:
        watched.flush()
  except OSError as e:
    error = watched.error
    if error is None or error not in _chain(e):
      raise  # It was another pipe, or a file.
    # What could not be printed is dropped: at its end, Python flushes again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
    if isinstance(error, BrokenPipeError):
      sys.exit(UNREAD)
    sys.exit(f'error: the output cannot be written: {error.strerror}. Files are'
             ' written all the same.')


class _Watched:
  """A stream that is written to as before, and keeps the error of that."""

  def __init__(self, stream: TextIO):
    self._stream = stream
    self.error: OSError | None = None

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)

  def write(self, text: str) -> int:
    return self._kept(self._stream.write, text)

  def flush(self) -> None:
    self._kept(self._stream.flush)

  def _kept(self, do, *given):
    try:
      return do(*given)
    except OSError as e:
      self.error = e
      raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
  """An error, and those of which it came."""
  while error is not None:
    yield error
    error = error.__cause__ or error.__context__
