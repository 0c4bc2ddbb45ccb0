"""A filter by similarity, as data sets are cleaned by."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import strategy
from mmal_jax.acquire import uncertainty as uncertainty_lib
from mmal_jax.acquire import views as views_lib

_HIGHEST = uncertainty_lib.Uncertainty(
    lambda matches, _: matches.best, softmax=False)
_LOWEST = uncertainty_lib.Uncertainty(
    lambda matches, _: -matches.best, softmax=False)


def select(
    view: views_lib.View,
    others: Mapping[str, views_lib.View],
    k: int,
    key: None,
    *,
    lowest: bool = False,
) -> jax.Array:
  """The items whose best match is the most similar: the surest of all guesses.

  For unpaired data: a CLIP score is of a pair; an item's is that of its best
  match in another modality (the highest, or the lowest, where there are
  several). It keeps data clean; what is sure already may teach little.

  Args:
    view: of one modality.
    others: of the other modalities.
    k: the number of items to query.
    key: None.
    lowest: the items whose best match is the least similar instead.

  Returns:
    `[k]` int32 indices.

  References:
    Hessel et al., CLIPScore, 2021; Gadre et al., DataComp, 2023, section 4.
  """
  del key
  return uncertainty_lib.select_uncertain(
      views_lib.everything(view), view, others, k,
      _LOWEST if lowest else _HIGHEST)


similarity = strategy.Strategy('similarity', select)
