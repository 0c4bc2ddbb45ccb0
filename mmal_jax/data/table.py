"""The user's own table: a column of images, and one of texts.

CSV, TSV, JSON lines or Parquet. An image is a path, or of Parquet also the
bytes of an encoded image, as they are or in a struct of `bytes` and `path`. A
text is one, or of JSON lines and Parquet also a list of several of the same
image, which may stand in several rows, too. Other columns are not read.
"""

from collections.abc import Iterable
import os
import pathlib

from mmal_jax.data import captioned
from mmal_jax.data import schema
from mmal_jax.data.images import image_cells
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import csv_table
from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import parquet_rows

_SEPARATORS = {'.csv': csv_table.SEPARATORS, '.tsv': '\t'}
_PARQUET = ('.parquet', '.pq')
_ENDINGS = (*_SEPARATORS, *json_lines.ENDINGS, *_PARQUET)
_MAX_BYTES = 2**31  # of a table that is read as a whole


def load(
    table: str | os.PathLike[str],
    image_column: str = 'image',
    text_column: str = 'text',
    split_column: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    test: str | os.PathLike[str] | None = None,
    paired: bool = True,
    captions: int | None = None,
    image_size: int | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    preprocess: preprocess_lib.Preprocess | None = None,
    drop_duplicates: bool | None = None,
) -> schema.Dataset:
  """Reads a table of images and texts.

  Args:
    table: a file that ends in `.csv`, `.tsv`, `.jsonl`, `.ndjson` or
      `.parquet`.
    image_column: of paths, or of Parquet also of the bytes of images, which
      stay in memory, encoded as they are.
    text_column: of texts, or of JSON lines and Parquet also of lists of texts.
    split_column: of `pool` (or `train`), `test` and `pretrain`; rows of `val`
      or `validation` are not used. None: a share is held out, or `test` says
      what is.
    folder: what paths are relative to and may not lead out of; that of the
      table if None.
    test: a further table of test pairs, with columns of the same names.
    paired: whether the image and the text of a row belong together, which the
      oracle alone is told. If not, the columns are two pools, whose cells may
      be empty, and the test pairs alone are pairs.
    captions: texts of each image that are used, the first ones; all if None.
    image_size: every image is resized to this height and width in pixels and
      kept in memory; 64 if None.
    test_fraction: share of rows held out for evaluation, where nothing else
      says which. Rows that share an image stay together.
    seed: of that division.
    preprocess: in place of `image_size`: images stay where they are, and this
      is done to them whenever they are needed.
    drop_duplicates: whether rows that stand twice, and those of the pool whose
      image is in the test set, are left out; how many is logged. If not, they
      are refused.

  Returns:
    The dataset; `pool` is `Loose` if not `paired`.

  Raises:
    ValueError: naming a column that lacks, and those that are there; listing
      every problem of the table and the images, with line numbers.
  """
  given = captioned.options(paired, captions, image_size, test_fraction, seed,
                            preprocess, drop_duplicates)
  columns = captioned.Columns(image_column, text_column, split_column)
  if test is not None and split_column is not None:
    raise ValueError(f'test={os.fspath(test)!r} and split_column='
                     f'{split_column!r}: give one of the two.')
  if not paired and test is None and split_column is None:
    raise ValueError(captioned.NEEDS_TEST.format('test=TABLE'))
  tables = {'table': (pathlib.Path(table), None if test is None else 'pool')}
  if test is not None:
    tables['test'] = pathlib.Path(test), 'test'
  problems: list[str] = []
  found = []
  for argument, (path, split) in tables.items():
    # Of two tables each line says of which it is.
    name = None if test is None else path.name
    found.append(captioned.read(
        _rows(argument, path, name, columns, problems), columns,
        image_cells.reader(path.parent if folder is None
                           else pathlib.Path(folder), image_column),
        given, split, problems))
  where = ' or '.join(str(path) for path, _ in tables.values())
  return captioned.to_dataset('table', where, found, columns, given, problems)


def _rows(
    argument: str, path: pathlib.Path, name: str | None,
    columns: captioned.Columns, problems: list[str],
) -> Iterable[tuple[str, dict[str, object]]]:
  """The place and the fields of each row that can be parsed.

  Raises:
    ValueError: if the file cannot be read, or lacks a column.
  """
  ending = path.suffix.lower()
  if ending not in _ENDINGS:
    raise ValueError(f'{argument}={str(path)!r} must end in '
                     f'{", ".join(_ENDINGS[:-1])} or {_ENDINGS[-1]}.')
  try:
    if ending in _PARQUET:
      there = parquet_rows.columns(path)
    else:
      content = durable.read(path, _MAX_BYTES)
  except (OSError, ValueError) as e:
    reason = durable.reason(e).removeprefix('cannot be read: ')
    raise ValueError(
        f'{argument}={str(path)!r} cannot be read: {reason}.') from e
  if ending in _PARQUET:
    columns.check(there, path.name)
    twice = [column for column in columns.names() if there.count(column) > 1]
    if twice:
      raise ValueError(f'{path.name} has the column {twice[0]!r} more than '
                       'once: leave one.')
    of_file: list[str] = []
    for place, fields in parquet_rows.read(path, columns.names(), of_file):
      yield (place if name is None else f'{name}, {place}'), fields
    problems += of_file if name is None else [
        f'{name}: {one}' for one in of_file]
    return
  if ending in _SEPARATORS:
    table = csv_table.read(
        content, name, problems, _SEPARATORS[ending], unnamed=True)
    if table is not None and table.columns:
      columns.check(table.columns, path.name)
      yield from table.rows
    return
  rows = list(json_lines.read(content, name, problems))
  if rows:
    columns.check(list(dict.fromkeys(
        column for _, fields in rows for column in fields)), path.name)
  yield from rows
