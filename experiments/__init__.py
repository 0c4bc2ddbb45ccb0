"""Programs: flags, and one call each."""

import signal
import sys

from mmal_jax.terminal import streams


def begin() -> None:
  """Prepares this process for a program, before anything slow is imported.

  Ctrl-C before the program has begun (imports take seconds) ends it at once, as
  it ends any other; `program.call` has words for it from then on. One that was
  started with it ignored, as by `&` in a script, remains so.
  """
  streams.open_closed()
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


if sys.argv[:1] == ['-m']:
  begin()
