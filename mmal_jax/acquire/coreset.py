"""Stage 2, coreset: greedy k-center from the aligned set."""

import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import coverage
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import block as block_lib
from mmal_jax.acquire.kernels import nearest as nearest_lib
from mmal_jax.acquire.kernels import streaming
from mmal_jax.embed import disk
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.parallel import sharding


def select_coreset(
    view: views_lib.View, k: int, candidates: int | None = None
) -> jax.Array:
  r"""Greedy k-center: k times the item farthest from all centres so far.

  .. math::
    c_i = \arg\max_{x \in U_m} \min_{c \in A_m \cup \{c_1..c_{i-1}\}} d(x, c)

  The picks of the textbook greedy, in far fewer reads of the pool than k (see
  `block`, with the proof). In floating point, items whose distances agree to
  within rounding may change places. Of a sharded pool, each block takes two
  all-gathers of a number for each device's candidates (which a compiler may
  make all-reduces of), and an all-reduce of the rows of the best; no row leaves
  its device otherwise.

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
  """`select_coreset`, and how many times it read the pool for its picks."""
  if candidates is None:
    candidates = block_lib.size(k, len(view.remaining))
  view = coverage.covered(view)
  if isinstance(view.pool, disk.DiskRows):
    return streaming.select_coreset(view, k, candidates)
  return _select(view, k, candidates)


@functools.partial(jax.jit, static_argnames=('k', 'candidates'))
def _select(view, k, candidates):
  body = functools.partial(
      _local, k=k, candidates=candidates, n=len(view.remaining),
      metric=view.metric)
  return sharding.map_rows(
      body, view.rows, (view.pool, view.remaining, view.nearest))


def _local(axis, pool, remaining, nearest, k, candidates, n, metric):
  """The whole greedy on one device's rows; three collectives a block."""
  norms = metric.norms(pool)

  def add_block(carry):
    nearest, remaining, picks, done, passes, _ = carry
    offered = _offer(pool, nearest, remaining, candidates, n, axis)
    chosen, count = block_lib.pick(offered, k - done, metric)
    is_pick = jnp.arange(len(chosen)) < count
    picked = jnp.where(is_pick, offered.indices[chosen], n)
    # Beyond the k-th place and beyond this device's rows writes are dropped.
    places = jnp.where(is_pick, done + jnp.arange(len(chosen)), k)
    picks = picks.at[places].set(picked, mode='drop')
    here = picked - sharding.first_row(len(pool), axis)
    here = jnp.where(here < 0, len(pool), here)
    remaining = remaining.at[here].set(False, mode='drop')
    rows = nearest_lib.Rows(pool, norms, remaining)
    nearest = jax.lax.cond(
        done + count < k,
        lambda: nearest_lib.fold(
            rows, nearest, offered.values[chosen], is_pick, metric),
        lambda: nearest)
    return nearest, remaining, picks, done + count, passes + 1, count > 0

  def goes_on(carry):
    return (carry[3] < k) & carry[5]

  zero = jnp.zeros((), jnp.int32)
  carry = jax.lax.while_loop(goes_on, add_block, (
      nearest, remaining, jnp.full((k,), -1, jnp.int32), zero, zero, k > 0))
  return carry[2], carry[4]


def _offer(pool, nearest, remaining, candidates, n, axis):
  """The rows of the largest distances, of all devices."""
  allowed = jnp.where(remaining, nearest, -jnp.inf)
  values, indices = rows_lib.top_k(allowed, min(candidates, n), axis)
  by_index, values, bound = block_lib.order(values, indices, n)
  indices = indices[by_index]
  return block_lib.Candidates(
      sharding.take_rows(pool, indices, axis), values, indices, bound)
