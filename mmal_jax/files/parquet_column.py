"""One column of a Parquet file as an array."""

import os
import stat

import numpy as np

from mmal_jax import extras
from mmal_jax.files import downloads
from mmal_jax.files import growth

# Slow to import, and seldom needed.
_compute, _parquet, _types = (
    extras.Lazy(f'pyarrow.{name}', 'to read Parquet files')
    for name in ('compute', 'parquet', 'types'))
_MAX_STRING = 1000  # bytes: they are names of splits


def read(path: str | os.PathLike[str], *names: str) -> np.ndarray:
  """Reads a column of lists of numbers.

  Args:
    path: of the file.
    names: what the column may be called, the likeliest first. Where there is
      none of these, it is the only one of its kind. Columns of another kind do
      not count: captions may well be called `text`, beside their features.

  Returns:
    `[n, d]` of the numbers' own type.

  Raises:
    ValueError: if there is no such column, a row is missing, lists differ in
      length, or it says that it holds more than a file of its size may.
    OSError: if the file cannot be read.
  """
  with _parquet.ParquetFile(_regular(path)) as file:
    name = _name(file.schema_arrow, _is_list, 'lists of numbers', names)
    numbers = sum(
        column['num_values']
        for group in file.metadata.to_dict()['row_groups']
        for column in group['columns']
        if column['path_in_schema'].startswith(f'{name}.'))
    kind = file.schema_arrow.field(name).type.value_type
    growth.check(f'column {name!r}', os.path.getsize(path),
                 numbers * kind.bit_width // 8)
    column = file.read(columns=[name]).column(0)
  _check_whole(column, name)
  lengths = _compute.list_value_length(column).to_numpy()
  width = lengths[0] if len(lengths) else 0
  if np.any(lengths != width):
    row = np.flatnonzero(lengths != width)[0]
    raise ValueError(f'row {row} of column {name!r} holds {lengths[row]} '
                     f'numbers, and row 0 holds {width}')
  # Chunk by chunk: all of it at once may be more than 32-bit offsets reach.
  values = [chunk.flatten().to_numpy(zero_copy_only=False)
            for chunk in column.chunks]
  flat = np.concatenate(values) if values else np.zeros(0, np.float32)
  return flat.reshape(len(column), width)


def read_names(
    path: str | os.PathLike[str], rows: int, *names: str
) -> np.ndarray:
  """Reads a column of short strings, each of which may stand in many rows.

  Args:
    path: of the file.
    rows: that the file must have.
    names: as for `read`.

  Returns:
    `[rows]` strings, as objects.

  Raises:
    ValueError: if there is no such column, a row is missing, there are more or
      fewer, or a string has more than a thousand bytes.
    OSError: if the file cannot be read.
  """
  with _parquet.ParquetFile(_regular(path)) as file:
    name = _name(file.schema_arrow, _is_string, 'strings', names)
    # Before it is read: a string that is repeated takes no room in the file.
    if file.metadata.num_rows != rows:
      raise ValueError(f'it has {file.metadata.num_rows} rows; the features '
                       f'have {rows}')
  with _parquet.ParquetFile(path, read_dictionary=[name]) as file:
    column = file.read(columns=[name]).column(0)
  _check_whole(column, name)
  for chunk in column.chunks:
    lengths = _compute.binary_length(chunk.dictionary)
    longest = _compute.max(lengths).as_py() or 0
    if longest > _MAX_STRING:
      raise ValueError(f'column {name!r} holds a string of {longest} bytes; at '
                       f'most {_MAX_STRING} make a name')
  return np.array(column.to_pylist(), object)


def _regular(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
  if not stat.S_ISREG(os.stat(path).st_mode):
    raise OSError('it is no regular file')
  wrong = downloads.wrong(path)
  if wrong is not None:
    raise ValueError(f'it {wrong}')
  return path


def _name(schema, is_wanted, what: str, names: tuple[str, ...]) -> str:
  usable = [field.name for field in schema if is_wanted(field.type)]
  found = [name for name in names if name in usable][:1] or usable
  if len(found) != 1 or schema.names.count(found[0]) != 1:
    raise ValueError(
        f'it has the columns {schema.names[:10]} of '
        f'{list(map(str, schema.types[:10]))}; of {what}, one named '
        f'{" or ".join(map(repr, names))}, or one alone, is needed')
  return found[0]


def _check_whole(column, name: str) -> None:
  if column.null_count:
    row = _compute.index(_compute.is_null(column), True).as_py()
    raise ValueError(f'row {row} of column {name!r} is missing')


def _is_string(kind) -> bool:
  return _types.is_string(kind) or _types.is_large_string(kind)


def _is_list(kind) -> bool:
  return (_types.is_list(kind) or _types.is_large_list(kind)
          or _types.is_fixed_size_list(kind)) and (
              _types.is_floating(kind.value_type)
              or _types.is_integer(kind.value_type))
