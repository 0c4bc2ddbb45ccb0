"""Stage 2 alone: greedy k-center in a modality drawn at random."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import coreset as coreset_lib
from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib


def coreset(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'random',
) -> views_lib.Query:
  """Sener and Savarese 2018, on one of the unpaired pools.

  Args:
    views: by modality.
    batch: the number of items to query.
    key: draws the modality.
    modality: the rule to choose it by (`modality.query`).

  Returns:
    The query.
  """
  return modality_lib.query(
      views, batch, key, modality,
      lambda name, k: coreset_lib.select_coreset(views[name], k))
