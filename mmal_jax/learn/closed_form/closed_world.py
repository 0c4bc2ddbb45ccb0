"""What remains has its counterparts among what remains: learning from that.

The heads say which remaining items resemble each other; Sinkhorn's plan makes
of it a soft matching in which nothing belongs to two. The cross-covariance
under this plan joins that of the answers, and the heads are made anew. In
random blocks of both pools that costs a time linear in the pools. Most items
have their counterpart in another block; but then the plan finds what is like
it, which teaches nearly as much.
"""

from collections.abc import Mapping, Sequence
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire.kernels import sinkhorn
from mmal_jax.embed import disk
from mmal_jax.learn.closed_form import basis as basis_lib
from mmal_jax.learn.closed_form import canonical
from mmal_jax.learn.closed_form import moments as moments_lib
from mmal_jax.parallel import sharding

BLOCK = 1024  # items of a modality in a block
MOST_BLOCKS = 64  # beyond, a sample of the pool says as much
ITERATIONS = 4  # of plan and heads
SINKHORN = 12  # iterations of a plan


class Setting(NamedTuple):
  """What is chosen by cross-validation; scalars.

  Attributes:
    penalty: lambda of `canonical.heads`.
    weight: of the closed world beside the answers, within [0, 1); 0 is without.
    temperature: of Sinkhorn's plan.
    prior: weight of the similarity before any answer, within [0, 1].
  """

  penalty: float
  weight: float = 0.0
  temperature: float = 0.05
  prior: float = 0.0


class Rows(NamedTuple):
  """Items of one modality; leading axes may be added to all.

  Attributes:
    projected: `[n, r]` float32, in the modality's basis.
    prior: `[n, d]` rows of norm 1, of which those of counterparts were alike
      before any answer; `[n, 0]` where that is not so.
    there: `[n]` bool, False for rows of padding.
  """

  projected: jax.Array
  prior: jax.Array
  there: jax.Array


def rows_of(
    basis: basis_lib.Basis, values: jax.Array, there: jax.Array, has_prior: bool
) -> Rows:
  """`Rows` of `[n, d]` values."""
  prior = (basis_lib.centred(basis, values) if has_prior
           else jnp.zeros((len(values), 0)))
  return Rows(basis_lib.project(basis, values), prior, there)


def embed(rows: Rows, head: jax.Array, prior: jax.Array | float) -> jax.Array:
  r"""Embeds rows so that similarities are those of heads and prior, mixed.

  .. math::
    e(x) = \left( \sqrt{1 - p}\, \frac{z A}{|z A|},\; \sqrt{p}\, x_0 \right)

  Args:
    rows: n of them.
    head: `[r, w]`.
    prior: p.

  Returns:
    `[n, w]` float32, or `[n, w + d]` where there is a prior.
  """
  own = jnp.matmul(rows.projected, head, precision='highest')
  own = own * jax.lax.rsqrt(
      jnp.sum(jnp.square(own), axis=-1, keepdims=True) + 1e-24)
  if not rows.prior.shape[-1]:
    return own
  return jnp.concatenate(
      [jnp.sqrt(1.0 - prior) * own, jnp.sqrt(prior) * rows.prior], axis=-1)


def sample(
    rng: np.random.Generator,
    bases: Mapping[str, basis_lib.Basis],
    values: Mapping[str, np.ndarray | jax.Array | disk.DiskRows],
    remaining: Mapping[str, np.ndarray],
    has_prior: bool = False,
    blocks: int = MOST_BLOCKS,
    block: int = BLOCK,
    layout: jax.sharding.NamedSharding | None = None,
) -> tuple[tuple[Rows, ...], Sequence[Sequence[Rows]]]:
  """Deals what remains out to blocks, of shapes that the pools' sizes decide.

  Args:
    rng: of the dealing.
    bases: by modality.
    values: by modality, `[n_m, d_m]` of the whole pools, in memory or on disk.
    remaining: by modality, `[k]` int rows of what remains.
    has_prior: whether rows are alike across modalities before any answer.
    blocks: no more than that many.
    block: no more rows of a modality in each.
    layout: deals the blocks out to these devices; None leaves all on one.

  Returns:
    The first block, of `Rows` for every modality, on one device; and all, for
    `refine` with the same layout.
  """
  count = min(blocks, -(-max(map(len, values.values())) // block))
  drawn = {}
  for m, rows in remaining.items():
    size = min(block, -(-len(values[m]) // count))
    order = rng.permutation(rows)[:count * size]
    padded = np.full(count * size, -1)
    padded[:len(order)] = order
    drawn[m] = padded.reshape(size, count).T  # all as full as the others

  def block_of(i):
    return tuple(
        rows_of(bases[m], moments_lib.take(values[m], rows[i]),
                jnp.asarray(rows[i] >= 0), has_prior)
        for m, rows in drawn.items())

  if layout is None:
    dealt = [block_of(i) for i in range(count)]
    return dealt[0], dealt
  return block_of(0), [
      _laid(bases[m], values[m], rows, has_prior, layout)
      for m, rows in drawn.items()]


def _laid(basis, values, rows, has_prior, layout) -> Rows:
  """`Rows` with one more axis, over all blocks; empty ones fill up the devices.
  """
  missing = -len(rows) % sharding.num_parts(layout)
  rows = np.pad(rows, ((0, missing), (0, 0)), constant_values=-1)
  taken = _Taken(values, rows)
  # From one device to all of them by way of the host.
  return _rows_of_blocks(
      jax.device_get(basis), sharding.shard_rows(taken, layout),
      sharding.shard_rows(rows >= 0, layout), has_prior, layout)


class _Taken:
  """`[blocks, k, d]` of an array's rows, of which only a slice is ever made."""

  def __init__(self, values, rows):
    self._values, self._rows = values, rows
    self.shape = (*rows.shape, values.shape[1])
    self.ndim = 3

  def __len__(self):
    return len(self._rows)

  def __getitem__(self, some):
    rows = np.maximum(self._rows[some], 0)
    is_on_disk = isinstance(self._values, disk.DiskRows)
    found = (self._values.take if is_on_disk else self._values.__getitem__)(
        rows.ravel())
    return np.asarray(found).reshape(*rows.shape, -1)


@functools.partial(jax.jit, static_argnames=('has_prior', 'layout'))
def _rows_of_blocks(basis, values, there, has_prior, layout):

  def local(axis, values, there, basis):
    del axis
    blocks, k = there.shape
    found = rows_of(
        basis, values.reshape(blocks * k, -1), there.reshape(-1), has_prior)
    return jax.tree.map(
        lambda x: x.reshape(blocks, k, *x.shape[1:]), found)

  return sharding.map_rows(
      local, layout, (values, there), (basis,), returns_rows=True)


def refine(
    bases: Sequence[basis_lib.Basis],
    cross: Sequence[jax.Array],
    blocks: Sequence[Sequence[Rows]],
    setting: Setting,
    share: float,
    width: int,
    iterations: int = ITERATIONS,
    rows: jax.sharding.NamedSharding | None = None,
) -> tuple[jax.Array, ...]:
  r"""Heads of the answers and of the closed world.

  .. math::
    C \leftarrow (1 - a)\, C_A + a\, \frac{|C_A|}{|C_P|}\, C_P, \qquad
    C_P = \frac{1}{n} \sum_b X_b^T P_b Y_b

  with P_b Sinkhorn's plan of block b under the heads of the C before.

  Args:
    bases: of M modalities.
    cross: of the answers, from `canonical.cross_covariances`.
    blocks: of what remains, from `sample`.
    setting: a is its `weight`.
    share: of the items that have a counterpart (`sinkhorn.plan`).
    width: of the space.
    iterations: of plans and heads.
    rows: over these devices the blocks are dealt out, whose sums are added up
      by an all-reduce of `[r_a, r_b]` in each iteration; None where they are
      on one, which works on one after the other.

  Returns:
    Heads, `[r_m, width]` each.
  """
  heads = canonical.heads(bases, cross, setting.penalty, width)
  if not setting.weight:
    return heads
  if rows is not None:
    blocks = [blocks]  # One, of an axis more.
  for _ in range(iterations):
    planned = None
    if rows is not None:
      heads = jax.device_get(heads)
    for block in blocks:
      found = _under_plan(
          tuple(block), heads, setting.temperature, setting.prior, share, rows)
      found = sharding.local(found)
      planned = found if planned is None else _added(planned, found)
    heads = canonical.heads(
        bases, _mixed(cross, planned, setting.weight), setting.penalty, width)
  return heads


@functools.partial(jax.jit, static_argnames='rows')
def _under_plan(block, heads, temperature, prior, share, rows):
  """Sums over the block of what belongs together by the plan."""
  if rows is None:
    return _of_block(block, heads, temperature, prior, share)

  def local(axis, blocks, heads):
    found = jax.lax.map(
        lambda block: _of_block(block, heads, temperature, prior, share),
        blocks)
    return jax.tree.map(lambda x: sharding.total(x.sum(0), axis), found)

  return sharding.map_rows(local, rows, (block,), (heads,))


def _of_block(block, heads, temperature, prior, share):
  embedded = [embed(rows, head, prior) for rows, head in zip(block, heads)]
  found = []
  for a, b in canonical.couples(len(block)):
    similarities = jnp.matmul(
        embedded[a], embedded[b].T, precision='highest')
    plan = sinkhorn.plan(
        similarities, temperature, SINKHORN, block[a].there.astype(float),
        block[b].there.astype(float), share)
    found.append(jnp.matmul(
        block[a].projected.T,
        jnp.matmul(plan, block[b].projected, precision='highest'),
        precision='highest'))
  return tuple(found)


@jax.jit
def _added(one, other):
  return jax.tree.map(jnp.add, one, other)


@jax.jit
def _mixed(cross, planned, weight):
  return tuple(
      (1.0 - weight) * c + weight * p * (
          jnp.linalg.norm(c) / jnp.maximum(jnp.linalg.norm(p), 1e-30))
      for c, p in zip(cross, planned))
