"""Mean, covariance and norms of rows on disk, in one pass, kept beside them.

`MODALITY.statistics.npz` names what it was made of: the SHA-256 of
`MODALITY.items`, which has a checksum of every row. So it holds for as long as
the rows are the same, and is made anew where they are not.
"""

import hashlib
import io
import os
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.embed import disk
from mmal_jax.embed import to_disk
from mmal_jax.files import durable
from mmal_jax.files import numpy_file

_AT_ONCE = 2**14  # rows of a product, whose sums are exact to float32


class Statistics(NamedTuple):
  """Of n rows.

  Attributes:
    count: scalar int64, n.
    mean: `[d]` float64.
    covariance: `[d, d]` float64, mean of the outer products of rows less their
      mean. The Gram matrix is n times this plus n times that of the mean.
    norms: `[2]` float64, the least and the largest.
  """

  count: np.ndarray
  mean: np.ndarray
  covariance: np.ndarray
  norms: np.ndarray


def of_rows(rows: disk.DiskRows) -> Statistics:
  """Reads all rows once; the next are read while some are worked on.

  Args:
    rows: `[n, d]`.

  Returns:
    Sums are taken of float32 products of up to 16,384 rows, less the mean of
    the first chunk, and added up in float64.
  """
  n, d = rows.shape
  shift = np.zeros(d)
  total, second, norms = np.zeros(d), np.zeros((d, d)), []
  coming = None
  for i, chunk in enumerate(rows.chunks()):
    count = min(rows.chunk_rows, n - i * rows.chunk_rows)
    if not i:
      shift = np.mean(chunk[:min(count, _AT_ONCE)], axis=0, dtype=np.float64)
    for first in range(0, count, _AT_ONCE):
      part = _sums(
          jnp.asarray(_padded(chunk[first:min(first + _AT_ONCE, count)])),
          jnp.asarray(shift, jnp.float32), min(_AT_ONCE, count - first))
      if coming is not None:  # The device works while this is added.
        total, second = _added(total, second, norms, coming)
      coming = part
  total, second = _added(total, second, norms, coming)
  # As the device has it.
  shift, rest = shift.astype(np.float32).astype(np.float64), total / n
  return Statistics(
      np.int64(n), shift + rest, second / n - np.outer(rest, rest),
      np.array([min(least for least, _ in norms),
                max(most for _, most in norms)]))


def directions(
    statistics: Statistics, rank: int
) -> tuple[np.ndarray, np.ndarray]:
  """Principal directions: `([d, r] orthonormal, [r] variances)`, largest first.

  Args:
    statistics: of the rows.
    rank: r, at most d.
  """
  variances, vectors = np.linalg.eigh(statistics.covariance)
  return vectors[:, ::-1][:, :rank], np.maximum(variances[::-1][:rank], 0.0)


def kept(folder: str | os.PathLike[str], modality: str) -> Statistics:
  """Statistics of embedded rows: those beside them, or else made and put there.

  Args:
    folder: that `to_disk.embed_to_disk` wrote, to which this process alone
      writes now.
    modality: `image` or `text`.

  Raises:
    FileNotFoundError: if there are no such rows.
    OSError: if they cannot be read, or the disk has no room.
  """
  paths = to_disk.paths_of(folder, modality)
  path = paths.rows.with_name(f'{modality}.statistics.npz')
  made_of = np.frombuffer(
      hashlib.sha256(paths.entries.read_bytes()).digest(), np.uint8)
  found = _found(path, made_of)
  if found is not None:
    return found
  found = of_rows(disk.open_rows(paths.rows))
  content = io.BytesIO()
  np.savez(content, made_of=made_of, **found._asdict())
  durable.write(path, content.getvalue())
  return found


def _found(path: pathlib.Path, made_of: np.ndarray) -> Statistics | None:
  """What a file holds; None if it is of other rows, damaged, or not there."""
  try:
    if np.array_equal(numpy_file.read(path, 'made_of'), made_of):
      return Statistics(*(
          numpy_file.read(path, name) for name in Statistics._fields))
  except Exception:  # NumPy raises a dozen kinds.
    return None
  return None


def _padded(part):
  """Always of one shape, or a program would be compiled for each."""
  return np.pad(part, ((0, _AT_ONCE - len(part)), (0, 0)))


def _added(total, second, norms, part):
  sums, squares, least, most = jax.device_get(part)
  norms.append((float(least), float(most)))
  return total + sums, second + squares


@jax.jit
def _sums(part, shift, count):
  there = jnp.arange(len(part)) < count
  part = part.astype(jnp.float32)
  norms = jnp.linalg.norm(part, axis=1)
  part = (part - shift[None]) * there[:, None]
  return (jnp.sum(part, axis=0),
          jnp.matmul(part.T, part, precision='highest'),
          jnp.min(norms, where=there, initial=jnp.inf),
          jnp.max(norms, where=there, initial=0.0))
