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
    modality: str | None = None,
    uncertainty: uncertainty_lib.Uncertainty = uncertainty_lib.MARGIN,
) -> views_lib.Query:
  """The three stages of Zhang and Zhu, arXiv 2510.03247.

  Args:
    views: by modality.
    batch: B, the number of items to query.
    key: unused: the method is deterministic.
    coreset_ratio: B_c / B, candidates of stage 2 for every query of stage 3.
    modality: queries this one instead of selecting (an ablation of stage 1).
    uncertainty: the score of stage 3.

  Returns:
    The query.

  Raises:
    ValueError: if `coreset_ratio` is below 1.
  """
  del key
  if coreset_ratio < 1:
    raise ValueError(f'coreset_ratio={coreset_ratio!r} must be at least 1.')
  if modality is None:
    # Once for stages 1 and 2.
    views = {m: coverage.covered(view) for m, view in views.items()}
    modality = modality_lib.select_modality(views)
  view = views[modality]
  candidates = coreset.select_coreset(view, round(coreset_ratio * batch))
  indices = uncertainty_lib.select_uncertain(
      candidates, view, views[views_lib.other(modality)], batch,
      uncertainty)
  return views_lib.Query(modality, indices)
