"""Stage 2, coreset: greedy k-center from the aligned set."""

import functools

import jax

from mmal_jax.acquire import coverage
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import block as block_lib
from mmal_jax.acquire.kernels import centres
from mmal_jax.acquire.kernels import greedy
from mmal_jax.acquire.kernels import nearest as nearest_lib
from mmal_jax.acquire.kernels import streaming
from mmal_jax.embed import disk
from mmal_jax.parallel import sharding


def select_coreset(
    view: views_lib.View, k: int, candidates: int | None = None
) -> jax.Array:
  r"""Greedy k-center: k times the item farthest from all centres so far.

  .. math::
    c_i = \arg\max_{x \in U_m} \min_{c \in A_m \cup \{c_1..c_{i-1}\}} d(x, c)

  The picks of the textbook greedy, of which most products are never made: rows
  that lie near a centre wait until the farthest have come down to them (see
  `kernels.greedy` and `kernels.block`, with the proof). In floating point items
  whose distances agree to within rounding may change places. Of a sharded pool,
  each turn takes two all-gathers of a number for each device's candidates and
  one of four numbers (which a compiler may make all-reduces of), and an
  all-reduce of the rows of the best; no row leaves its device otherwise.

  Args:
    view: of one modality.
    k: number of centres to add.
    candidates: size of a block, which changes the cost and not the picks; if
      None as `block.size` advises.

  Returns:
    `[k]` int32 pool indices in the order of their choice, ties to the lowest
    index, none twice; -1 where nothing remained. Without aligned items the
    first is the lowest remaining index.

  References:
    Zhang and Zhu, arXiv 2510.03247, stage 2; Gonzalez 1985; Sener and Savarese
    2018.
  """
  return select_with_passes(view, k, candidates)[0]


def select_with_passes(
    view: views_lib.View, k: int, candidates: int | None = None
) -> tuple[jax.Array, jax.Array]:
  """`select_coreset`, and in how many turns it looked at the pool."""
  if candidates is None:
    candidates = block_lib.size(k, len(view.remaining))
  view = coverage.covered(view)
  if isinstance(view.pool, disk.DiskRows):
    return streaming.select(
        centres.rule(view.metric), view.pool, view.metric, view.remaining,
        view.nearest, centres.none(k, view.pool.shape[1], view.pool.dtype), k,
        candidates)
  return _select(view, k, candidates)


@functools.partial(jax.jit, static_argnames=('k', 'candidates'))
def _select(view, k, candidates):
  body = functools.partial(
      _local, k=k, candidates=candidates, n=len(view.remaining),
      metric=view.metric)
  return sharding.map_rows(
      body, view.rows, (view.pool, view.remaining, view.nearest))


def _local(axis, pool, remaining, nearest, k, candidates, n, metric):
  rows = nearest_lib.Rows(pool, metric.norms(pool), remaining)
  return greedy.select(
      centres.rule(metric), axis, rows, nearest,
      centres.none(k, pool.shape[1], pool.dtype), k, candidates, n)
