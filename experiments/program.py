"""What every program does around its work."""

from collections.abc import Callable, Iterable, Iterator, Sequence
import contextlib
import os
import re
import signal
import sys
from typing import Any, TextIO

from absl import flags
from absl import logging
import tqdm

# Exit status of a program that Ctrl-C ended, as a shell would report it.
INTERRUPTED = 130
# And of one whose output is read no further, as by `head`.
_UNREAD = 141
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
  said = ' '.join(str(error).split())
  for pattern, words in _IN_WORDS:
    said = re.sub(pattern, words, said)
  return said


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
      sys.exit(_UNREAD)
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


@ends_unread()
def parse_flags(argv: Sequence[str]) -> list[str]:
  """Parses the flags; ends the program with a line about what is refused."""
  try:
    return parsed(argv)
  except REFUSED as e:
    sys.exit(f'error: {in_words(e)} (--help tells of all flags)')


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


def show(of: Iterable, total: int, what: str) -> Iterable:
  """A bar of progress for steps that take long; see `mmal_jax.progress`."""
  return tqdm.tqdm(
      of, what, total, leave=False, delay=1, dynamic_ncols=True,
      mininterval=0.1 if sys.stderr.isatty() else 10)


def call(work: Callable[[], str], argv: Sequence[str]) -> None:
  """Does the work, prints what it returns; makes one line of what it refuses.

  Args:
    work: to be done, with the flags parsed; it may return nothing to say.
    argv: what was left of the command line: the program's name alone.
  """
  if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
    signal.signal(signal.SIGINT, signal.default_int_handler)
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # Orbax tells of every file.
  try:
    if len(argv) > 1:
      raise ValueError(f'unknown arguments {argv[1:]!r}: flags start with --.')
    with ends_unread():
      said = work()
      if said:
        print(said)
  except (ValueError, TypeError, OSError, ImportError) as e:
    # Mostly the user's input: its cause, not our stack, is of use. The stack
    # is there with --verbosity=1.
    logging.debug('Stack of the error:', exc_info=True)
    sys.exit(f'error: {e}')
  except KeyboardInterrupt:
    print('Interrupted.', file=sys.stderr)
    sys.exit(INTERRUPTED)
