"""Rows whose products measure what is alike within a modality."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib

_TINY = 1e-24


def by_reference(
    view: views_lib.View, rank: int | None = None
) -> views_lib.View:
  """The view with what was known before training in place of embeddings.

  Args:
    view: of one modality, in memory on one device.
    rank: rows of more values than that are given by this many of the pool's
      principal directions, which their products hardly differ by: what reads
      them again and again is the quicker for it. None: by all.

  Returns:
    A view whose `pool` and `aligned` are the reference rows; where there are
    none, the embeddings less the pool's mean, of norm 1 (0 of what equals the
    mean). Its distances are of the cosine.
  """
  if view.reference is not None:
    pool, aligned = view.reference, view.aligned_reference
  else:
    pool, aligned = _centred(view.pool, view.aligned)
  if rank is not None and rank < pool.shape[1]:
    pool, aligned = _leading(pool, aligned, rank)
  return dataclasses.replace(
      view, pool=pool, aligned=aligned, nearest=None, metric=metric_lib.COSINE)


@functools.partial(jax.jit, static_argnames='rank')
def _leading(pool, aligned, rank):
  gram = jnp.matmul(pool.T, pool, precision='highest')
  vectors = jnp.linalg.eigh(gram)[1][:, ::-1][:, :rank]
  return tuple(jnp.matmul(rows, vectors, precision='highest')
               for rows in (pool, aligned))


@jax.jit
def _centred(pool, aligned):
  pool, aligned = pool.astype(jnp.float32), aligned.astype(jnp.float32)
  mean = jnp.mean(pool, axis=0)

  def unit(rows):
    rows = rows - mean[None]
    squares = jnp.sum(jnp.square(rows), axis=1, keepdims=True)
    return rows * jax.lax.rsqrt(jnp.maximum(squares, _TINY))

  return unit(pool), unit(aligned)
