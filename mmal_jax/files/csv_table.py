r"""CSV tables with the place of each row, as spreadsheets and people write.

The first row that is not blank names the columns. Blank rows are passed over,
and so are columns that have neither a name nor a cell with anything in it, as
the commas at the end of all lines make them. A line `sep=;` before the columns,
which Excel reads and writes, says what separates the cells.
"""

from collections.abc import Iterator
import re
from typing import NamedTuple
import unicodedata

from mmal_jax.files import json_object
from mmal_jax.files import text_file

SEPARATORS = ',;\t|'
_MOST_CELLS = 2**17  # of a row; spreadsheets have 2**14 at most
_LINE = re.compile(r'\S[^\r\n]*')
_STATED = re.compile(r'("?)sep *= ?(.*)', re.IGNORECASE)


class Table(NamedTuple):
  """A table whose rows have yet to be read.

  Attributes:
    place: of the columns, `line 1` for one.
    columns: their names, of which one may be there twice; empty if the file
      holds nothing.
    rows: the place and the cells of each, by column. Cells may lack at the end.
  """

  place: str
  columns: list[str]
  rows: Iterator[tuple[str, dict[str, str]]]


def read(
    content: bytes, name: str | None, problems: list[str],
    separators: str = SEPARATORS, unnamed: bool = False,
) -> Table | None:
  r"""Reads the columns of a table, and gives its rows.

  >>> table = read(b'sep=;\r\nimage; text;\r\n0.png; "a; b";\r\n', None, [])
  >>> table.columns, list(table.rows)
  (['image', 'text'], [('line 3', {'image': '0.png', 'text': 'a; b'})])

  Args:
    content: of the file, whose text is as `text_file.decode` takes it.
    name: of the file; None where all problems are of this one.
    problems: takes a sentence on each thing that cannot be read, rows' when
      their turn comes.
    separators: what may stand between the cells, where no line says so: that
      which stands most often in the line of the columns, or else the first.
    unnamed: whether a column without a name may hold anything, and is passed
      over, as pandas writes the numbers of the rows.

  Returns:
    The table. None if not even its columns can be read, which `problems` says.
  """
  before = '' if name is None else f'{name}, '
  try:
    text = text_file.decode(content).lstrip('\ufeff')
  except ValueError as e:
    problems.append(f'{e}.' if name is None else f'{name}: {e}.')
    return None
  try:
    separator, start = _separator(text, separators)
    rows = _filled(text, start, separator, False)
    line, cells = next(rows, (1, []))
    if any(cell.startswith(' ') for cell in cells[1:]) or any(
        cell.endswith(' ') for cell in cells):
      # Where blanks stand around separators they are no part of the cells.
      rows = _filled(text, start, separator, True)
      line, cells = next(rows)
  except ValueError as e:
    problems.append(f'{before}{e}.')
    return None
  columns = [cell.strip() for cell in cells]
  place = f'{before}line {line}'
  return Table(place, [column for column in columns if column],
               _by_column(place, columns, rows, separator, before, problems,
                          unnamed))


def _separator(text: str, separators: str) -> tuple[str, int]:
  """What stands between cells, and where the table begins.

  Raises:
    ValueError: if the file states what cannot separate cells.
  """
  header = _LINE.search(text)
  stated = header and _STATED.fullmatch(header[0])
  if not stated:
    return _likeliest(header, separators), 0
  found, after = (stated[2].partition('"')[::2] if stated[1]
                  else (stated[2][:1], stated[2][1:]))
  found, after = found.strip(' '), after.strip(' ')
  ended = after[:1]  # by a program that took the line for a row
  if found and not _may_separate(found) or after and (
      after.strip(ended) or ended not in {found, *SEPARATORS}):
    raise ValueError(
        f'line {text_file.line_ends(text[:header.start()]) + 1}: '
        f'{json_object.quote(header[0])} says that {json_object.quote(found)} '
        'separates the cells, which must be one sign, no letter, digit or '
        'quote: write sep=, or sep=; as the rows have it, or remove the line')
  return ended or found or _likeliest(
      _LINE.search(text, header.end()), separators), header.end()


def _may_separate(found: str) -> bool:
  return found == '\t' or (len(found) == 1 and found != '"'
                           and unicodedata.category(found)[0] in 'PS')


def _likeliest(line: re.Match[str] | None, separators: str) -> str:
  return max(separators, key=line[0].count) if line else separators[0]


def _filled(
    text: str, start: int, separator: str, skips_blanks: bool
) -> Iterator[tuple[int, list[str]]]:
  """Rows that hold anything, with the lines in which they begin.

  It is not Python's `csv`, whose longest cell is one limit of all its readers.

  Args:
    text: of the file.
    start: where the table begins.
    separator: one letter.
    skips_blanks: whether blanks around a cell are no part of it.

  Raises:
    ValueError: at a row that is wrong.
  """
  mark, blanks = re.escape(separator), ' *+' if skips_blanks else ''
  plain = re.compile(r'[^"\r\n]*+(\r\n?|\n|\Z)')
  cell = re.compile(
      rf'{blanks}(?:"([^"]*+(?:""[^"]*+)*+)" *+|((?!")[^{mark}\r\n]*+))'
      rf'({mark}|\r\n?|\n|\Z)')
  line, row, first = text_file.line_ends(text[:start]) + 1, [], None
  while start < len(text) or row:
    whole = None if row else plain.match(text, start)
    if len(row) > _MOST_CELLS or whole and (
        text.count(separator, start, whole.start(1)) > _MOST_CELLS):
      raise ValueError(f'line {line}: bad CSV: more than {_MOST_CELLS} cells')
    if whole:  # most rows, several times as fast
      cells = text[start:whole.start(1)].split(separator)
      if any(one.strip() for one in cells):
        yield line, [one.strip(' ') for one in cells] if blanks else cells
      start, line = whole.end(), line + 1
      continue
    found = cell.match(text, start)
    if not found:
      quoted = re.compile(rf'{blanks}"[^"]*+(?:""[^"]*+)*+').match(text, start)
      raise ValueError(f'line {line}: bad CSV: ' + (
          'a quote that is opened is never closed'
          if quoted.end() == len(text) else
          'a quote within a cell must be doubled, and the cell quoted'))
    first = first or line
    if found[1] is None:
      row.append(found[2].rstrip(' ') if skips_blanks else found[2])
    else:
      row.append(found[1].replace('""', '"'))
      line += text_file.line_ends(found[1])
    start = found.end()
    if found[3] != separator:
      if any(one.strip() for one in row):
        yield first, row
      row, first, line = [], None, line + 1


def _by_column(
    place, columns, rows, separator, before, problems, unnamed
) -> Iterator[tuple[str, dict[str, str]]]:
  """Rows by column, until one is wrong. Empty columns without name are none."""
  used = [column for column in columns if column]
  if len(set(used)) < len(used):
    problems.append(f'{place}: a column appears twice: '
                    f'{json_object.quote_json(columns)}.')
    return
  try:
    for line, row in rows:
      beside = next((i for i, cell in enumerate(row) if cell.strip() and not (
          i < len(columns) and (unnamed or columns[i]))), None)
      if beside is None:
        yield f'{before}line {line}', {
            column: cell for column, cell in zip(columns, row) if column}
      elif beside >= len(columns):
        problems.append(
            f'{before}line {line}: {len(row)} cells, but {len(columns)} columns'
            f': put a cell that holds {separator!r} into quotes.')
      else:
        problems.append(
            f'{before}line {line}: column {beside + 1} has no name, but holds '
            f'{json_object.quote_json(row[beside])}: name it in the header, or '
            'remove it.')
  except ValueError as e:
    problems.append(f'{before}{e}.')
