"""Greedy facility location: every point is to have something similar."""

import jax

from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import coverage_of_points


def select_facilities(
    view: views_lib.View,
    k: int,
    key: jax.Array,
    points: int = 4096,
    costs: jax.Array | None = None,
) -> jax.Array:
  r"""k times the item that raises the similarity of all points to the set most.

  .. math::
    c_i = \arg\max_{x \in U} \sum_{r \in R} \max(0, \cos(x, r) - b_r), \qquad
    b_r = \max(0, \max_{c \in A \cup \{c_1..c_{i-1}\}} \cos(c, r))

  Args:
    view: of one modality. The similarity is the cosine whatever its metric: the
      sum needs one that is not negative.
    k: number of items.
    key: draws the points.
    points: the number of r, remaining items drawn at random; all if no more
      remain.
    costs: `[n]` float32, by which gains are divided; None where all are equal.

  Returns:
    `[k]` int32 pool indices in the order of their choice, ties to the lowest
    index, none twice; -1 where nothing remained. They are those of the plain
    greedy (`coverage_of_points`).

  References:
    Wei et al., Submodularity in Data Subset Selection and Active Learning,
    2015; Minoux 1978 (lazy greedy).
  """
  return coverage_of_points.select(
      view, k, coverage_of_points.draw(view, key, points),
      coverage_of_points.COSINE, costs=costs)
