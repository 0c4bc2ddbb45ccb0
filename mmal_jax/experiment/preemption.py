"""Ending in order when the machine is taken away."""

from collections.abc import Iterator
import contextlib
import os
import signal
import sys
import threading
from typing import NoReturn

from mmal_jax.parallel import processes
from mmal_jax.terminal import messages

# Exit status of a program that SIGTERM ended, and that can be resumed:
# that of a temporary failure (EX_TEMPFAIL of sysexits.h).
PREEMPTED = 75
# And of one that Ctrl-C ended, as a shell would report it.
INTERRUPTED = 130
# How long the end of a program takes at most, once its work is done or has
# failed: threads of libraries may never end.
ENDS_WITHIN_SECONDS = 10


class Preempted(BaseException):
  """SIGTERM asked the program to end; no error, and not to be caught as one."""


class Notice:
  """Whether SIGTERM asked the program to end.

  Attributes:
    given: whether it did.
    at_once: whether the signal raises; otherwise `raise_if_given` does.
  """

  def __init__(self, at_once: bool = True):
    self.given, self.at_once = False, at_once

  def raise_if_given(self) -> None:
    """Ends the program if this or another of its processes was asked to end.

    Raises:
      Preempted: then.
    """
    if processes.any_process(self.given):
      raise Preempted


@contextlib.contextmanager
def listening(at_once: bool = True) -> Iterator[Notice]:
  """While it lasts, SIGTERM raises `Preempted` in the main thread, once.

  A second one does not cut short what the first has begun. Where it falls into
  what lets no exception through (a callback of the garbage collector's), only
  the notice records it: call `raise_if_given` now and then. A program started
  with SIGTERM ignored goes on ignoring it.

  Args:
    at_once: False: it raises nothing, and only the notice records it. Of
      several processes none may leave the others in the midst of a round.
  """
  notice = Notice(at_once)

  def on_signal(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    notice.given = True
    if notice.at_once:
      raise Preempted

  before = signal.getsignal(signal.SIGTERM)
  if before is not signal.SIG_IGN:
    signal.signal(signal.SIGTERM, on_signal)
  try:
    yield notice
  finally:
    signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def reported(
    saved: str, goes_on: str, at_once: bool = True
) -> Iterator[Notice]:
  """As `listening`; makes a line and a status of what ends a program early.

  Args:
    saved: what an interrupted program has saved, and how it goes on.
    goes_on: how one goes on that was asked to end.
    at_once: as for `listening`.
  """
  try:
    with listening(at_once) as notice:
      yield notice
  except Preempted:
    messages.notify(f'Asked to end: all is saved. {goes_on}')
    sys.exit(PREEMPTED)
  except KeyboardInterrupt:
    messages.notify(f'\nInterrupted: {saved}')
    sys.exit(INTERRUPTED)


@contextlib.contextmanager
def exiting() -> Iterator[None]:
  """Ends the program at once if a signal ended the block.

  Threads of unfinished work would keep the program alive.
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
def ending() -> Iterator[None]:
  """Ends the program in bounded time once the block has ended.

  Python waits for every thread; where Orbax has failed, for one, some wait for
  others that are no more. So a program that fails waits for none, and any other
  is ended with its own status in the end.
  """
  status = 1
  try:
    yield
    status = 0
  except SystemExit as e:
    if e.code:
      end(e.code)
    status = 0
    raise
  finally:
    timer = threading.Timer(ENDS_WITHIN_SECONDS, end, [status])
    timer.daemon = True
    timer.start()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
  """Delivers signals that come while it lasts when it is over.

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
