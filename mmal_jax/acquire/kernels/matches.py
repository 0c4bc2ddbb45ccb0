r"""Best matches of candidates in a pool, without the matrix between them.

Margin, least confidence and entropy need, of each candidate's similarities to
the whole other pool, only the two largest, and the sums

.. math::
  Z = \sum_j e^{l_j - l_{max}}, \qquad
  T = \sum_j (l_j - l_{max})\, e^{l_j - l_{max}}

of logits :math:`l = scale \cdot s + bias`. All four can be kept up to date tile
by tile, and merged over tiles, chunks and devices.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import nearest as nearest_lib
from mmal_jax.acquire.kernels import streaming
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.embed import disk
from mmal_jax.parallel import sharding

_CANDIDATES = 256  # columns of a tile; always that many, as in `nearest`
# Rows of a tile for each lane, which keeps maxima of its own: only elementwise
# work per tile, which vectorises, and one reduction in the end.
_ROWS_OF_LANE = 16
_SLAB = 8192  # candidates whose rows are held at a time
_NONE = -1e30  # similarity of what is not there: finite, so that 0 * it is 0


class Matches(NamedTuple):
  """What is known of the matches of c candidates.

  Attributes:
    best: `[c]` float32, the highest similarity; -1e30 if there is none.
    second: `[c]` float32, the next; equal to `best` where two tie; -1e30 if
      fewer than two items are there.
    total: `[c]` float32, Z; None where it was not asked for.
    moment: `[c]` float32, T; None where it was not asked for.
  """

  best: jax.Array
  second: jax.Array
  total: jax.Array | None = None
  moment: jax.Array | None = None


def match(
    candidates: jax.Array,
    view: views_lib.View,
    other: views_lib.View,
    softmax: bool = False,
) -> Matches:
  """Candidates of one modality against what remains of the other.

  Args:
    candidates: `[c]` int32 indices into `view.pool`; -1 is no candidate, and
      its result means nothing.
    view: of the candidates' modality; its `metric` is used, and for `softmax`
      its `logit_scale`.
    other: of the other modality.
    softmax: whether to compute `total` and `moment` as well.

  Returns:
    Of c candidates. Memory beyond the pools does not grow with c times n. Of
    sharded pools, 8,192 candidates take an all-reduce of their rows, and an
    all-gather of what each device found (of which a compiler may make an
    all-reduce).
    Similarities come from products: they are good to some 2^-22 of what they
    are made of (1 for the cosine; the squared norms for `SQEUCLIDEAN`, which
    therefore wants pools that are not far off the origin).

  Raises:
    ValueError: if `softmax` is asked for, and the view has no `logit_scale`.
  """
  if softmax and view.logit_scale is None:
    raise views_lib.Missing('logit_scale', 'a softmax over matches')
  view, other = views_lib.located(view), views_lib.located(other)
  if isinstance(other.pool, disk.DiskRows) or isinstance(
      view.pool, disk.DiskRows):
    return _match_from_disk(candidates, view, other, softmax)
  return _match(candidates, view, other, softmax)


@functools.partial(jax.jit, static_argnames='softmax')
def _match(candidates, view, other, softmax):

  def match_slab(indices):
    rows = sharding.map_rows(
        lambda axis, pool, indices: sharding.take_rows(pool, indices, axis),
        view.rows, (view.pool,), (indices,))
    scale = view.logit_scale if softmax else None
    return match_rows(rows, other, view.metric, scale)

  c, slab = len(candidates), _SLAB
  for rows, n in ((view.rows, len(view.remaining)),
                  (other.rows, len(other.remaining))):
    if rows is not None:
      # A slab is on every device: no more of it than a device has of a pool.
      slab = min(slab, max(_CANDIDATES, n // sharding.num_parts(rows)))
  if c <= slab:
    return match_slab(candidates)
  # Slabs of equal size, so that the last is not mostly padding.
  tiles = -(-c // _CANDIDATES)
  count = -(-c // slab)
  size = -(-tiles // count) * _CANDIDATES
  slabs = jnp.pad(candidates, (0, count * size - c)).reshape(count, size)
  merged = jax.lax.map(match_slab, slabs)
  return jax.tree.map(lambda x: x.reshape(-1)[:c], merged)


def match_rows(
    rows: jax.Array,
    other: views_lib.View,
    metric: metric_lib.Metric,
    scale: jax.Array | None,
) -> Matches:
  """As `match`, for the candidates' `[c, d]` rows themselves.

  Args:
    rows: `[c, d]`, on every device.
    other: of the other modality, in memory; one collective if it is sharded.
    metric: similarity falls as its distance grows.
    scale: scalar, of the logits; None: `total` and `moment` are not needed.
  """

  def local(axis, pool, remaining, rows, scale):
    found = _local(
        rows, nearest_lib.Rows(pool, metric.norms(pool), remaining), metric,
        scale)
    parts = sharding.gather(
        jnp.stack(jax.tree.leaves(found)), axis).swapaxes(0, 1)
    return _none_found(merge(Matches(*parts), scale))

  return sharding.map_rows(
      local, other.rows, (other.pool, other.remaining), (rows, scale))


def merge(parts: Matches, scale: jax.Array | None) -> Matches:
  """One out of several, of disjoint parts of a pool.

  Args:
    parts: each field `[parts, c]`.
    scale: of the logits, if there are sums.
  """
  best = jnp.max(parts.best, axis=0)
  at = jnp.argmax(parts.best, axis=0)
  is_best = jnp.arange(len(parts.best))[:, None] == at[None, :]
  second = jnp.max(jnp.where(is_best, parts.second, parts.best), axis=0)
  if parts.total is None:
    return Matches(best, second)
  total, moment = _rescaled(parts, best[None], scale)
  return Matches(best, second, jnp.sum(total, axis=0), jnp.sum(moment, axis=0))


def _none_found(matches):
  """Of nothing at all the sums are those of one sure match."""
  if matches.total is None:
    return matches
  nothing = matches.best <= _NONE
  return matches._replace(
      total=jnp.where(nothing, 1.0, matches.total),
      moment=jnp.where(nothing, 0.0, matches.moment))


def _rescaled(matches, best, scale):
  """`total` and `moment` relative to another, higher best."""
  # exp(-100) is 0; lower, 0 times infinity would not be.
  change = jnp.maximum(scale * (matches.best - best), -100.0)
  factor = jnp.exp(change)
  return (factor * matches.total,
          factor * (matches.moment + change * matches.total))


def _local(candidates, rows, metric, scale):
  """Against one device's rows: tiles of rows by tiles of candidates."""
  c, n = len(candidates), len(rows.values)
  candidates = jnp.pad(candidates, ((0, -c % _CANDIDATES), (0, 0)))
  norms = metric.norms(candidates)
  tile = min(tile_sizes.of('nearest').rows, n)
  lanes = -(-tile // _ROWS_OF_LANE)

  def match_tile(some, some_norms):
    g, f = metric.of_y(some_norms)

    def add_tile(i, found):
      start = jnp.minimum(i * tile, n - tile)
      part = nearest_lib.Rows(
          *(jax.lax.dynamic_slice_in_dim(x, start, tile) for x in rows))
      a, b = metric.of_x(part.norms)
      # The last tile reaches back into the one before: not to count twice.
      fresh = part.remaining & (jnp.arange(tile) + start >= i * tile)
      # Of rows that don't count b is 0 and a the similarity of nothing: cheaper
      # than a choice for every pair.
      a = jnp.where(fresh, metric.similarity_at_zero - a, _NONE)
      b = jnp.where(fresh, b, 0.0)
      dots = metric_lib.dots(part.values, some)
      similarity = a[:, None] + b[:, None] * (f[None, :] * dots - g[None, :])
      similarity = jnp.pad(
          similarity, ((0, -tile % lanes), (0, 0)), constant_values=_NONE)
      return _add(found, similarity.reshape(-1, lanes, _CANDIDATES), scale)

    none = jnp.full((lanes, _CANDIDATES), _NONE)
    sums = () if scale is None else (jnp.zeros_like(none),) * 2
    found = jax.lax.fori_loop(
        0, -(-n // tile), add_tile, Matches(none, none, *sums))
    return merge(found, scale)

  found = jax.lax.map(
      lambda some: match_tile(*some),
      (candidates.reshape(-1, _CANDIDATES, candidates.shape[1]),
       norms.reshape(-1, _CANDIDATES)))
  return jax.tree.map(lambda x: x.reshape(-1)[:c], found)


def _add(lanes, similarities, scale):
  """Takes `[several, lanes, candidates]` similarities into `[lanes, ...]`."""
  best, second = lanes.best, lanes.second
  for similarity in similarities:
    second = jnp.maximum(second, jnp.minimum(best, similarity))
    best = jnp.maximum(best, similarity)
  if scale is None:
    return Matches(best, second)
  total, moment = _rescaled(lanes, best, scale)
  for similarity in similarities:
    logit = jnp.maximum(scale * (similarity - best), -100.0)
    weight = jnp.exp(logit)
    total, moment = total + weight, moment + weight * logit
  return Matches(best, second, total, moment)


def _match_from_disk(candidates, view, other, softmax):
  """Where either pool is on disk: slab by slab, chunk by chunk."""
  scale = view.logit_scale if softmax else None
  candidates = np.asarray(candidates)
  found = []
  for start in range(0, len(candidates), _SLAB):
    indices = np.maximum(candidates[start:start + _SLAB], 0)
    if isinstance(view.pool, disk.DiskRows):
      rows = jax.device_put(view.pool.take(indices))
    else:
      rows = view.pool[indices]
    found.append(_match_chunks(rows, view.metric, other, scale))
  return jax.tree.map(lambda *x: jnp.concatenate(x), *found)


def _match_chunks(rows, metric, other, scale):
  if not isinstance(other.pool, disk.DiskRows):
    return _match_rows(rows, other, metric, scale)

  def match_chunk(values, remaining):
    chunk = dataclasses.replace(
        other, pool=values, remaining=remaining, nearest=None)
    return _match_rows(rows, chunk, metric, scale)

  parts = streaming.over_chunks(
      match_chunk, other.pool,
      streaming.cut(other.pool, other.remaining, False))
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *parts)
  return _none_found(merge(stacked, scale))


_match_rows = jax.jit(match_rows, static_argnames='metric')
