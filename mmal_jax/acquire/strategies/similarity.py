"""A filter by similarity, as data sets are cleaned by."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import uncertainty as uncertainty_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.strategies import margin

_HIGHEST = uncertainty_lib.Uncertainty(
    lambda matches, _: matches.best, softmax=False)
_LOWEST = uncertainty_lib.Uncertainty(
    lambda matches, _: -matches.best, softmax=False)


def similarity(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'random',
    lowest: bool = False,
) -> views_lib.Query:
  """The items whose best match is the most similar: the surest of all guesses.

  For unpaired data: a CLIP score is of a pair; an item's is that of its best
  match in another modality (the highest, or the lowest, where there are
  several). It keeps data clean; what is sure already may teach little.

  Args:
    views: by modality.
    batch: the number of items to query.
    key: draws the modality.
    modality: the rule to choose it by (`modality.query`).
    lowest: the items whose best match is the least similar instead.

  Returns:
    The query.

  References:
    Hessel et al., CLIPScore, 2021; Gadre et al., DataComp, 2023, section 4.
  """
  return margin.margin(
      views, batch, key, modality=modality,
      uncertainty=_LOWEST if lowest else _HIGHEST)
