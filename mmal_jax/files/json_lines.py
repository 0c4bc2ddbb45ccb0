"""JSON lines with the place of every record, for messages about it."""

from collections.abc import Iterable, Iterator
import json
from typing import Any

from mmal_jax.files import json_object
from mmal_jax.files import text_file

ENDINGS = ('.jsonl', '.jsonlines', '.ndjson')  # three names of one format


def read(
    content: bytes, name: str | None, problems: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
  r"""The objects of a file, a line each; blank lines are passed over.

  >>> list(read(b'{"a": 1}\n\n{"a": 2}', 'x.jsonl', []))
  [('x.jsonl, line 1', {'a': 1}), ('x.jsonl, line 3', {'a': 2})]
  >>> list(read(b'{"a": 1}', None, []))
  [('line 1', {'a': 1})]

  Args:
    content: of the file.
    name: of the file; None where all problems are of this one.
    problems: gets an entry for every line that holds no object, when its turn
      comes.

  Yields:
    `(place, object)` of the others.
  """
  wrong: list[str] = []
  lines = text_file.lines(content, wrong)
  problems += wrong if name is None else [f'{name}: {one}' for one in wrong]
  for number, line in enumerate(lines, 1):
    place = f'line {number}' if name is None else f'{name}, line {number}'
    if not line.strip() or '\r' in line:  # The latter is a problem already.
      continue
    try:
      fields = json_object.loads(line)
    except ValueError as e:
      problems.append(f'{place}: bad JSON: {e}.')
      continue
    if isinstance(fields, dict):
      yield place, fields
    else:
      problems.append(f'{place}: {line.strip()[:40]!r} is no object.')


def dump(records: Iterable[dict[str, Any]]) -> str:
  r"""A line for each record, all of it Unicode.

  >>> dump([{'file': 'caf\xe9'}, {'file': 'caf\udce9'}])
  '{"file": "caf\xe9"}\n{"file": "caf\\udce9"}\n'
  """
  return ''.join(map(_line, records))


def _line(record: dict[str, Any]) -> str:
  line = json.dumps(record, ensure_ascii=False)
  # Names of files need not be text; escaped, they can be written as UTF-8.
  return f'{line if text_file.is_unicode(line) else json.dumps(record)}\n'
