"""Ending in order when the machine is taken away."""

from collections.abc import Iterator
import contextlib
import signal

# Exit status of a program that was told to end, and can be taken up again:
# that of a temporary failure (EX_TEMPFAIL of sysexits.h).
PREEMPTED = 75


class Preempted(BaseException):
  """The program was told to end; not an error, and not to be caught as one."""


@contextlib.contextmanager
def heard() -> Iterator[None]:
  """While it lasts, SIGTERM raises `Preempted` in the main thread, once.

  A second one does not cut short what the first has begun.
  """
  def end(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Preempted

  before = signal.signal(signal.SIGTERM, end)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)
