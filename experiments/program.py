"""What every program does around its work."""

from collections.abc import Callable, Sequence
import sys

from absl import flags
from absl import logging


def call(work: Callable[[], str], argv: Sequence[str]) -> None:
  """Does the work, prints what it returns; makes one line of what it refuses.

  Args:
    work: to be done, with the flags parsed; it may return nothing to say.
    argv: what was left of the command line: the program's name alone.
  """
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # Orbax tells of every file.
  try:
    if len(argv) > 1:
      raise ValueError(f'unknown arguments {argv[1:]!r}: flags start with --.')
    said = work()
  except (ValueError, TypeError, OSError, ImportError) as e:
    # Mostly the user's input: its cause, not our stack, is of use. The stack
    # is there with --verbosity=1.
    logging.debug('Stack of the error:', exc_info=True)
    sys.exit(f'error: {e}')
  if said:
    print(said)
