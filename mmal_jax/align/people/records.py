"""The records in a file of answers: JSON, JSON lines, or a table (CSV, TSV)."""

from collections.abc import Iterator
import csv
import io
import re
from typing import Any

from mmal_jax.data import json_lines
from mmal_jax.data import json_object
from mmal_jax.data import text_file

TABLES = '.csv', '.tsv'
SUFFIXES = ('.jsonl', '.json', *TABLES)
# Of an object that holds a list of tasks, as an API returns them.
_LISTS = ('tasks', 'results')
_OF_ONE = {'query', 'data'}  # Fields of a task or an answer by itself.
_HEADER = re.compile(r'\S[^\r\n]*')
_SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
# In UTF-16, zeros stand between the letters.
_LIST = re.compile(rb'[\xef\xbb\xbf\xfe\xff\s\0]*\[[ \t\r\0]*(?:[{\n]|\Z)')

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
  return _LIST.match(content) is not None


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
    else:
      notes.append(f'{name}: an empty list.')
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
  header = _HEADER.search(text)
  stated = header and _SEPARATOR.fullmatch(header[0].strip())
  if stated:  # Excel's line on how to read the file: blank, for the numbers
    text = text[:header.start()] + text[header.end():]
  # A spreadsheet writes what its country separates by.
  separator = stated[1] if stated else max(
      ',;\t|', key=header[0].count if header else text.count)
  reader = csv.reader(io.StringIO(text, newline=''), delimiter=separator,
                      strict=True)
  rows, last, broken = [], 0, None
  try:
    for row in reader:
      place, last = f'{name}, line {last + 1}', reader.line_num
      if any(cell.strip() for cell in row):
        rows.append((place, row))
  except csv.Error as e:
    broken = f'{name}, line {reader.line_num}: bad CSV: {_in_words(e)}.'
  if rows:
    yield from _by_header(*rows[0], rows[1:], problems)
  if broken:
    problems.append(broken)


def _by_header(place, header, rows, problems) -> Iterator[Record]:
  """Rows as objects. Columns that are empty from top to bottom are none."""
  names = [cell.strip() for cell in header]
  used = [name for name in names if name]
  if len(set(used)) < len(used):
    problems.append(f'{place}: a column stands twice: '
                    f'{json_object.told_json(names)}.')
    return
  for place, row in rows:
    beside = [(i, cell) for i, cell in enumerate(row)
              if cell.strip() and not (i < len(names) and names[i])]
    if beside:
      column, cell = beside[0]
      what = (f'{len(row)} cells, but {len(names)} columns'
              if column >= len(names) else
              f'column {column + 1} has no name, but holds '
              f'{json_object.told_json(cell)}: name it in the header, or '
              'remove it')
      problems.append(f'{place}: {what}.')
      continue
    cells = dict(zip(names, row))
    yield place, {name: cells.get(name, '') for name in used}


def _in_words(error: csv.Error) -> str:
  """What the reader of tables says, without Python's own terms."""
  said = str(error)
  if 'end of data' in said:
    return 'a quote that is opened is never closed'
  if 'expected after' in said:
    return 'a quote within a cell must be doubled, and the cell quoted'
  if 'field limit' in said:
    return f'a cell holds more than {csv.field_size_limit()} letters'
  return said
