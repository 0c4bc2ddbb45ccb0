"""Images that stay in their files until they are needed."""

import collections
from collections.abc import Collection, Iterable, Iterator, Sequence
import concurrent.futures
import contextlib
import functools
import hashlib
import os
import pathlib
import time
from typing import NamedTuple, Protocol

from absl import logging
import numpy as np

from mmal_jax import progress
from mmal_jax.data.images import images as images_lib
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import downloads
from mmal_jax.files import durable

# Seconds after which an image that could not be read is tried again.
_PAUSES = (0.1, 1.0)


class Source(Protocol):
  """Where one encoded image is: a `pathlib.Path`, or what acts like one.

  `str` names it in messages.

  Attributes:
    name: short, for messages.
  """

  name: str

  def read_bytes(self) -> bytes:
    """The encoded image, read by any thread; OSError if that fails."""


class Part(NamedTuple):
  """An encoded image inside a larger file, read in place.

  Attributes:
    path: of the larger file.
    name: of the image, for messages.
    offset: of its first byte.
    size: in bytes.
  """

  path: pathlib.Path
  name: str
  offset: int
  size: int

  def __str__(self) -> str:
    return f'{self.path}:{self.name}'

  def read_bytes(self) -> bytes:
    """The encoded image; OSError if the file is gone or too short."""
    with self.path.open('rb') as file:
      # Before memory is asked for.
      if self.offset + self.size > os.fstat(file.fileno()).st_size:
        raise OSError(f'{self.path} has been cut.')
      file.seek(self.offset)
      return file.read(self.size)


class Encoded(NamedTuple):
  """An encoded image in memory; `name` is for messages."""

  name: str
  content: bytes

  def __str__(self) -> str:
    return self.name

  def read_bytes(self) -> bytes:
    """The encoded image."""
    return self.content


class ImageFiles:
  """n images as one lazy array.

  Attributes:
    paths: of the n files, or other sources.
    preprocess: what is done to each.
    shape: `(n, size, size, 3)`.
    dtype: uint8.
  """

  dtype = np.dtype(np.uint8)

  def __init__(
      self,
      paths: Iterable[str | os.PathLike[str] | Source],
      preprocess: preprocess_lib.Preprocess,
      digests: Sequence[bytes] | None = None,
  ):
    """Reads nothing yet.

    Args:
      paths: of the n files.
      preprocess: as the attribute.
      digests: the attribute, where it is known.
    """
    if digests is not None:
      self.digests = list(digests)
    self.paths = tuple(
        pathlib.Path(path) if isinstance(path, (str, os.PathLike)) else path
        for path in paths)
    self.preprocess = preprocess
    size = preprocess.size
    self.shape = (len(self.paths), size, size, 3)

  def __len__(self) -> int:
    return self.shape[0]

  @functools.cached_property
  def digests(self) -> list[bytes]:
    """SHA-256 of every file's bytes, as they are when first asked for.

    Raises:
      ValueError: if a file cannot be read, with its path.
    """
    return digests(self.paths)

  def select(self, rows: np.ndarray) -> 'ImageFiles':
    """The files at `rows`, in that order, still unread.

    Args:
      rows: `[m]` int, within `[0, n)`.

    Raises:
      IndexError: if a row is out of range.
    """
    rows = _checked(rows, len(self))
    known = self.__dict__.get('digests')  # Not to be found out for this.
    return ImageFiles(
        [self.paths[row] for row in rows], self.preprocess,
        None if known is None else [known[row] for row in rows])

  def take(self, rows: np.ndarray) -> np.ndarray:
    """Decodes the images at `rows` by several threads.

    Args:
      rows: `[m]` int, within `[0, n)`, in any order.

    Returns:
      `[m, size, size, 3]` uint8.

    Raises:
      IndexError: if a row is out of range.
      ValueError: if a file is damaged or gone, with its path, still after
        two more tries: disks elsewhere are away for a moment now and then.
    """
    with contextlib.closing(self.stream([rows])) as batches:
      return next(batches)

  def stream(
      self, batches: Iterable[np.ndarray], ahead: int = 2
  ) -> Iterator[np.ndarray]:
    """Decodes batch after batch, the next ones while one is in use.

    Closing it early (or leaving a `for` loop over it) ends its threads: images
    that are being decoded are finished, those that wait are dropped.

    Args:
      batches: `[m]` int each, as for `take`. Taken from the iterator `ahead`
        batches before they are needed, in the thread that asks for them.
      ahead: how many batches are decoded beyond the one in use; they are in
        memory. At least 1.

    Yields:
      `[m, size, size, 3]` uint8, in the order of `batches`.

    Raises:
      IndexError: if a row is out of range.
      ValueError: if `ahead` is below 1, or a file is damaged or gone: then when
        its batch's turn comes.
    """
    if ahead < 1:
      raise ValueError(f'ahead={ahead!r} must be at least 1.')
    return self._stream(batches, ahead)

  def _stream(self, batches, ahead: int) -> Iterator[np.ndarray]:
    # More than cores: while some wait for the disk, others decode.
    pool = concurrent.futures.ThreadPoolExecutor(
        (os.cpu_count() or 1) + 4, thread_name_prefix='ImageFiles')
    coming = collections.deque()
    try:
      for rows in batches:
        rows = _checked(rows, len(self))
        # Padding repeats a row, which need not be decoded again for that.
        distinct, where = np.unique(rows, return_inverse=True)
        pixels = np.empty((len(distinct), *self.shape[1:]), self.dtype)
        coming.append((pixels, where, [
            pool.submit(self._decode, row, pixels[i:i + 1])
            for i, row in enumerate(distinct)]))
        if len(coming) > ahead:
          yield _finish(*coming.popleft())
      while coming:
        yield _finish(*coming.popleft())
    finally:
      pool.shutdown(cancel_futures=True)

  def _decode(self, row: int, out: np.ndarray) -> None:
    path = self.paths[row]
    for pause in (*_PAUSES, None):
      try:
        out[0] = self.preprocess.apply(images_lib.open_rgb(content(path)))
        return
      except ValueError as e:
        if pause is None:
          raise ValueError(f'image {str(path)!r} {e}') from e
        logging.warning('image %r %s; tried again in %g s.', str(path), e,
                        pause)
      time.sleep(pause)


def content(source: Source) -> bytes | pathlib.Path:
  """What `images.decode` reads: encoded bytes, or a path where that will do.

  Raises:
    ValueError: if what is no path cannot be read, or is what a failed download
      left; not naming `source`, as `images.decode` does not.
  """
  if isinstance(source, pathlib.Path):
    return source
  found = read(source)
  wrong = downloads.wrong(str(source), found)
  if wrong is not None:
    raise ValueError(wrong)
  return found


def read(source: Source) -> bytes:
  """The encoded bytes, of no more than an image may have.

  Raises:
    ValueError: if they cannot be read, or there are more of them, found out
      before they are in memory; not naming `source`.
  """
  try:
    if isinstance(source, pathlib.Path):
      return durable.read(source, images_lib.MAX_BYTES)
    return source.read_bytes()
  except (OSError, ValueError) as e:
    raise ValueError(f'cannot be read: {durable.reason(e)}') from e


def item_ids(files: ImageFiles) -> np.ndarray:
  """Numbers images so that two have the same number iff their files are equal.

  As `schema.item_ids` does for arrays, but by SHA-256 of the files' bytes: the
  images need not be decoded, and files that are equal only after they have been
  shrunk keep their own numbers.

  Args:
    files: n images.

  Returns:
    `[n]` int32 in order of first appearance.

  Raises:
    ValueError: if a file cannot be read, with its path.
  """
  seen: dict[bytes, int] = {}
  return np.array(
      [seen.setdefault(d, len(seen)) for d in files.digests], np.int32)


def digest(source: Source) -> bytes:
  """SHA-256 of one image's encoded bytes.

  Raises:
    ValueError: if it cannot be read, with its path.
  """
  try:
    return hashlib.sha256(read(source)).digest()
  except ValueError as e:
    raise ValueError(f'image {str(source)!r} {e}') from e


def digests(sources: Collection[Source]) -> list[bytes]:
  """`digest` of n images, by several threads."""
  with concurrent.futures.ThreadPoolExecutor() as pool:
    return list(progress.steps(
        pool.map(digest, sources), len(sources), 'hashing images'))


def _finish(
    pixels: np.ndarray,
    where: np.ndarray,
    decoding: Sequence[concurrent.futures.Future],
) -> np.ndarray:
  for one in decoding:
    one.result()
  return pixels[where]


def _checked(rows: np.ndarray, n: int) -> list[int]:
  rows = np.asarray(rows)
  if rows.ndim != 1 or rows.size and rows.dtype.kind not in 'iu':
    raise TypeError(
        f'rows is {rows.dtype} of shape {rows.shape}; [m] int is needed.')
  if rows.size and not 0 <= rows.min() <= rows.max() < n:
    raise IndexError(f'rows reach from {rows.min()} to {rows.max()}, but there '
                     f'are {n} images.')
  return rows.astype(np.int64).tolist()
