"""What every program does around its work."""

from collections.abc import Callable, Iterable, Iterator, Sequence
import contextlib
import os
import re
import signal
import sys
import threading
import traceback
import types
from typing import Any, NoReturn, TextIO
import warnings

from absl import app
from absl import flags
from absl import logging

from mmal_jax import extras
from mmal_jax.experiment import preemption
from mmal_jax.files import plain_text

tqdm = extras.Lazy('tqdm', 'to show how far work is')

_STILL = 5.0  # seconds after which a first step is explained
# How long the end of a program takes at most, once its work is done or has
# failed: threads of libraries may never end.
ENDS_WITHIN_SECONDS = 10
# Exit status of a program whose output is read no further, as by `head`.
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
  text = re.sub(r'[ \n]+', ' ', _given_in_a_line(str(error))).strip()
  for pattern, words in _IN_WORDS:
    text = re.sub(pattern, words, text)
  return text


def write(text: object, to: TextIO | None = None) -> None:
  """Prints lines of which none holds a letter that acts on a terminal.

  Args:
    text: a line, or several.
    to: `sys.stderr`, or else standard output.
  """
  print(plain_text.for_terminal(_given_in_a_line(str(text)), lines=True),
        file=to, flush=True)


def notify(line: str) -> None:
  """Says to the user what is being done, beside the output."""
  write(line, sys.stderr)


def end_with(error: object) -> NoReturn:
  """Ends the program with status 1 and a message of what was refused."""
  sys.exit(f'error: {_message(str(error))}')


def guard() -> None:
  """Makes logs, warnings and stacks show what they quote, as `write` does."""
  logging.get_absl_handler().setFormatter(_Formatter())
  warnings.formatwarning = _format_warning
  sys.excepthook = print_stack


def print_stack(
    kind: type[BaseException] | None, error: BaseException | None,
    stack: types.TracebackType | None,
) -> None:
  """Prints what `sys.exc_info()` holds, as Python does at a program's end."""
  lines = ''.join(traceback.format_exception(kind, error, stack))
  print(_message(lines.rstrip('\n')), file=sys.stderr, flush=True)


class _Formatter(logging.PythonFormatter):
  """Of a log's records."""

  def format(self, record):
    return _message(super().format(record))


def _format_warning(message, category, filename, lineno, line=None) -> str:
  return _message(f'{filename}:{lineno}: {category.__name__}: {message}') + '\n'


def _message(text: str) -> str:
  """Lines of which those after the first begin with blanks.

  What is quoted there (an error of another library, a path) may be of several
  lines: none of them is to pass for a message of the program's own.
  """
  shown = plain_text.for_terminal(_given_in_a_line(text), lines=True)
  return re.sub(r'\n(?=\S)', '\n  ', shown)


def _given_in_a_line(text: str) -> str:
  """A text with the line breaks of the command line's words as escapes."""
  for word in sys.argv[1:]:
    if '\n' in word:
      for part in re.split('[/=,]', word.lstrip('-')):  # of paths, for one
        if '\n' in part and part.strip():
          text = text.replace(part, part.replace('\n', r'\n'))
  return text


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
  guard()
  try:
    return parsed(argv)
  except REFUSED as e:
    end_with(f'{in_words(e)} (--help lists all flags)')


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
  """A bar of progress for steps that take long; see `mmal_jax.progress`.

  The first step of a program compiles it, and a bar stands still meanwhile.
  """
  what = plain_text.for_terminal(what)
  still = threading.Timer(_STILL, tqdm.tqdm.write, [
      f'{what}: still at the first step, which may compile for a minute.',
      sys.stderr])
  still.daemon = True
  still.start()
  try:
    for step in tqdm.tqdm(
        of, what, total, leave=False, delay=1, dynamic_ncols=True,
        mininterval=0.1 if sys.stderr.isatty() else 10):
      yield step
      still.cancel()  # Once the step that was handed out is done.
  finally:
    still.cancel()


def call(work: Callable[[], str], argv: Sequence[str]) -> None:
  """Does the work, prints what it returns; makes one line of what it refuses.

  Args:
    work: to be done, with the flags parsed; it may return nothing to say.
    argv: what was left of the command line: the program's name alone.
  """
  guard()
  if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
    signal.signal(signal.SIGINT, signal.default_int_handler)
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # Orbax logs every file.
  try:
    if len(argv) > 1:
      raise ValueError(f'unknown arguments {argv[1:]!r}: flags start with --.')
    with ends_unread():
      text = work()
      if text:
        write(text)
  except (ValueError, TypeError, OSError, ImportError) as e:
    # Mostly the user's input: its cause, not our stack, is of use. The stack
    # is there with --verbosity=1.
    logging.debug('Stack of the error:', exc_info=True)
    end_with(e)
  except KeyboardInterrupt:
    write('Interrupted.', sys.stderr)
    sys.exit(preemption.INTERRUPTED)


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
      preemption.end(e.code)
    status = 0
    raise
  finally:
    ending = threading.Timer(ENDS_WITHIN_SECONDS, preemption.end, [status])
    ending.daemon = True
    ending.start()
