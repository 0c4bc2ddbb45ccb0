"""Rows of a pool on disk, centred and projected whenever they are read."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire.kernels import streaming
from mmal_jax.acquire.kernels import tiles
from mmal_jax.embed import disk
from mmal_jax.parallel import rows as rows_lib

# Always that many at a time, padded: then a row is the same to the bit in a
# chunk and alone (seen on CPU).
_ROWS = 1024
_TAKEN = 8192  # rows that are read at a time where they are many


class ProjectedRows:
  """Stands for `[n, r]` rows that are nowhere as a whole.

  Attributes:
    pool: on disk, `[n, d]`.
    mean: `[d]` float32, taken off before rows are scaled to norm 1.
    vectors: `[d, r]` float32, by which they are multiplied then; None: they are
      not, and r is d.
  """

  def __init__(
      self,
      pool: disk.DiskRows,
      mean: jax.Array,
      vectors: jax.Array | None = None,
  ):
    self.pool, self.mean, self.vectors = pool, mean, vectors

  def __len__(self) -> int:
    return len(self.pool)

  @property
  def shape(self) -> tuple[int, int]:
    d = self.pool.shape[1]
    return len(self.pool), d if self.vectors is None else self.vectors.shape[1]

  def of(self, values: jax.Array) -> jax.Array:
    """`[m, r]` float32 of rows `[m, d]` as they lie on disk."""
    return _of(values, self.mean, self.vectors)

  def take(self, indices: np.ndarray) -> jax.Array:
    """`[m, r]`: rows in any order, by `[m]` int."""
    indices = np.asarray(indices)
    found = jnp.zeros((len(indices), self.shape[1]))
    # Of many, those that are read take memory beside those that are projected.
    for first in range(0, len(indices), _TAKEN):
      some = self.pool.take(indices[first:first + _TAKEN])
      found = _put(found, self.of(jax.device_put(some)), first)
    return found


def leading(pool: disk.DiskRows, rank: int | None) -> ProjectedRows:
  """The rows less their mean, of norm 1, in their principal directions.

  Args:
    pool: on disk; it is read twice.
    rank: how many directions; None, or beyond d: the rows are only centred.
  """
  n, d = pool.shape
  total = sum(streaming.over_chunks(_total, pool))  # The padding is 0.
  mean = total / n
  if rank is None or rank >= d:
    return ProjectedRows(pool, mean)
  gram = sum(streaming.over_chunks(
      lambda values, is_item: _gram(values, is_item, mean), pool,
      streaming.cut(pool, np.ones(n, bool), False)))
  return ProjectedRows(pool, mean, principal(gram, rank))


def principal(gram: jax.Array, rank: int) -> jax.Array:
  """`[d, rank]`: the leading eigenvectors of `[d, d]`."""
  return jnp.linalg.eigh(gram)[1][:, ::-1][:, :rank]


@jax.jit
def _total(values):
  return jnp.sum(values.astype(jnp.float32), axis=0)


@jax.jit
def _gram(values, is_item, mean):

  def add(found, first, fresh, values, is_item):
    del first
    rows = jnp.where((fresh & is_item)[:, None], _centred(values, mean), 0.0)
    return found + jnp.matmul(rows.T, rows, precision='highest')

  d = values.shape[1]
  return tiles.fold_tiles(
      add, jnp.zeros((d, d)), 8 * _ROWS, values, is_item)


@functools.partial(jax.jit, donate_argnums=0)
def _put(whole, part, first):
  return jax.lax.dynamic_update_slice_in_dim(whole, part, first, 0)


@jax.jit
def _of(values, mean, vectors):
  n = len(values)
  if n < _ROWS:
    values = jnp.pad(values, ((0, _ROWS - n), (0, 0)))

  def of(values):
    rows = _centred(values, mean)
    return rows if vectors is None else jnp.matmul(
        rows, vectors, precision='highest')

  return tiles.map_tiles(of, _ROWS, values)[:n]


def _centred(values, mean):
  return rows_lib.centred(values.astype(jnp.float32), mean)
