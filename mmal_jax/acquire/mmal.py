"""The paper's method: modality selection, coreset, uncertainty."""

from collections.abc import Mapping
from typing import Annotated

import jax

from mmal_jax.acquire import coreset
from mmal_jax.acquire import modality
from mmal_jax.acquire import strategy
from mmal_jax.acquire import uncertainty as uncertainty_lib
from mmal_jax.acquire import values
from mmal_jax.acquire import views as views_lib


def three_stages(
    views: Mapping[str, views_lib.View],
    select_modality: modality.Selection,
    key: None,
    *,
    coreset_ratio: Annotated[float, values.AtLeast(1)] = 2.0,
    uncertainty: uncertainty_lib.Score = 'margin',
) -> dict[str, jax.Array]:
  """The acquisition step of Zhang and Zhu, arXiv 2510.03247.

  Args:
    views: by modality.
    select_modality: stage 1. The paper's goes by the larger coverage gap, and
      calls for B items of that modality; any other rule is an ablation.
    key: None, as the method draws nothing.
    coreset_ratio: B_c / B, candidates of stage 2 for every query of stage 3.
    uncertainty: the score of stage 3; the paper's is the margin.

  Returns:
    By modality, `[k]` int32 indices of the items to ask about.
  """
  del key
  score, picks = uncertainty_lib.SCORES[uncertainty], {}
  # Stage 1, modality selection: where the aligned set covers least.
  for m, k in select_modality(views).items():
    # Stage 2, coreset: B_c candidates by greedy k-center from the aligned set.
    candidates = coreset.select_coreset(views[m], round(coreset_ratio * k))
    # Stage 3, uncertainty: the B of them whose match is least certain.
    picks[m] = uncertainty_lib.select_uncertain(
        candidates, views[m], views_lib.others(views, m), k, score)
  return picks


mmal = strategy.Strategy(
    'mmal', three_stages, rule='gap', joint=True, needs=uncertainty_lib.needs)
