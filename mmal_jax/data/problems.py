"""All that is wrong with somebody's files, said at once."""

from collections.abc import Sequence

_MAX_SHOWN = 50  # lines of problems in one error message


def report(where: object, problems: Sequence[str]) -> None:
  """Raises what was found, if anything was.

  >>> report('pairs.csv', [])

  Args:
    where: the file or folder they are of.
    problems: a sentence each, with its line or row.

  Raises:
    ValueError: listing the problems, the first fifty of them in full.
  """
  if problems:
    hidden = len(problems) - _MAX_SHOWN
    more = [f'... and {hidden} more.'] if hidden > 0 else []
    raise ValueError('\n  '.join(
        [f'{where} has {len(problems)} problem(s):']
        + list(problems[:_MAX_SHOWN]) + more))


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
    return [f'{name!r} is {value!r}, not a text']
  if '\0' in value or not _is_unicode(value):
    return [f'{name!r} holds a NUL or half a surrogate pair']
  return []


def once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
  """The `object_pairs_hook` of JSON whose fields may stand only once.

  Raises:
    ValueError: if a field stands twice.
  """
  fields = dict(pairs)
  if len(fields) < len(pairs):
    raise ValueError(f'a field stands twice in {[k for k, _ in pairs]}')
  return fields


def _is_unicode(text: str) -> bool:
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return True
