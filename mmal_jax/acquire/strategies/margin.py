"""Stage 3 alone: the least certain in a modality drawn at random."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import strategy
from mmal_jax.acquire import uncertainty as uncertainty_lib
from mmal_jax.acquire import views as views_lib


def select(
    view: views_lib.View,
    others: Mapping[str, views_lib.View],
    k: int,
    key: None,
    *,
    uncertainty: uncertainty_lib.Score = 'margin',
) -> jax.Array:
  """Uncertainty sampling over all remaining items: O(n^2 d), no n x n array.

  Args:
    view: of one modality.
    others: of the other modalities.
    k: the number of items to query.
    key: None.
    uncertainty: the score.

  Returns:
    `[k]` int32 indices.
  """
  del key
  return uncertainty_lib.select_uncertain(
      views_lib.everything(view), view, others, k,
      uncertainty_lib.SCORES[uncertainty])


margin = strategy.Strategy('margin', select, needs=uncertainty_lib.needs)
