"""Programs: flags, files, tables, plots."""

import os
import signal
import sys


def _open_streams() -> None:
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


def begin() -> None:
  """Prepares this process for a program, before anything slow is imported.

  Ctrl-C before the program has begun (imports take seconds) ends it at once, as
  it ends any other; `program.call` has words for it from then on. One that was
  started with it ignored, as by `&` in a script, remains so.
  """
  _open_streams()
  if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


if sys.argv[:1] == ['-m']:
  begin()
