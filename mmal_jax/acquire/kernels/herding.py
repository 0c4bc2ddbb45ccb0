"""Uncertainty herding: cover what is uncertain, ever more closely."""

import jax
import jax.numpy as jnp

from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import coverage_of_points
from mmal_jax.acquire.kernels import max_coverage
from mmal_jax.parallel import rows as rows_lib

_LEAST_RADIUS = 1e-6  # of pools of copies


def select_herding(
    view: views_lib.View,
    k: int,
    key: jax.Array,
    uncertainty: jax.Array,
    points: int = 4096,
    costs: jax.Array | None = None,
) -> jax.Array:
  r"""k times the item that covers most uncertainty that is not covered yet.

  .. math::
    c_i = \arg\max_{x \in U} \sum_{r \in R} u_r \max(0, \kappa(x, r) -
      \max_{c \in A \cup \{c_1..c_{i-1}\}} \kappa(c, r)), \qquad
    \kappa(x, y) = e^{-(1 - \cos(x, y)) / \delta}

  The radius delta follows the budget (`max_coverage.radius`): a quantile of the
  distances at which the items asked about so far and k more can just cover the
  pool. Few answers are spread by what is typical; of many, neighbours cover
  little more than themselves, and uncertainty alone decides.

  Args:
    view: of one modality.
    k: number of items.
    key: draws the points.
    uncertainty: `[n]` float32, at least 0, u.
    points: the number of r, remaining items drawn at random; all if no more
      remain.
    costs: `[n]` float32 above 0 by which gains are divided; None where all are
      equal.

  Returns:
    `[k]` int32 pool indices in the order of their choice, ties to the lowest
    index, none twice; -1 where nothing remained.

  References:
    Bae et al., Uncertainty Herding: One Active Learning Method for All Label
    Budgets, arXiv 2412.20644.
  """
  key_radius, key_points = jax.random.split(key)
  radius = max_coverage.radius(
      view, coverage_of_points.draw(view, key_radius, points), k)
  # Of a single item there is no distance: any radius is right.
  radius = jnp.where(jnp.isfinite(radius), radius, 1.0)
  drawn = coverage_of_points.draw(view, key_points, points)
  return coverage_of_points.select(
      view, k, drawn, coverage_of_points.EXPONENTIAL,
      jnp.maximum(radius, _LEAST_RADIUS),
      weights=rows_lib.take(jnp.asarray(uncertainty), drawn), costs=costs)
