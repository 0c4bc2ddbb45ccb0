r"""Distances to acquire by, and how far each is to be trusted.

All come from one matrix product: with :math:`x \cdot y` in hand, every distance
is a line of arithmetic. But :math:`|x|^2 + |y|^2 - 2 x \cdot y` of two vectors
that nearly coincide is a small difference of large numbers and mostly rounding
error, and so is :math:`1 - x \cdot y` of unit vectors. So each metric tells
below which value a distance is in doubt, and has a second formula, by
differences, to which such pairs are put instead.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

# Distances from products below this share of |x|^2 + |y|^2 are in doubt. Their
# error is some 2^-23 of |x|^2 + |y|^2 (measured: up to 3 times that for normal
# and rectified values, 64 times for thousands of equal ones), so above it 2^-11
# of the distance or less, but for such rows.
_DOUBT = 2.0**-10
# More than that error is.
_SLACK = 2.0**-16
_TINY = 1e-30


class Metric(NamedTuple):
  r"""A distance between rows.

  .. math::
    d(x, y) = a(x) + b(x) \, (g(y) - f(y) \, x \cdot y), \qquad b > 0

  so that the nearest of many y needs one multiplication and one addition each,
  and the rest once per x.

  Attributes:
    norms: `[..., d] -> [...]` float32, what the others need to know of a row.
    of_x: `x_norms [n] -> (a [n], b [n])` float32.
    of_y: `y_norms [m] -> (g [m], f [m])` float32.
    exact: `(x [..., d], y [..., d], x_norms [...], y_norms [...]) -> [...]`,
      the same by differences; None if the above is never in doubt.
    scale: `(x_norms, y_norms) -> size of the terms that distances are made of`,
      the unit of doubt.
    similarity_at_zero: similarity = this - distance.
  """

  norms: Callable[[jax.Array], jax.Array]
  of_x: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
  of_y: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
  exact: Callable[..., jax.Array] | None
  scale: Callable[[jax.Array, jax.Array], jax.Array]
  similarity_at_zero: float

  def __repr__(self) -> str:
    """The name of one of `METRICS`: of functions there is nothing to see."""
    names = [name for name, metric in METRICS.items() if metric is self]
    return names[0].upper() if names else f'Metric at {id(self):#x}'

  def distances(
      self, dots_: jax.Array, x_norms: jax.Array, y_norms: jax.Array
  ) -> jax.Array:
    """`[n, m]` float32 from products `[n, m]` and norms `[n]`, `[m]`."""
    (a, b), (g, f) = self.of_x(x_norms), self.of_y(y_norms)
    return a[:, None] + b[:, None] * (g[None, :] - f[None, :] * dots_)

  def doubt(self, x_norms: jax.Array, y_norms: jax.Array) -> jax.Array:
    """Distances below this have to be measured by differences."""
    return _DOUBT * self.scale(x_norms, y_norms)

  def slack(self, x_norms: jax.Array, y_norms: jax.Array) -> jax.Array:
    """By how much distances from products may be wrong."""
    return _SLACK * self.scale(x_norms, y_norms)


def dots(x: jax.Array, y: jax.Array) -> jax.Array:
  """`x @ y.T`: `[n, d]`, `[m, d]` to `[n, m]` float32.

  float32 in full precision (never TF32 or bfloat16 passes); products of
  bfloat16 are exact in float32, in which they are summed.
  """
  return jnp.matmul(
      x, y.T, precision='highest', preferred_element_type=jnp.float32)


def _squares(x):
  return jnp.sum(jnp.square(x.astype(jnp.float32)), axis=-1)


def _inverse_norms(x):
  return jax.lax.rsqrt(jnp.maximum(_squares(x), _TINY))


def _exact_cosine(x, y, x_inverse, y_inverse):
  # x / |x| - y / |y|, so that it is 0, and no rounding error, where x is y.
  x, y = x.astype(jnp.float32), y.astype(jnp.float32)
  x_inverse, y_inverse = x_inverse[..., None], y_inverse[..., None]
  return 0.5 * _squares((x - y) * x_inverse + y * (x_inverse - y_inverse))


def _exact_sqeuclidean(x, y, x_squares, y_squares):
  del x_squares, y_squares
  return _squares(x.astype(jnp.float32) - y.astype(jnp.float32))


COSINE = Metric(
    _inverse_norms,
    lambda x: (jnp.ones_like(x), x), lambda y: (jnp.zeros_like(y), y),
    _exact_cosine, lambda x, y: jnp.float32(2.0), similarity_at_zero=1.0)
"""`1 - x.y / |x||y|`; a row of zeros is at distance 1 from everything."""

SQEUCLIDEAN = Metric(
    _squares,
    lambda x: (x, jnp.ones_like(x)), lambda y: (y, jnp.full_like(y, 2.0)),
    _exact_sqeuclidean, lambda x, y: x + y, similarity_at_zero=0.0)
"""`|x - y|^2`: the order, and so the picks, of the Euclidean distance."""

INNER = Metric(
    lambda x: jnp.zeros(x.shape[:-1], jnp.float32),
    lambda x: (x, jnp.ones_like(x)), lambda y: (y, jnp.ones_like(y)),
    None, lambda x, y: jnp.float32(0.0), similarity_at_zero=0.0)
"""`-x.y`. Not a metric in the strict sense; greedy k-center needs none."""

METRICS = {'cosine': COSINE, 'sqeuclidean': SQEUCLIDEAN, 'inner': INNER}
# What others call them.
SYNONYMS = {
    'cosine': ('cos', 'angular', 'cosine_similarity'),
    'sqeuclidean': ('euclidean', 'l2', 'squared_euclidean'),
    'inner': ('dot', 'ip', 'inner_product', 'dot_product')}
