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

# Rows of which the product is made at a time, and its values: fewer rows cost
# it some of its rate. More values leave the cache before the exponential is
# taken, and 2^23, 32 MB, are beyond what the C library gives out again: then
# CPUs map the pages of each tile anew.
_PRODUCT_TILE, _PRODUCT_VALUES = 1024, 2**22
# Rows of which scores are made while they are in the cache.
_TILE = 64
_LANES = 16  # values of which a reduction takes one, elementwise
_TINY = 1e-30
# An iteration that changes no factor by more, relatively, is the last: the
# error of float32's sums is not far below.
_CONVERGED = 1e-6


class Scaling(NamedTuple):
  """The plan's factors: `u[:, None] * kernel * v[None]`.

  Attributes:
    kernel: `[r, c]` float32, above 0.
    u: `[r]` float32, 0 of rows that take no part.
    v: `[c]`, of columns.
    sums: `[c]`, `u @ kernel`.
  """

  kernel: jax.Array
  u: jax.Array
  v: jax.Array
  sums: jax.Array


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
  # What takes no part must not be the highest: it equals what does. It is put
  # in behind the norms: else XLA makes these a part of the product, a slow one.
  x, y = (
      jnp.where(there[:, None], some, some[:1])
      for some, there in (
          (kmeans.points(x, metric_lib.COSINE), x_there),
          (kmeans.points(y, metric_lib.COSINE), y_there)))

  def exponential(x):
    similarities = metric_lib.dots(x, y)
    # What rows are multiplied by is divided out by u: any highest will do.
    highest = jnp.max(jnp.max(similarities, axis=0))
    return jnp.exp(
        jnp.maximum((similarities - highest) / temperature, -60.0))

  kernel = tiles.map_tiles(
      exponential, min(_PRODUCT_TILE, max(1, _PRODUCT_VALUES // len(y))), x)
  a, b = (there.astype(jnp.float32) for there in (x_there, y_there))
  b = b * (jnp.sum(a) / jnp.maximum(jnp.sum(b), 1.0))

  def goes_on(state):
    i, change, *_ = state
    return (i < iterations) & (change > _CONVERGED)

  def update(state):
    i, _, before, v, _ = state
    u = a / jnp.maximum(kernel @ v, _TINY)
    sums = u @ kernel
    v = b / jnp.maximum(sums, _TINY)
    change = jnp.max(jnp.abs(u - before) / jnp.maximum(u, _TINY))
    return i + 1, change, u, v, sums

  _, _, u, v, sums = jax.lax.while_loop(goes_on, update, (
      0, jnp.float32(jnp.inf), jnp.zeros_like(a), jnp.where(b > 0, 1.0, 0.0),
      jnp.zeros_like(b)))
  return Scaling(kernel, u, v, sums)


def scores(found: Scaling) -> tuple[Scores, Scores]:
  """Of the rows, and of the columns."""
  kernel, u, v, sums = found
  r, c = kernel.shape
  size = min(_TILE, r)
  u_logs, v_logs = (jnp.log(jnp.maximum(factor, _TINY)) for factor in (u, v))

  def add_tile(i, state):
    rows, columns, moments = state
    first = jnp.minimum(i * size, r - size)
    # The last tile reaches back into the one before: not to count twice.
    fresh = jnp.arange(size) + first >= i * size
    part, its_u, its_logs = (
        jax.lax.dynamic_slice_in_dim(x, first, size)
        for x in (kernel, u, u_logs))
    some = jnp.where(fresh, its_u, 0.0)
    # One matrix for both sides, in which the other's factor is too much.
    logs = part * (jnp.log(part) + its_logs[:, None] + v_logs[None])
    of_rows = _scores(
        *_merged(_top_2(_products(part, v[None], 1)), 1), part @ v, logs @ v,
        its_u)
    rows = jax.tree.map(
        lambda whole, values: jax.lax.dynamic_update_slice_in_dim(
            whole, values, first, 0), rows, of_rows)
    columns = _top_2(_products(part, some[:, None], 0), columns)
    return rows, columns, moments + some @ logs

  lanes = jnp.zeros((-(-size // _LANES), c))
  rows, columns, moments = jax.lax.fori_loop(
      0, -(-r // size), add_tile,
      (Scores(*(jnp.zeros(r),) * 3), (lanes,) * 2, jnp.zeros(c)))
  return rows, _scores(*_merged(columns, 0), sums, moments, v)


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
  kernel, u, v, _ = found

  def mean(kernel, weights, rows):
    weighted = jnp.matmul(
        kernel, weights[:, None] * rows.astype(jnp.float32),
        precision='highest')
    return weighted / jnp.maximum(kernel @ weights, _TINY)[:, None]

  return mean(kernel, v, y_rows), mean(kernel.T, u, x_rows)


def _lanes(values, axis):
  """Equal slices along an axis, the last ones filled up by 0."""
  width = -(-values.shape[axis] // _LANES)
  padding = [(0, 0), (0, 0)]
  padding[axis] = (0, width * _LANES - values.shape[axis])
  values = jnp.pad(values, padding)
  return [jax.lax.slice_in_dim(values, i * width, (i + 1) * width, axis=axis)
          for i in range(_LANES)]


def _products(values, factors, axis):
  """Lanes of the products, each beside 0.0.

  Multiplied lane by lane they are made where they are used; as a whole they
  would be written, and read again.
  """
  return [(some * its_factors, 0.0) for some, its_factors in zip(
      _lanes(values, axis), _lanes(factors, axis))]


def _top_2(lanes, found=(0.0, 0.0)):
  """Takes values of at least 0 into the largest and the next, elementwise.

  A maximum over lanes is only elementwise work, which vectorises.

  Args:
    lanes: pairs of arrays: values, and of each what is the next behind it.
    found: `(largest, next)` so far; 0.0 of nothing.
  """
  best, second = found
  for some, its_second in lanes:
    second = jnp.maximum(
        jnp.maximum(second, its_second), jnp.minimum(best, some))
    best = jnp.maximum(best, some)
  return best, second


def _merged(found, axis):
  """The largest and the next of the whole axis."""
  while found[0].shape[axis] > 1:
    found = _top_2(zip(*(_lanes(some, axis) for some in found)))
  return tuple(jnp.squeeze(x, axis) for x in found)


def _scores(best, second, total, moment, factor):
  total_ = jnp.maximum(total, _TINY)
  # Either may be large or small, but their product is near 1.
  entropy = jnp.log(jnp.maximum(factor * total, _TINY)) - moment / total_
  return Scores(
      best / total_, (best - second) / total_,
      jnp.where(total > _TINY, jnp.maximum(entropy, 0.0), 0.0))
