"""The records in a file of answers: JSON, JSON lines, or a table (CSV, TSV)."""

from collections.abc import Iterator
import csv
import io
from typing import Any

from mmal_jax.data import json_lines
from mmal_jax.data import json_object
from mmal_jax.data import text_file

TABLES = '.csv', '.tsv'
SUFFIXES = ('.jsonl', '.json', *TABLES)
# Of an object that holds a list of tasks, as an API returns them.
_LISTS = ('tasks', 'results')
_OF_ONE = {'query', 'data'}  # Fields of a task or an answer by itself.

Record = tuple[str, dict[str, Any]]


def read(
    content: bytes, name: str, suffix: str, notes: list[str],
    problems: list[str],
) -> Iterator[Record]:
  """The records of a file, one for each line, list entry or row.

  Args:
    content: of the file.
    name: of the file, for places.
    suffix: one of `SUFFIXES`.
    notes: takes a sentence on what is passed over.
    problems: takes one on what cannot be read.

  Yields:
    `(place, record)`.
  """
  if not content.strip():
    notes.append(f'{name}: empty.')
  elif suffix == '.jsonl' and not _is_list(content):
    yield from json_lines.read(content, name, problems)
  elif suffix in TABLES:
    yield from _table(content, name, problems)
  else:
    yield from _json(content, name, notes, problems)


def _is_list(content: bytes) -> bool:
  """Whether a file of lines begins as a list does that goes on over them."""
  lines = text_file.lines(content, [])
  first = next((line.strip() for line in lines if line.strip()), '')
  return first == '[' or first.startswith('[{')


def _json(content, name, notes, problems) -> Iterator[Record]:
  """The entries of a list, however it is wrapped."""
  try:
    found = json_object.loads(content)
  except ValueError as e:
    lines: list[str] = []
    records = list(json_lines.read(content, name, lines))
    if lines or len(records) < 2:
      problems.append(f'{name}: bad JSON: {e}.')
      return
    yield from records  # JSON lines by another name
    return
  if isinstance(found, dict):
    lists = [found[key] for key in _LISTS if isinstance(found.get(key), list)]
    if lists:
      found = lists[0]
    elif found.keys() & _OF_ONE:
      found = [found]
  entries = found if isinstance(found, list) else []
  if not any(isinstance(entry, dict) for entry in entries):
    if found != []:
      problems.append(f'{name}: no list of tasks or answers.')
    return
  for number, entry in enumerate(entries, 1):
    place = f'{name}, entry {number}'
    if isinstance(entry, dict):
      yield place, entry
    else:
      notes.append(f'{place}: {json_object.told_json(entry)} is no task and no '
                   'answer: not read.')


def _table(content, name, problems) -> Iterator[Record]:
  """The rows of a table by its header, with the place of each."""
  try:
    text = text_file.decode(content)
  except ValueError as e:
    problems.append(f'{name}: {e}.')
    return
  header = next((line for line in text.splitlines() if line.strip()), '')
  # A spreadsheet writes what its country separates by.
  separator = max(',;\t', key=header.count)
  rows = csv.reader(io.StringIO(text, newline=''), delimiter=separator,
                    strict=True)
  try:
    names = [cell.strip() for cell in next((r for r in rows if any(r)), ())]
    if len(set(names)) < len(names):
      problems.append(f'{name}, line {rows.line_num}: a column stands twice: '
                      f'{json_object.told_json(names)}.')
      return
    last = rows.line_num
    for row in rows:
      place, last = f'{name}, line {last + 1}', rows.line_num
      if not any(cell.strip() for cell in row):
        continue
      if len(row) > len(names):
        problems.append(f'{place}: {len(row)} cells, but {len(names)} columns.')
        continue
      yield place, dict(zip(names, row)) | dict.fromkeys(names[len(row):], '')
  except csv.Error as e:
    problems.append(f'{name}, line {rows.line_num}: bad CSV: {e}.')
