"""Stage 3 alone: the least certain in a modality drawn at random."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from mmal_jax.acquire import uncertainty as uncertainty_lib
from mmal_jax.acquire import views as views_lib


def margin(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str | None = None,
    uncertainty: uncertainty_lib.Uncertainty = uncertainty_lib.MARGIN,
) -> views_lib.Query:
  """Uncertainty sampling over all remaining items: O(n^2 d), no n x n array.

  Args:
    views: by modality.
    batch: the number of items to query.
    key: draws the modality.
    modality: always this one, instead of a random one.
    uncertainty: the score.

  Returns:
    The query.
  """
  modality = modality or views_lib.random_modality(key)
  view = views[modality]
  everything = jnp.where(
      view.remaining, jnp.arange(len(view.remaining), dtype=jnp.int32), -1)
  indices = uncertainty_lib.select_uncertain(
      everything, view, views[views_lib.other(modality)], batch,
      uncertainty)
  return views_lib.Query(modality, indices)
