"""What every program does around its work."""

from collections.abc import Callable, Iterable, Iterator, Sequence
import contextlib
import os
import re
import signal
import sys
import threading
from typing import NoReturn

from absl import app
from absl import flags
from absl import logging
import tqdm

# So long the end of a program takes at most, once its work is done or has
# failed: threads of libraries may never end.
ENDS_WITHIN_SECONDS = 10
# Exit status of a program that Ctrl-C ended, as a shell would report it.
INTERRUPTED = 130
# And of one whose output is read no further, as by `head`.
_UNREAD = 141
# What absl says in Python's words, and in ours.
_IN_WORDS = (
    (r'invalid literal for int\(\) with base 10: .*', 'it must be an integer.'),
    (r'could not convert string to float: .*', 'it must be a number.'),
    (r'flag --(\w+)=None: Flag --\1 must have a value other than None\.',
     r'--\1 is needed.'),
)


def in_words(error: Exception) -> str:
  """What absl says of a refused flag, in one plain line."""
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
  try:
    try:
      yield
    finally:
      sys.stdout.flush()
  except OSError as e:
    try:
      print(flush=True)  # Where this works, it was another pipe, or a file.
    except BrokenPipeError:
      _silence()
      sys.exit(_UNREAD)
    except OSError:
      _silence()
      sys.exit(f'error: the output cannot be written: {e.strerror}. Files are '
               'written all the same.')
    raise


def _silence() -> None:
  """Drops what could not be printed: at its end, Python flushes once more."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@ends_unread()
def parse_flags(argv: Sequence[str]) -> list[str]:
  """Parses the flags; ends the program with a line about what is refused."""
  try:
    return flags.FLAGS(argv)
  except flags.Error as e:
    sys.exit(f'error: {in_words(e)} (--help tells of all flags)')


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


def start(
    main: Callable[[Sequence[str]], None],
    flags_parser: Callable[[Sequence[str]], Sequence[str]] = parse_flags,
) -> NoReturn:
  """Runs a program from its flags to its end, which comes in bounded time.

  Python waits for every thread; where Orbax has failed, for one, some wait for
  others that are no more. So a program that fails waits for none, and any other
  is ended with its own status in the end.

  Args:
    main: the program, given what is left of the command line.
    flags_parser: parses it.
  """
  status = 1
  try:
    app.run(main, flags_parser=flags_parser)
  except SystemExit as e:
    if e.code:
      end(e.code)
    status = 0
    raise
  finally:
    ending = threading.Timer(ENDS_WITHIN_SECONDS, end, [status])
    ending.daemon = True
    ending.start()


def end(code: int | str) -> NoReturn:
  """Does at once what `sys.exit` does, and waits for no thread."""
  if isinstance(code, str):
    with contextlib.suppress(OSError):
      print(code, file=sys.stderr)
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError):  # It may be read no further.
      stream.flush()
  os._exit(code if isinstance(code, int) else 1)
