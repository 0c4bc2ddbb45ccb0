"""What a program prints: lines that others' text cannot act on a terminal by.

A path, a caption or the error of another library may hold letters that move the
cursor, or a line that looks like the program's own.
"""

import re
import sys
import traceback
import types
from typing import NoReturn, TextIO
import warnings

from absl import logging

from mmal_jax.files import plain_text


def write(text: object, to: TextIO | None = None) -> None:
  """Prints lines of which none holds a letter that acts on a terminal.

  Args:
    text: a line, or several.
    to: `sys.stderr`, or else standard output.
  """
  print(plain_text.for_terminal(words_in_a_line(str(text)), lines=True),
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


def words_in_a_line(text: str) -> str:
  """A text with the line breaks of the command line's words as escapes."""
  for word in sys.argv[1:]:
    if '\n' in word:
      for part in re.split('[/=,]', word.lstrip('-')):  # of paths, for one
        if '\n' in part and part.strip():
          text = text.replace(part, part.replace('\n', r'\n'))
  return text


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
  shown = plain_text.for_terminal(words_in_a_line(text), lines=True)
  return re.sub(r'\n(?=\S)', '\n  ', shown)
