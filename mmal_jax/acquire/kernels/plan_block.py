r"""What Sinkhorn's plan says of every row of a block, without the plan.

With :math:`w_{ij} = K_{ij} v_j` the chances of row i are
:math:`w_{ij} / W_i`, :math:`W_i = \sum_j w_{ij}`. Their largest two need no
plan, and their entropy is

.. math::
  H_i = \log u_i W_i - \frac{1}{W_i} \sum_j v_j L_{ij}, \qquad
  L_{ij} = K_{ij} \log (u_i K_{ij} v_j)

and so it is for columns, with the same L. One matrix of the block's size is
held: the scores are made of it tile by tile.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import kmeans
from mmal_jax.acquire.kernels import tiles

# Rows of which the product is made at a time: fewer cost it some of its rate,
# more leave the cache before the exponential is taken (on CPU, by CPU time).
_PRODUCT_TILE = 1024
# Rows of which scores are made while they are in the cache.
_TILE = 32
_LANES = 16  # values of which a reduction takes one, elementwise
_TINY = 1e-30
_NOTHING = (0.0, 0.0)
# An iteration that changes no factor by more, relatively, is the last: the
# error of float32's sums is not far below.
_CONVERGED = 1e-6


class Scaling(NamedTuple):
  """The plan's factors: `u[:, None] * kernel * v[None]`.

  Attributes:
    kernel: `[r, c]` float32, above 0.
    u: `[r]` float32, 0 of rows that take no part.
    v: `[c]`, of columns.
  """

  kernel: jax.Array
  u: jax.Array
  v: jax.Array


class Scores(NamedTuple):
  """Of every item of one modality; of what does not remain 0.

  Attributes:
    confidence: `[n]` float32 within [0, 1], the largest probability.
    margin: `[n]` within [0, 1], by how much it is above the second largest.
    entropy: `[n]` at least 0, in nats.
  """

  confidence: jax.Array
  margin: jax.Array
  entropy: jax.Array


def scaling(
    x: jax.Array,
    y: jax.Array,
    x_there: jax.Array,
    y_there: jax.Array,
    temperature: jax.Array | float,
    iterations: int,
) -> Scaling:
  """The factors of `sinkhorn.plan` of the cosines.

  Args:
    x: `[r, d]`.
    y: `[c, d]`.
    x_there: `[r]` bool, which rows take part; the first does if any.
    y_there: `[c]` bool, of y.
    temperature: above 0.
    iterations: most updates of u and of v; fewer where they have converged.
  """
  # What takes no part must not be the highest: it equals what does.
  x, y = (
      kmeans.points(
          jnp.where(there[:, None], some, some[:1]), metric_lib.COSINE)
      for some, there in ((x, x_there), (y, y_there)))

  def exponential(x):
    similarities = metric_lib.dots(x, y)
    # What rows are multiplied by is divided out by u: any highest will do.
    highest = jnp.max(jnp.max(similarities, axis=0))
    return jnp.exp(
        jnp.maximum((similarities - highest) / temperature, -60.0))

  kernel = tiles.map_tiles(exponential, _PRODUCT_TILE, x)
  a, b = (there.astype(jnp.float32) for there in (x_there, y_there))
  b = b * (jnp.sum(a) / jnp.maximum(jnp.sum(b), 1.0))

  def goes_on(state):
    i, change, _, _ = state
    return (i < iterations) & (change > _CONVERGED)

  def update(state):
    i, _, before, v = state
    u = a / jnp.maximum(kernel @ v, _TINY)
    v = b / jnp.maximum(u @ kernel, _TINY)
    change = jnp.max(jnp.abs(u - before) / jnp.maximum(u, _TINY))
    return i + 1, change, u, v

  _, _, u, v = jax.lax.while_loop(goes_on, update, (
      0, jnp.float32(jnp.inf), jnp.zeros_like(a), jnp.where(b > 0, 1.0, 0.0)))
  return Scaling(kernel, u, v)


def scores(found: Scaling) -> tuple[Scores, Scores]:
  """Of the rows, and of the columns."""
  kernel, u, v = found
  r, c = kernel.shape
  size = min(_TILE, r)
  u_logs, v_logs = (jnp.log(jnp.maximum(factor, _TINY)) for factor in (u, v))

  def add_tile(i, state):
    rows, columns, sums = state
    first = jnp.minimum(i * size, r - size)
    # The last tile reaches back into the one before: not to count twice.
    fresh = jnp.arange(size) + first >= i * size
    part = jax.lax.dynamic_slice_in_dim(kernel, first, size)
    some = jnp.where(fresh, jax.lax.dynamic_slice_in_dim(u, first, size), 0.0)
    its_logs = jax.lax.dynamic_slice_in_dim(u_logs, first, size)
    # One matrix for both sides, in which the other's factor is too much.
    logs = part * (jnp.log(part) + its_logs[:, None] + v_logs[None])
    of_rows = _scores(
        *_merged(_top_2(part * v[None], _NOTHING, 1), 1), part @ v, logs @ v,
        jax.lax.dynamic_slice_in_dim(u, first, size))
    rows = jax.tree.map(
        lambda whole, values: jax.lax.dynamic_update_slice_in_dim(
            whole, values, first, 0), rows, of_rows)
    columns = _top_2(some[:, None] * part, columns, 0)
    return rows, columns, (sums[0] + some @ part, sums[1] + some @ logs)

  lanes = jnp.zeros((-(-size // _LANES), c))
  rows, columns, sums = jax.lax.fori_loop(
      0, -(-r // size), add_tile,
      (Scores(*(jnp.zeros(r),) * 3), (lanes,) * 2, (jnp.zeros(c),) * 2))
  return rows, _scores(*_merged(columns, 0), *sums, v)


def expected(
    found: Scaling, x_rows: jax.Array, y_rows: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The mean of the other side's rows under each one's chances.

  Args:
    found: the plan.
    x_rows: `[r, s]`.
    y_rows: `[c, t]`.

  Returns:
    `([r, t], [c, s])` float32.
  """
  kernel, u, v = found

  def mean(kernel, weights, rows):
    weighted = jnp.matmul(
        kernel, weights[:, None] * rows.astype(jnp.float32),
        precision='highest')
    return weighted / jnp.maximum(kernel @ weights, _TINY)[:, None]

  return mean(kernel, v, y_rows), mean(kernel.T, u, x_rows)


def _top_2(values, found, axis, seconds=0.0):
  """Takes values of at least 0 into lanes of the largest and the next.

  A maximum of each lane is only elementwise work, which vectorises.

  Args:
    values: `[p, q]`.
    found: `(largest, next)` of each lane so far; 0.0 of nothing.
    axis: that is cut into lanes, each a strided slice.
    seconds: `[p, q]`, where a value is itself the largest of some: the next.
  """
  best, second = found
  lanes = -(-values.shape[axis] // _LANES)
  padding = [(0, 0), (0, 0)]
  padding[axis] = (0, lanes * _LANES - values.shape[axis])
  values, seconds = (jnp.pad(some, padding) for some in (
      values, jnp.broadcast_to(seconds, values.shape)))
  for i in range(_LANES):
    some, its_second = (
        jax.lax.slice_in_dim(x, i * lanes, (i + 1) * lanes, axis=axis)
        for x in (values, seconds))
    second = jnp.maximum(
        jnp.maximum(second, its_second), jnp.minimum(best, some))
    best = jnp.maximum(best, some)
  return best, second


def _merged(found, axis):
  """The largest and the next of all lanes."""
  while found[0].shape[axis] > 1:
    found = _top_2(found[0], _NOTHING, axis, found[1])
  return tuple(jnp.squeeze(x, axis) for x in found)


def _scores(best, second, total, moment, factor):
  total_ = jnp.maximum(total, _TINY)
  # Either may be large or small, but their product is near 1.
  entropy = jnp.log(jnp.maximum(factor * total, _TINY)) - moment / total_
  return Scores(
      best / total_, (best - second) / total_,
      jnp.where(total > _TINY, jnp.maximum(entropy, 0.0), 0.0))
