"""The records in a file of answers: JSON, JSON lines, or a table (CSV, TSV)."""

from collections.abc import Iterator
import re
from typing import Any

from mmal_jax.files import csv_table
from mmal_jax.files import json_lines
from mmal_jax.files import json_object
from mmal_jax.files import text_file

TABLES = '.csv', '.tsv'
SUFFIXES = ('.jsonl', '.json', *TABLES)
# Of an object that holds a list of tasks, as an API returns them.
_LISTS = ('tasks', 'results')
_OF_ONE = {'query', 'data'}  # Fields of a task or an answer by itself.
# In UTF-16, zeros stand between the letters.
_LIST = re.compile(rb'[\xef\xbb\xbf\xfe\xff\s\0]*+\[[ \t\r\0]*+(?:[{\n]|\Z)')
_LOOK = 2**20  # bytes within which a list begins
# Of a file: bytes, and lines, rows or entries of a list. Both are seen before
# any of them is made an object of.
MOST_BYTES, MOST_RECORDS = 2**28, 2**20

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
    `(place, record)`. None of a file of more than `MOST_RECORDS` lines, which
    is a problem; blank ones count, and a list may go on over any number.
  """
  if not content or content.isspace():
    notes.append(f'{name}: empty.')
  elif suffix == '.jsonl' and not _is_list(content):
    if not _too_many(_lines(content), 'lines', name, problems):
      yield from json_lines.read(content, name, problems)
  elif suffix in TABLES:
    if not _too_many(_lines(content), 'lines', name, problems):
      yield from _table(content, name, notes, problems)
  else:
    yield from _json(content, name, notes, problems)


def _lines(content: bytes) -> int:
  """How many lines a file has, or how many it can have at most."""
  found = max(content.count(b'\n'), content.count(b'\r'))
  # In UTF-16, where new lines have zeros, other letters have such bytes, too.
  if found > MOST_RECORDS and b'\0' in content:
    try:
      text = text_file.decode(content)
    except ValueError:
      return 0  # Who reads it says why.
    found = max(text.count('\n'), text.count('\r'))
  return found


def _too_many(count: int, what: str, name, problems) -> bool:
  if count > MOST_RECORDS:
    problems.append(f'{name}: it has {count} {what}; at most {MOST_RECORDS} are'
                    ' read of a file: put the answers into several.')
  return count > MOST_RECORDS


def _is_list(content: bytes) -> bool:
  """Whether a file of lines begins as a list does that goes on over them."""
  return _LIST.match(content, 0, _LOOK) is not None


def _json(content, name, notes, problems) -> Iterator[Record]:
  """The entries of a list, however it is wrapped."""
  try:
    found = json_object.loads(content)
  except ValueError as e:
    lines: list[str] = []
    records = [] if _too_many(_lines(content), 'lines', name, problems) else (
        list(json_lines.read(content, name, lines)))
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
  if _too_many(len(entries), 'entries', name, problems):
    return
  for number, entry in enumerate(entries, 1):
    place = f'{name}, entry {number}'
    if isinstance(entry, dict):
      yield place, entry
    else:
      notes.append(f'{place}: {json_object.quote_json(entry)} is no task and '
                   'no answer: not read.')


def _table(content, name, notes, problems) -> Iterator[Record]:
  """The rows of a table, each with all of its columns."""
  table = csv_table.read(content, name, problems)
  if table is None:
    return
  if not table.columns:
    notes.append(f'{name}: empty.')
  for place, cells in table.rows:
    yield place, {column: cells.get(column, '') for column in table.columns}
