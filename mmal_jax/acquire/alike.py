"""Rows whose products measure what is alike within a modality."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import projected
from mmal_jax.embed import disk
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.parallel import sharding


def by_reference(
    view: views_lib.View, rank: int | None = None
) -> views_lib.View:
  """The view with what was known before training in place of embeddings.

  Args:
    view: of one modality; its rows of padding become 0.
    rank: rows of more values than that are given by this many of the pool's
      principal directions, which their products hardly differ by: what reads
      them again and again is the quicker for it. None: by all.

  Returns:
    A view whose `pool` and `aligned` are the reference rows; where there are
    none, the embeddings less the pool's mean, of norm 1 (0 of what equals the
    mean). Its distances are of the cosine. Of a pool on disk the rows are
    `projected.ProjectedRows`.
  """
  view = views_lib.located(view)
  if view.reference is None and isinstance(view.pool, disk.DiskRows):
    pool = projected.leading(view.pool, rank)
    return dataclasses.replace(
        view, pool=pool, aligned=pool.of(jnp.asarray(view.aligned)),
        nearest=None, metric=metric_lib.COSINE)
  if view.reference is not None:
    pool, aligned = view.reference, view.aligned_reference
  else:
    pool, aligned = _centred(view.pool, view.aligned, view.rows, view.size)
  if rank is not None and rank < pool.shape[1]:
    pool, aligned = _leading(pool, aligned, rank, view.rows)
  return dataclasses.replace(
      view, pool=pool, aligned=aligned, nearest=None, metric=metric_lib.COSINE)


@functools.partial(jax.jit, static_argnames=('rank', 'rows'))
def _leading(pool, aligned, rank, rows=None):

  def gram(axis, pool):
    return sharding.total(
        jnp.matmul(pool.T, pool, precision='highest'), axis)

  def project(axis, pool, vectors):
    del axis
    return jnp.matmul(pool, vectors, precision='highest')

  vectors = projected.principal(
      sharding.map_rows(gram, rows, (pool,)), rank)
  return (sharding.map_rows(
      project, rows, (pool,), (vectors,), returns_rows=True),
          project(None, aligned, vectors))


@functools.partial(jax.jit, static_argnames=('rows', 'size'))
def _centred(pool, aligned, rows=None, size=None):
  pool, aligned = pool.astype(jnp.float32), aligned.astype(jnp.float32)
  mean = rows_lib.mean(pool, rows, size)
  return (rows_lib.centred(pool, mean, rows, size),
          rows_lib.centred(aligned, mean))
