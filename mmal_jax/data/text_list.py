"""Texts of a file, one a line, or of a folder, one a file.

They are the same ones, numbered alike, for all programs.
"""

from collections.abc import Iterator, Sequence
import os
import pathlib

from absl import logging

from mmal_jax.data.images import image_listing
from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib
from mmal_jax.files import text_file

MAX_BYTES = 2**31  # of a file, which is read as a whole
_TEXT = '.txt'
_TABLES = ('.csv', '.htm', '.html', '.json', '.ods', '.parquet', '.tsv', '.xls',
           '.xlsx', '.xml', '.yaml', '.yml')


def wrong_ending(path: str | os.PathLike[str]) -> str | None:
  """Why a file of this name is no list of texts; None if it may be one.

  >>> wrong_ending('texts.txt') is wrong_ending('texts.ndjson') is None
  True
  """
  ending = pathlib.Path(path).suffix
  if ending.lower() not in _TABLES:
    return None
  return (f'is no list of texts by its ending, {ending}: a .txt of one a line, '
          'or a .jsonl of {"text": ...}, is needed')


def read(
    path: pathlib.Path, problems: list[str]
) -> Iterator[tuple[str, object]]:
  """Texts with their places, in order.

  A `.jsonl`, `.jsonlines` or `.ndjson` holds a `{"text": ...}` a line, blank
  lines being none; any other file but a table holds a text a line. Blank lines
  at the end of such a file are no texts; that they are left out is logged.
  Blank lines before are texts. A folder holds a text in each `.txt`.

  Args:
    path: of the file, or the folder.
    problems: takes a sentence for each line that is none, and not the file's
      name.

  Yields:
    `(place, text)`, `('line 3', 'a boat')` for one; of JSON lines, what is in
    place of a text, whatever it is.

  Raises:
    ValueError: if the file cannot be read.
  """
  wrong = wrong_ending(path)
  if wrong is not None:
    problems.append(f'it {wrong}.')
    return
  try:
    files = files_of(path)
    content = b'' if files else durable.read(path, MAX_BYTES)
  except (OSError, ValueError) as e:
    raise ValueError(f'texts={str(path)!r} cannot be read: '
                     f'{durable.reason(e)}') from e
  if files:
    yield from _of_files(files, problems)
  else:
    yield from parse(path, content, problems)


def files_of(folder: pathlib.Path) -> list[pathlib.Path]:
  """The texts of a folder, a `.txt` each, by their names; of a file, none."""
  return sorted(
      path for path in (folder.iterdir() if folder.is_dir() else ())
      if path.suffix.lower() == _TEXT
      and not image_listing.is_hidden(path.name))


def texts_of(path: pathlib.Path) -> list[str]:
  """The texts of a file, one a line, or a record a line; or those of a folder.

  Raises:
    ValueError: listing all lines that hold none, with their numbers.
  """
  problems: list[str] = []
  texts = []
  for place, text in read(path, problems):
    if not isinstance(text, str) or text.strip():  # Blank ones are texts, too.
      problems += [f'{place}: {what}.'
                   for what in problems_lib.of_text('text', text)]
    texts.append(text)
  problems_lib.report(f'texts={str(path)!r}', problems)
  if not texts:
    raise ValueError(f'texts={str(path)!r} is empty: it holds no text.')
  return texts


def parse(
    path: pathlib.Path, content: bytes, problems: list[str], least: int = 0
) -> Iterator[tuple[str, object]]:
  """As `read`, of a file that has been read.

  Args:
    path: of the file, whose ending is not wrong.
    content: of the file.
    problems: as for `read`.
    least: how many lines at the beginning are texts even where they are blank
      and none that is not follows.

  Yields:
    As `read`.
  """
  if path.suffix.lower() in json_lines.ENDINGS:
    yield from _of_json(content, problems)
    return
  lines = text_file.lines(content, problems)
  if _is_json(lines):
    problems.append('line 1 is an object of JSON, no text: name the file .jsonl'
                    ', and each line is read as {"text": ...}.')
    return
  n = len(lines)
  while len(lines) > least and not lines[-1].strip():
    lines.pop()
  if lines and len(lines) < n:
    logging.warning('%s: %d blank line(s) at its end are left out, from line %d'
                    ' on.', path, n - len(lines), len(lines) + 1)
  for number, line in enumerate(lines, 1):
    yield f'line {number}', line


def path_lines(content: bytes) -> list[str]:
  r"""Paths of a file that lists them byte for byte, one a line.

  >>> path_lines(b'/a/x.png\n/a/caf\xe9\r.png\n')
  ['/a/x.png', '/a/caf\udce9\r.png']
  """
  return os.fsdecode(content).removesuffix('\n').split('\n')


def is_path_line(path: str | os.PathLike[str]) -> bool:
  """Whether `path_lines` gives a path back: it holds no new line."""
  return '\n' not in os.fspath(path)


def _of_files(
    files: Sequence[pathlib.Path], problems: list[str]
) -> Iterator[tuple[str, str]]:
  for path in files:
    try:
      text = text_file.decode(durable.read(path, MAX_BYTES)).strip()
    except (OSError, ValueError) as e:
      problems.append(f'{path.name!r} cannot be read: {durable.reason(e)}.')
    else:
      yield repr(path.name), text


def _is_json(lines: list[str]) -> bool:
  try:
    return isinstance(json_object.loads(lines[0]), dict)
  except (IndexError, ValueError):
    return False


def _of_json(
    content: bytes, problems: list[str]
) -> Iterator[tuple[str, object]]:
  for place, fields in json_lines.read(content, None, problems):
    if fields.keys() == {'text'}:
      yield place, fields['text']
    else:
      problems.append(
          f'{place}: it has the fields {json_object.quote(list(fields))}; '
          "'text' alone is needed.")
