"""ProbCover: items whose balls cover most of what is not covered."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import strategy
from mmal_jax.acquire import values
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import max_coverage


def select(
    view: views_lib.View,
    others: Mapping[str, views_lib.View],
    k: int,
    key: jax.Array,
    *,
    delta: float | None = None,
    points: values.Count = 4096,
) -> jax.Array:
  """Greedy coverage of the pool by balls around what is aligned and queried.

  For unpaired data: balls are within one modality, and as there are no classes
  that they should be pure in, their radius is `max_coverage.radius`.

  Args:
    view: of one modality.
    others: of the other modalities, which it does not look at.
    k: the number of items to query.
    key: draws the points to cover, and settles ties.
    delta: radius of the balls, in distances of the view's metric.
    points: how many items stand for the pool.

  Returns:
    `[k]` int32 indices.

  References:
    Yehuda et al., Active Learning Through a Covering Lens, 2022.
  """
  del others
  return max_coverage.select_max_coverage(view, k, key, delta, points)


probcover = strategy.Strategy('probcover', select, draws=True)
