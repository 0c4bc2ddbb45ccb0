"""Uncertainty herding by Sinkhorn's plan."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import alike
from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import herding as herding_lib
from mmal_jax.acquire.strategies import plan


def herding(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'both',
    points: int = 4096,
) -> views_lib.Query:
  """Covers what is uncertain, the more closely, the more answers there are.

  For unpaired data: an item is as uncertain as the entropy of its counterpart
  by Sinkhorn's plan (`plan_scores`), the largest where there are several other
  modalities; neighbours are of its own modality.

  Args:
    views: by modality, in memory on one device. Items are alike by `reference`,
      or by the embeddings where there is none (`alike.by_reference`).
    batch: the number of items to query.
    key: draws the modality, the blocks of the plan and the points to cover.
    modality: the rule to choose it by (`modality.query`).
    points: how many items stand for the pool.

  Returns:
    The query.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one, or `points` below 1.

  References:
    Bae et al., Uncertainty Herding: One Active Learning Method for All Label
    Budgets, arXiv 2412.20644.
  """
  whole.check(views, 'herding')
  if points < 1:
    raise ValueError(f'points={points!r} must be at least 1.')
  key_modality, key_plan, key_points = jax.random.split(key, 3)
  uncertainties = plan.uncertainties(views, key_plan, plan.entropy)

  def select(name, k):
    return herding_lib.select_herding(
        alike.by_reference(views[name]), k,
        jax.random.fold_in(key_points, list(views).index(name)),
        uncertainties[name], points)

  return modality_lib.query(views, batch, key_modality, modality, select)
