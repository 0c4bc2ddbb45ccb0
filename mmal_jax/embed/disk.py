"""Rows in memory-mapped `.npy` files, read in chunks ahead of their use."""

from collections.abc import Iterator, Sequence
import concurrent.futures
import os
import pathlib

import jax.numpy as jnp
import numpy as np

from mmal_jax.files import durable
from mmal_jax.files import numpy_file
from mmal_jax.files import problems

_PAGE = 4096  # bytes; of a larger one some are touched twice
DTYPES = ('float32', 'float16', 'bfloat16')


class DiskRows:
  """One array of rows over one or several shards, never in memory as a whole.

  Attributes:
    shape: `(n, d)`.
    dtype: of the values.
    chunk_rows: rows that are read at a time.
  """

  def __init__(self, shards: Sequence[np.ndarray], chunk_rows: int):
    self._shards = tuple(shards)
    self._ends = np.cumsum([len(shard) for shard in shards])
    self.shape = (int(self._ends[-1]), shards[0].shape[1])
    self.dtype = shards[0].dtype
    self.chunk_rows = min(chunk_rows, self.shape[0])

  def __len__(self) -> int:
    return self.shape[0]

  @property
  def num_chunks(self) -> int:
    return -(-len(self) // self.chunk_rows)

  def take(self, indices: np.ndarray) -> np.ndarray:
    """`[m, d]`: rows in any order.

    Args:
      indices: `[m]` int, within `[0, n)`.
    """
    if len(self._shards) == 1:
      return _rows_of(self._shards[0], indices)
    rows = np.empty((len(indices), self.shape[1]), self.dtype)
    where = np.searchsorted(self._ends, indices, side='right')
    for i, shard in enumerate(self._shards):
      here = where == i
      rows[here] = _rows_of(
          shard, indices[here] - (self._ends[i] - len(shard)))
    return rows

  def read(self, chunk: int) -> np.ndarray:
    """`[chunk_rows, d]`: one chunk, the last one padded with zeros.

    Args:
      chunk: its number.

    Returns:
      Read-only where it lies within one file: it is then that part of the file,
      in the system's cache by now, and no copy.
    """
    start = chunk * self.chunk_rows
    stop = min(start + self.chunk_rows, len(self))
    for end, shard in zip(self._ends, self._shards):
      begin = end - len(shard)
      if begin <= start and start + self.chunk_rows <= end:
        rows = shard[start - begin:stop - begin]
        np.max(rows.view(np.uint8).reshape(-1)[::_PAGE])  # Brings it in.
        return rows
    rows = np.empty((self.chunk_rows, self.shape[1]), self.dtype)
    for end, shard in zip(self._ends, self._shards):
      begin = end - len(shard)
      low, high = max(start, begin), min(stop, end)
      if low < high:
        rows[low - start:high - start] = shard[low - begin:high - begin]
    rows[stop - start:] = 0
    return rows

  def chunks(
      self, numbers: Sequence[int] | None = None
  ) -> Iterator[np.ndarray]:
    """Chunks in order; the next is read while one is in use.

    Args:
      numbers: which; all if None.
    """
    numbers = list(range(self.num_chunks) if numbers is None else numbers)
    if not numbers:
      return
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as reader:
      coming = reader.submit(self.read, numbers[0])
      for following in numbers[1:] + [None]:
        rows = coming.result()
        if following is not None:
          coming = reader.submit(self.read, following)
        yield rows


def open_rows(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    chunk_bytes: int = 2**26,
    dtype: str | None = None,
) -> DiskRows:
  """Opens `.npy` files as one array of rows.

  Args:
    paths: one `.npy` file of `[n, d]`, or several, in order.
    chunk_bytes: size of a chunk. Two are on the device at a time, and one is
      read ahead. Chunks that lie within one file are sent from where the system
      caches the file; those across two files, and the last, are copied first.
    dtype: `bfloat16` to read files of 2-byte values as such: NumPy saves that
      type without its name.

  Returns:
    The rows.

  Raises:
    FileNotFoundError: if a file does not exist.
    ValueError: if files are not of floats `[n, d]` in C order, n and d at
      least 1, of one type and width, or a chunk cannot hold a row.
  """
  if isinstance(paths, (str, os.PathLike)):
    paths = [paths]
  if not paths:
    raise ValueError('paths is empty; at least one .npy file is needed.')
  shards = []
  for path in map(pathlib.Path, paths):
    try:
      shard = numpy_file.mapped(path)
    except FileNotFoundError:
      raise
    except Exception as error:  # NumPy raises a dozen kinds
      reason = problems.shortened(durable.reason(error))
      raise ValueError(
          f'{path} is not a .npy file of numbers: {reason}') from error
    if dtype == 'bfloat16' and shard.dtype.kind in 'Vu' and (
        shard.dtype.itemsize == 2):
      shard = shard.view(jnp.bfloat16)
    if not shard.dtype.isnative or not shard.flags.c_contiguous:
      raise ValueError(
          f'{path} holds {shard.dtype.str} in '
          f'{"C" if shard.flags.c_contiguous else "Fortran"} order; native '
          'byte order and C order are needed.')
    if shard.ndim != 2 or not shard.size or shard.dtype.name not in DTYPES:
      raise ValueError(
          f'{path} holds {shard.dtype} of shape {shard.shape}; [n, d] of '
          f'{", ".join(DTYPES)} is needed (for bfloat16 say dtype).')
    if shards and (shard.shape[1], shard.dtype) != (
        shards[0].shape[1], shards[0].dtype):
      raise ValueError(
          f'{path} holds {shard.dtype} of width {shard.shape[1]}, but the '
          f'first shard {shards[0].dtype} of width {shards[0].shape[1]}.')
    shards.append(shard)
  row_bytes = shards[0].shape[1] * shards[0].dtype.itemsize
  if chunk_bytes < row_bytes:
    raise ValueError(
        f'chunk_bytes={chunk_bytes!r} must hold a row of {row_bytes} bytes.')
  return DiskRows(shards, chunk_bytes // row_bytes)


def _rows_of(shard, indices):
  # Copies a row at a time, where an index in brackets does value by value; a
  # memory map's own method is a memory map again.
  return np.take(np.asarray(shard), indices, axis=0)
