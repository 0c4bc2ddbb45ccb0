"""All problems of a user's files, reported at once."""

from collections.abc import Sequence

from mmal_jax.files import json_object
from mmal_jax.files import plain_text
from mmal_jax.files import text_file

_MAX_SHOWN = 50  # lines of problems in one error message
_MAX_LINE = 400  # letters of one of them


def report(where: object, problems: Sequence[str]) -> None:
  """Raises what was found, if anything was.

  >>> report('pairs.csv', [])

  Args:
    where: the file or folder they are of.
    problems: a sentence each, with its line or row.

  Raises:
    ValueError: listing the first fifty problems: in full, but for what is
      longer than a few lines, and for letters that move a terminal's cursor.
  """
  if problems:
    hidden = len(problems) - _MAX_SHOWN
    more = [f'... and {hidden} more.'] if hidden > 0 else []
    place = plain_text.for_terminal(str(where))
    raise ValueError('\n  '.join(
        [f'{place} has {len(problems)} problem(s):']
        + [shortened(problem) for problem in problems[:_MAX_SHOWN]] + more))


def of_text(name: str, value: object) -> list[str]:
  """What is wrong with a field that must be a text; empty if nothing is.

  >>> of_text('caption', ' ')
  ["'caption' is ' ', not a text"]

  Args:
    name: of the field.
    value: as it was read; None where it is missing.
  """
  if value is None:
    return [f'{name!r} is missing']
  if not isinstance(value, str) or not value.strip():
    return [f'{name!r} is {json_object.quote(value)}, not a text']
  if '\0' in value or not text_file.is_unicode(value):
    return [f'{name!r} holds a NUL or half a surrogate pair']
  return []


def shortened(text: str) -> str:
  r"""A text for a message: no longer than a few lines, no letters that act.

  >>> shortened('a\x1b[2J'), len(shortened('a' * 10**6))
  ('a\\x1b[2J', 405)
  """
  if len(text) > _MAX_LINE:
    half = _MAX_LINE // 2
    text = f'{text[:half]} ... {text[-half:]}'
  return plain_text.for_terminal(text)
