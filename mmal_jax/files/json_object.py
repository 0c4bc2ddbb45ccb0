"""JSON that other people wrote: only what is plain, quoted shortly."""

from collections.abc import Sequence
import json
import os
import reprlib
from typing import Any

from mmal_jax.files import downloads
from mmal_jax.files import text_file

# Lists and objects within one another. Python's own limit is not the same in
# all that is done with a value.
_DEEPEST = 100
_NESTED = frozenset({dict, list})
_LONGEST = 200  # letters of a value in a message

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 120, 120


def loads(content: bytes | str) -> Any:
  """The value that JSON stands for.

  >>> loads('[1, 2]')
  [1, 2]

  Raises:
    ValueError: if it is no text or no JSON, a field appears twice,
      or lists and objects are nested more than a hundred deep.
  """
  deep = f'lists and objects are nested more than {_DEEPEST} deep'
  if isinstance(content, bytes):
    # JSON begins with an ASCII letter, which reveals UTF-16 without a mark.
    encoding = json.detect_encoding(content)
    content = text_file.decode(
        content, encoding if encoding.endswith(('le', 'be')) else 'utf-8')
  try:
    value = json.loads(content, object_pairs_hook=_once)
  except RecursionError as e:
    raise ValueError(deep) from e
  except ValueError as e:
    if 'int_max_str_digits' in str(e):  # Python's words
      raise ValueError('an integer has thousands of digits') from e
    raise
  # Of the values one step further in each time, only those that go on.
  level = [[value]]
  for _ in range(_DEEPEST + 1):
    level = [inner for one in level
             for inner in (one.values() if type(one) is dict else one)
             if type(inner) in _NESTED]
    if not level:
      return value
  raise ValueError(deep)


def parse(content: bytes, path: str | os.PathLike[str]) -> dict[str, Any]:
  """The object that a file holds.

  >>> parse(b'{"a": 1}', 'config.json')
  {'a': 1}

  Args:
    content: of the file.
    path: of the file, for the message.

  Raises:
    ValueError: if it holds something else.
  """
  try:
    value = loads(content)
  except ValueError as e:
    wrong = downloads.wrong(path, content)
    if wrong is not None:
      raise ValueError(f'{path} {wrong}.') from e
    raise ValueError(f'{path} is not JSON: {e}') from e
  if not isinstance(value, dict):
    raise ValueError(f'{path} holds no JSON object.')
  return value


def quote(value: Any) -> str:
  """A value of such a file as a message shows it, however long or deep.

  >>> quote('x'), len(quote('x' * 10**6)) < 200
  ("'x'", True)
  """
  text = _SHORT.repr(value)
  return text if len(text) <= _LONGEST else f'{text[:_LONGEST]}...'


def quote_json(value: Any) -> str:
  """As `quote`, but null, true and false by their names in JSON.

  >>> quote_json(None), quote_json(7)
  ('null', '7')
  """
  is_word = value is None or isinstance(value, bool)
  return json.dumps(value) if is_word else quote(value)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
  fields = dict(pairs)
  if len(fields) < len(pairs):
    seen = set()
    twice = next(key for key, _ in pairs if key in seen or seen.add(key))
    raise ValueError(f'a field appears twice: {quote(twice)}')
  return fields
