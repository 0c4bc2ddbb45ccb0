"""What every program does around its work."""

from collections.abc import Callable, Sequence
import re
import signal
import sys
from typing import NoReturn

from absl import app
from absl import flags
from absl import logging

from experiments import common_flags
from mmal_jax.experiment import preemption
from mmal_jax.files import buckets
from mmal_jax.terminal import messages
from mmal_jax.terminal import streams

# What parsing raises where a flag is refused, or a file of flags.
REFUSED = (flags.Error, UnicodeDecodeError)
# What absl says in Python's words, and in ours.
_IN_WORDS = (
    (r'invalid literal for int\(\) with base 10: .*', 'it must be an integer.'),
    (r'could not convert string to float: .*', 'it must be a number.'),
    (r'flag --(\w+)=None: Flag --\1 must have a value other than None\.',
     r'--\1 is needed.'),
    (r"ERROR:: Unable to open flagfile: \[Errno \d+\] (.*): ('.*')",
     r'flagfile=\2 cannot be read: \1.'),
    (r'--flagfile with no argument',
     '--flagfile needs a file: --flagfile=FILE.'),
)


def in_words(error: Exception) -> str:
  """What absl says of a refused flag, or a file of flags, in a plain line."""
  if isinstance(error, UnicodeDecodeError):
    return 'a file of --flagfile is no text: it must be UTF-8.'
  text = messages.words_in_a_line(str(error))
  text = re.sub(r'[ \n]+', ' ', text).strip()
  for pattern, words in _IN_WORDS:
    text = re.sub(pattern, words, text)
  return text


@streams.ends_unread()
def parse_flags(argv: Sequence[str]) -> list[str]:
  """Parses the flags; ends the program with a line about what is refused."""
  messages.guard()
  try:
    return parsed(argv)
  except REFUSED as e:
    messages.end_with(f'{in_words(e)} (--help lists all flags)')


def parsed(argv: Sequence[str]) -> list[str]:
  """What is left of the command line once its flags are parsed.

  Raises:
    SystemExit: of status 0 after `--help`, as other programs end.
    REFUSED: see there.
  """
  try:
    return flags.FLAGS(argv)
  except SystemExit as e:
    if e.code == 1:  # absl's status after any kind of help.
      sys.exit()
    raise


def call(work: Callable[[], str], argv: Sequence[str]) -> None:
  """Does the work, prints what it returns; makes one line of what it refuses.

  Args:
    work: to be done, with the flags parsed; it may return nothing to say.
    argv: what was left of the command line: the program's name alone.
  """
  messages.guard()
  if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
    signal.signal(signal.SIGINT, signal.default_int_handler)
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # Orbax logs every file.
  try:
    if len(argv) > 1:
      raise ValueError(f'unknown arguments {argv[1:]!r}: flags start with --.')
    with streams.ends_unread():
      common_flags.keep_compiled()
      text = work()
      if text:
        messages.write(text)
  except buckets.Unreachable as e:
    messages.write(f'error: {e}', sys.stderr)
    sys.exit(preemption.PREEMPTED)
  except (ValueError, TypeError, OSError, ImportError) as e:
    # Mostly the user's input: its cause, not our stack, is of use. The stack
    # is there with --verbosity=1.
    logging.debug('Stack of the error:', exc_info=True)
    messages.end_with(e)
  except KeyboardInterrupt:
    messages.write('Interrupted.', sys.stderr)
    sys.exit(preemption.INTERRUPTED)


def start(
    main: Callable[[Sequence[str]], None],
    flags_parser: Callable[[Sequence[str]], Sequence[str]] = parse_flags,
) -> NoReturn:
  """Runs a program from its flags to its end, which comes in bounded time.

  Args:
    main: the program, given what is left of the command line.
    flags_parser: parses it.
  """
  with preemption.ending():
    app.run(main, flags_parser=flags_parser)
