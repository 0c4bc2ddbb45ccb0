"""Texts of a file, one a line: the same ones, numbered alike, for all programs.
"""

from collections.abc import Iterator
import pathlib

from absl import logging

from mmal_jax.data import json_lines
from mmal_jax.data import json_object
from mmal_jax.data import text_file

ENDINGS = ('.txt', '.jsonl')
_TABLES = ('.csv', '.json', '.parquet', '.tsv', '.xls', '.xlsx')


def read(
    content: bytes, path: pathlib.Path, problems: list[str]
) -> Iterator[tuple[str, object]]:
  """Texts with their places, in order.

  A `.jsonl` holds a `{"text": ...}` a line, blank lines being none; any other
  file but a table holds a text a line. Blank lines at the end of such a file
  are no texts; that they are left out is logged. Blank lines before are texts.

  Args:
    content: of the file.
    path: of the file, for its ending and for what is logged.
    problems: takes a sentence for each line that is none, and not the file's
      name.

  Yields:
    `(place, text)`, `('line 3', 'a boat')` for one; of a `.jsonl`, what is in
    place of a text, whatever it is.
  """
  if path.suffix.lower() == '.jsonl':
    yield from _of_json(content, problems)
    return
  if path.suffix.lower() in _TABLES:
    problems.append(
        f'it is no list of texts by its ending, {path.suffix}: a .txt of one a '
        'line, or a .jsonl of {"text": ...}, is needed.')
    return
  lines = text_file.lines(content, problems)
  n = len(lines)
  while lines and not lines[-1].strip():
    lines.pop()
  if lines and len(lines) < n:
    logging.warning('%s: %d blank line(s) at its end are left out, from line %d'
                    ' on.', path, n - len(lines), len(lines) + 1)
  for number, line in enumerate(lines, 1):
    yield f'line {number}', line


def _of_json(
    content: bytes, problems: list[str]
) -> Iterator[tuple[str, object]]:
  for place, fields in json_lines.read(content, None, problems):
    if fields.keys() == {'text'}:
      yield place, fields['text']
    else:
      problems.append(
          f'{place}: it has the fields {json_object.told(list(fields))}; '
          "'text' alone is needed.")
