"""JSON lines with the place of every record, for messages about it."""

from collections.abc import Iterable
import json
from typing import Any


def read(
    content: bytes, name: str, problems: list[str]
) -> list[tuple[str, dict[str, Any]]]:
  r"""The objects of a file, a line each; blank lines are passed over.

  >>> read(b'{"a": 1}\n\n{"a": 2}', 'x.jsonl', [])
  [('x.jsonl, line 1', {'a': 1}), ('x.jsonl, line 3', {'a': 2})]

  Args:
    content: of the file.
    name: of the file.
    problems: is told of every line that holds no object.

  Returns:
    `(place, object)` of the others.
  """
  try:
    lines = content.decode('utf-8-sig').split('\n')
  except UnicodeDecodeError as e:
    problems.append(f'{name}: not UTF-8 text: {e}.')
    return []
  found = []
  for number, line in enumerate(lines, 1):
    place = f'{name}, line {number}'
    if not line.strip():
      continue
    try:
      fields = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError) as e:
      problems.append(f'{place}: bad JSON: {e}.')
      continue
    if isinstance(fields, dict):
      found.append((place, fields))
    else:
      problems.append(f'{place}: {line.strip()[:40]!r} is no object.')
  return found


def dump(records: Iterable[dict[str, Any]]) -> str:
  """A line for each record."""
  return ''.join(
      json.dumps(record, ensure_ascii=False) + '\n' for record in records)


def refuse(what: str, problems: list[str]) -> None:
  """Lists all problems in one error, if there are any.

  Raises:
    ValueError: if there are.
  """
  if problems:
    raise ValueError('\n  '.join(
        [f'{what} has {len(problems)} problem(s):'] + problems))


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
  fields = dict(pairs)
  if len(fields) < len(pairs):
    raise ValueError(f'a field stands twice in {[k for k, _ in pairs]}')
  return fields
