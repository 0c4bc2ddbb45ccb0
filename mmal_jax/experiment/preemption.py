"""Ending in order when the machine is taken away."""

from collections.abc import Iterator
import contextlib
import os
import signal
import sys
import threading
from typing import NoReturn

from mmal_jax.parallel import processes

# Exit status of a program that was told to end, and can be taken up again:
# that of a temporary failure (EX_TEMPFAIL of sysexits.h).
PREEMPTED = 75
# And of one that Ctrl-C ended, as a shell would report it.
INTERRUPTED = 130


class Preempted(BaseException):
  """The program was told to end; not an error, and not to be caught as one."""


class Notice:
  """Whether the program was told to end.

  Attributes:
    given: whether it was.
    at_once: whether the signal raises; otherwise it waits to be heeded.
  """

  def __init__(self, at_once: bool = True):
    self.given, self.at_once = False, at_once

  def heed(self) -> None:
    """Ends if it was told to, or another of several processes was.

    Raises:
      Preempted: then.
    """
    if processes.any_process(self.given):
      raise Preempted


@contextlib.contextmanager
def heard(at_once: bool = True) -> Iterator[Notice]:
  """While it lasts, SIGTERM raises `Preempted` in the main thread, once.

  A second one does not cut short what the first has begun. Where it falls into
  what lets no exception through (a callback of the garbage collector's), only
  the notice tells of it: to be heeded now and then. A program that was started
  with SIGTERM ignored goes on ignoring it.

  Args:
    at_once: False: it raises nothing, and only the notice tells of it. Of
      several processes none may leave the others in the midst of a round.
  """
  notice = Notice(at_once)

  def told(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    notice.given = True
    if notice.at_once:
      raise Preempted

  before = signal.getsignal(signal.SIGTERM)
  if before is not signal.SIG_IGN:
    signal.signal(signal.SIGTERM, told)
  try:
    yield notice
  finally:
    signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def leaving() -> Iterator[None]:
  """Ends the program at once if it leaves the block because it was told to.

  Threads of what was left half begun would keep it from ending.
  """
  try:
    yield
  except SystemExit as e:
    if e.code in (PREEMPTED, INTERRUPTED):
      end(e.code)
    raise


def end(code: int | str) -> NoReturn:
  """Does at once what `sys.exit` does, and waits for no thread."""
  if isinstance(code, str):
    with contextlib.suppress(OSError):
      print(code, file=sys.stderr)
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError):  # It may be read no further.
      stream.flush()
  os._exit(code if isinstance(code, int) else 1)


@contextlib.contextmanager
def held() -> Iterator[None]:
  """Signals to end that come while it lasts are heard when it is over.

  For work of other libraries that an exception in its midst would leave with
  threads that wait for one another for ever.
  """
  if threading.current_thread() is not threading.main_thread():
    yield  # Signals are the main thread's.
    return
  came = []
  before = {number: signal.signal(number, lambda n, _: came.append(n))
            for number in (signal.SIGTERM, signal.SIGINT)}
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
    for number in came:
      signal.raise_signal(number)
