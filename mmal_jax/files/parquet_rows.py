"""Rows of a Parquet file with their places, for messages about them."""

from collections.abc import Iterator, Sequence
import os
import pathlib
from typing import Any

from mmal_jax import extras
from mmal_jax.files import downloads
from mmal_jax.files import durable
from mmal_jax.files import growth

# Slow to import, and seldom needed.
_pyarrow, _parquet = (extras.Lazy(name, 'to read Parquet files')
                      for name in ('pyarrow', 'pyarrow.parquet'))
_BATCH = 32  # rows that are in memory at a time: they may hold images


def columns(path: pathlib.Path) -> list[str]:
  """The names of a file's columns, of which one may be there twice.

  Raises:
    ValueError: if the file cannot be read, without its name.
  """
  try:
    _check(path)
    with _parquet.ParquetFile(path) as file:
      return file.schema_arrow.names
  except (OSError, ValueError, _pyarrow.ArrowException) as e:
    raise ValueError(f'cannot be read: {durable.reason(e)}') from e


def read(
    path: pathlib.Path, names: Sequence[str], problems: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
  """The rows of a file.

  Args:
    path: of the file.
    names: of the columns that are wanted, each of which it has once.
    problems: takes a sentence if the rest cannot be read.

  Yields:
    `(place, fields)` of each, `row 0` being the first place.
  """
  try:
    with _parquet.ParquetFile(path) as file:
      size, row, grown = os.path.getsize(path), 0, 0
      growth.check(path.name, size, sum(
          file.metadata.row_group(i).total_byte_size
          for i in range(file.num_row_groups)))
      for batch in file.iter_batches(_BATCH, columns=list(names)):
        grown += batch.nbytes  # What is repeated takes no room in the file.
        growth.check(path.name, size, grown)
        for fields in batch.to_pylist():
          yield f'row {row}', fields
          row += 1
  except (OSError, ValueError, _pyarrow.ArrowException) as e:
    problems.append(f'it cannot be read: {durable.reason(e)}.')


def _check(path: pathlib.Path) -> None:
  if not path.is_file():
    raise OSError('it is no regular file')
  wrong = downloads.wrong(path)
  if wrong is not None:
    raise ValueError(f'it {wrong}')
