"""ProbCover: items whose balls cover most of what is not covered."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import max_coverage


def probcover(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'random',
    delta: float | None = None,
    points: int = 4096,
) -> views_lib.Query:
  """Greedy coverage of the pool by balls around what is aligned and queried.

  For unpaired data: balls are within one modality, and as there are no classes
  that they should be pure in, their radius is `max_coverage.radius`.

  Args:
    views: by modality, in memory on one device.
    batch: the number of items to query.
    key: draws the modality and the points to cover, and settles ties.
    modality: the rule to choose it by (`modality.query`).
    delta: radius of the balls, in distances of the view's metric.
    points: how many items stand for the pool.

  Returns:
    The query.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one, or `points` below 1.

  References:
    Yehuda et al., Active Learning Through a Covering Lens, 2022.
  """
  whole.check(views, 'probcover')
  if points < 1:
    raise ValueError(f'points={points!r} must be at least 1.')
  key_modality, key_items = jax.random.split(key)
  return modality_lib.query(
      views, batch, key_modality, modality,
      lambda name, k: max_coverage.select_max_coverage(
          views[name], k,
          jax.random.fold_in(key_items, list(views).index(name)), delta,
          points))
