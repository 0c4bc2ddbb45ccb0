"""How well the aligned set covers each item of a pool."""

import dataclasses

import jax
import jax.numpy as jnp

from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import nearest as nearest_lib
from mmal_jax.acquire.kernels import streaming
from mmal_jax.embed import disk
from mmal_jax.parallel import sharding


def covered(view: views_lib.View) -> views_lib.View:
  """The view with `nearest` computed.

  Stages 1 and 2 both need it: fill it in once, before the first. Of a sharded
  pool each device does its own rows, without a collective.

  Args:
    view: of one modality.

  Returns:
    It, or with `nearest`: `[n]` float32, +inf where nothing is aligned.
  """
  view = views_lib.located(view)
  if view.nearest is not None:
    return view
  start = jnp.full(view.remaining.shape, jnp.inf, jnp.float32)
  return with_aligned(
      dataclasses.replace(view, nearest=start), view.aligned, view.aligned_mask)


def with_aligned(
    view: views_lib.View, aligned: jax.Array, aligned_mask: jax.Array
) -> views_lib.View:
  """The view with more aligned items taken into `nearest`.

  Where a modality's embeddings are the same as a round ago (a locked tower, as
  in LiT), only the round's new pairs are left to do, instead of all.

  Args:
    view: with `nearest`.
    aligned: `[a, d]` the new ones.
    aligned_mask: `[a]` bool; False rows don't count.

  Returns:
    The view; its `aligned` are left as they were.
  """
  fold = streaming.fold if isinstance(view.pool, disk.DiskRows) else _fold
  return dataclasses.replace(view, nearest=fold(view, aligned, aligned_mask))


def carried_over(
    view: views_lib.View, before: views_lib.View
) -> views_lib.View:
  """The view with `nearest` brought along, where the embeddings are the same.

  Args:
    view: of this round.
    before: of the same modality, a round ago; its aligned rows are the first of
      the present ones.

  Returns:
    The view, with `nearest` if its metric, its pool (to the bit; on disk: the
    same object) and the size of its aligned set, padding included, are those of
    the round before.
  """
  same = (
      view.metric == before.metric
      and len(view.aligned_mask) == len(before.aligned_mask)
      and (view.pool is before.pool
           or not isinstance(view.pool, disk.DiskRows)
           and jnp.array_equal(view.pool, before.pool)))
  if not same:
    return view
  known = dataclasses.replace(view, nearest=covered(before).nearest)
  return with_aligned(
      known, view.aligned, view.aligned_mask & ~before.aligned_mask)


@jax.jit
def _fold(view, aligned, aligned_mask):

  def local(axis, pool, remaining, nearest, aligned, aligned_mask):
    del axis  # Every device has all centres: nothing to exchange.
    rows = nearest_lib.Rows(pool, view.metric.norms(pool), remaining)
    return nearest_lib.fold(rows, nearest, aligned, aligned_mask, view.metric)

  return sharding.map_rows(
      local, view.rows, (view.pool, view.remaining, view.nearest),
      (aligned, aligned_mask), returns_rows=True)
