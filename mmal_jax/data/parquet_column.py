"""One column of a Parquet file as an array."""

import os

import numpy as np


def read(
    path: str | os.PathLike[str], *names: str, strings: bool = False
) -> np.ndarray:
  """Reads a column of lists of numbers, or one of strings.

  Args:
    path: of the file.
    names: what the column may be called, the likeliest first. Where there is
      none of these, it is the only one of its kind. Columns of another kind do
      not count: captions may well be called `text`, beside their features.
    strings: whether it is one of strings.

  Returns:
    `[n, d]` of the numbers' own type; `[n]` if they are strings.

  Raises:
    ValueError: if there is no such column, a row is missing, lists differ in
      length.
    OSError: if the file cannot be read.
  """
  from pyarrow import compute  # Slow to import, and seldom needed.
  from pyarrow import parquet
  from pyarrow import types
  with parquet.ParquetFile(path) as file:
    schema = file.schema_arrow
    is_wanted = _is_string if strings else _is_list
    usable = [field.name for field in schema if is_wanted(types, field.type)]
    found = [name for name in names if name in usable][:1] or usable
    if len(found) != 1 or schema.names.count(found[0]) != 1:
      raise ValueError(
          f'it has the columns {schema.names} of {list(map(str, schema.types))}'
          f'; of {"strings" if strings else "lists of numbers"}, one named '
          f'{" or ".join(map(repr, names))}, or one alone, is needed')
    column = file.read(columns=found).column(0)
  if column.null_count:
    row = compute.index(compute.is_null(column), True).as_py()
    raise ValueError(f'row {row} of column {found[0]!r} is missing')
  if strings:
    return np.array(column.to_pylist(), str)
  lengths = compute.list_value_length(column).to_numpy()
  width = lengths[0] if len(lengths) else 0
  if np.any(lengths != width):
    row = np.flatnonzero(lengths != width)[0]
    raise ValueError(f'row {row} of column {found[0]!r} holds {lengths[row]} '
                     f'numbers, and row 0 holds {width}')
  # Chunk by chunk: all of it at once may be more than 32-bit offsets reach.
  values = [chunk.flatten().to_numpy(zero_copy_only=False)
            for chunk in column.chunks]
  flat = np.concatenate(values) if values else np.zeros(0, np.float32)
  return flat.reshape(len(column), width)


def _is_string(types, kind) -> bool:
  return types.is_string(kind) or types.is_large_string(kind)


def _is_list(types, kind) -> bool:
  return (types.is_list(kind) or types.is_large_list(kind)
          or types.is_fixed_size_list(kind))
