"""Stage 2 alone: greedy k-center in a modality drawn at random."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import coreset as coreset_lib
from mmal_jax.acquire import strategy
from mmal_jax.acquire import views as views_lib


def select(
    view: views_lib.View,
    others: Mapping[str, views_lib.View],
    k: int,
    key: None,
) -> jax.Array:
  """Greedy k-center on one of the unpaired pools.

  Args:
    view: of one modality.
    others: of the other modalities, which it does not look at.
    k: the number of items to query.
    key: None.

  Returns:
    `[k]` int32 indices.

  References:
    Sener and Savarese, Active Learning for Convolutional Neural Networks: A
    Core-Set Approach, 2018.
  """
  del others, key
  return coreset_lib.select_coreset(view, k)


coreset = strategy.Strategy('coreset', select)
