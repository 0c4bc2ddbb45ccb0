"""Uncertainty herding by Sinkhorn's plan."""

from collections.abc import Mapping
import dataclasses

import jax

from mmal_jax.acquire import alike
from mmal_jax.acquire import modality
from mmal_jax.acquire import strategy
from mmal_jax.acquire import values
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import herding as herding_lib
from mmal_jax.acquire.strategies import plan


def select(
    views: Mapping[str, views_lib.View],
    select_modality: modality.Selection,
    key: None,
    *,
    points: values.Count = 4096,
) -> dict[str, jax.Array]:
  """Covers what is uncertain, the more closely, the more answers there are.

  For unpaired data: an item is as uncertain as the entropy of its counterpart
  by Sinkhorn's plan (`plan_scores`), the largest where there are several other
  modalities; neighbours are of its own modality.

  Args:
    views: by modality. Items are alike by `reference`, or by the embeddings
      where there is none (`alike.by_reference`).
    select_modality: the rule for the modality; its key draws the blocks of the
      plan and the points to cover, too.
    key: None.
    points: how many items stand for the pool.

  Returns:
    By modality, `[k]` int32 indices.

  References:
    Bae et al., Uncertainty Herding: One Active Learning Method for All Label
    Budgets, arXiv 2412.20644.
  """
  del key
  # In three, where a strategy that `draws` gets one of two.
  key_rule, key_plan, key_points = jax.random.split(select_modality.key, 3)
  select_modality = dataclasses.replace(select_modality, key=key_rule)
  uncertainties = plan.uncertainties(views, key_plan, plan.entropy)
  return {
      m: herding_lib.select_herding(
          alike.by_reference(views[m]), k,
          views_lib.key_of(key_points, views, m), uncertainties[m], points)
      for m, k in select_modality(views).items()}


herding = strategy.Strategy(
    'herding', select, rule='both', joint=True, uses_reference=True)
