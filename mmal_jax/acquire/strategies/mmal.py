"""The paper's method: modality selection, coreset, uncertainty."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import coreset
from mmal_jax.acquire import coverage
from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import uncertainty as uncertainty_lib
from mmal_jax.acquire import views as views_lib


def mmal(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    coreset_ratio: float = 2.0,
    modality: str = 'gap',
    uncertainty: uncertainty_lib.Uncertainty = uncertainty_lib.MARGIN,
) -> views_lib.Query:
  """The three stages of Zhang and Zhu, arXiv 2510.03247.

  Args:
    views: by modality.
    batch: B, the number of items to query.
    key: for a `modality` drawn at random: the method itself draws nothing.
    coreset_ratio: B_c / B, candidates of stage 2 for every query of stage 3.
    modality: the rule to choose it by (`modality.query`); another than `gap` is
      an ablation of stage 1.
    uncertainty: the score of stage 3.

  Returns:
    The query.

  Raises:
    ValueError: if `coreset_ratio` is below 1.
  """
  if coreset_ratio < 1:
    raise ValueError(f'coreset_ratio={coreset_ratio!r} must be at least 1.')
  if modality == 'gap':
    # Once for stages 1 and 2.
    views = {m: coverage.covered(view) for m, view in views.items()}

  def select(name, k):
    candidates = coreset.select_coreset(
        views[name], round(coreset_ratio * k))
    return uncertainty_lib.select_uncertain(
        candidates, views[name], views_lib.others(views, name), k, uncertainty)

  return modality_lib.query(views, batch, key, modality, select)
