"""Stage 2 alone: greedy k-center in a modality drawn at random."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import coreset as coreset_lib
from mmal_jax.acquire import views as views_lib


def coreset(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str | None = None,
) -> views_lib.Query:
  """Sener and Savarese 2018, on one of two unpaired pools.

  Args:
    views: by modality.
    batch: the number of items to query.
    key: draws the modality.
    modality: always this one, instead of a random one.

  Returns:
    The query.
  """
  modality = modality or views_lib.random_modality(key)
  return views_lib.Query(
      modality, coreset_lib.select_coreset(views[modality], batch))
