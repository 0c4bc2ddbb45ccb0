"""Transductive experimental design, in all modalities at once."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import alike
from mmal_jax.acquire import modality
from mmal_jax.acquire import strategy
from mmal_jax.acquire import values
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import design as design_lib
from mmal_jax.acquire.kernels import design_streaming
from mmal_jax.acquire.kernels import projected
from mmal_jax.acquire.strategies import plan

_RANK = 256  # Of the rows: picks read all of them again and again.
_LEAST_ENTROPY = 1e-3  # nats


def select(
    views: Mapping[str, views_lib.View],
    select_modality: modality.Selection,
    key: jax.Array,
    *,
    ridge: values.Positive = 1.0,
    by_cost: bool = False,
    by_entropy: bool = False,
) -> dict[str, jax.Array]:
  """The items whose answers are most informative for a linear model.

  For unpaired data: within each modality, from its aligned items on. By itself
  the design does not see what the answers are; weighted by entropy it aims at
  the items whose counterparts the model does not know yet.

  Args:
    views: by modality. Items are alike by `reference`, or by the embeddings
      where there is none (`alike.by_reference`).
    select_modality: the rule for the modality.
    key: draws the plan's blocks.
    ridge: of the linear model.
    by_cost: whether an item has to be more informative if it costs more to ask
      about.
    by_entropy: whether each item's variance counts as much as the entropy of
      its counterpart under Sinkhorn's plan (`plan_scores`); if False, all count
      the same.

  Returns:
    By modality, `[k]` int32 indices.

  References:
    Yu, Bi and Tresp, Active Learning via Transductive Experimental Design,
    2006.
  """
  asked = select_modality(views)
  weights = dict.fromkeys(asked)
  if by_entropy:
    entropies = plan.uncertainties(views, key, plan.entropy)
    # Where nothing is uncertain, all count the same.
    weights = {m: entropies[m] + _LEAST_ENTROPY for m in asked}
    del entropies  # Of ten million items all together are much.
  picks = {}
  for m, k in asked.items():
    view = alike.by_reference(views[m], _RANK)
    given = (
        view.pool, view.remaining, view.aligned, view.aligned_mask, k, ridge,
        weights[m], view.costs if by_cost else None)
    if isinstance(view.pool, projected.ProjectedRows):
      picks[m], _ = design_streaming.select_design(*given)
    else:
      picks[m] = design_lib.select_design(*given, view.rows)
  return picks


design = strategy.Strategy(
    'design', select, rule='both', joint=True, draws=True, uses_reference=True)
