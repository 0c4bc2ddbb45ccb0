"""The paper's method: modality selection, coreset, uncertainty."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import coreset
from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import uncertainty
from mmal_jax.acquire import views as views_lib


def mmal(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    coreset_ratio: float = 2.0,
    modality: str | None = None,
) -> views_lib.Query:
  """The three stages of Zhang and Zhu, arXiv 2510.03247.

  Args:
    views: by modality.
    batch: B, the number of items to query.
    key: unused: the method is deterministic.
    coreset_ratio: B_c / B, candidates of stage 2 for every query of stage 3.
    modality: queries this one instead of selecting (an ablation of stage 1).

  Returns:
    The query.

  Raises:
    ValueError: if `coreset_ratio` is below 1.
  """
  del key
  if coreset_ratio < 1:
    raise ValueError(f'coreset_ratio={coreset_ratio!r} must be at least 1.')
  modality = modality or modality_lib.select_modality(views)
  view = views[modality]
  candidates = coreset.select_coreset(view, round(coreset_ratio * batch))
  indices = uncertainty.select_uncertain(
      candidates, view, views[views_lib.other(modality)], batch)
  return views_lib.Query(modality, indices)
