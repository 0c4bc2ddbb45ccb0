"""Stage 3 alone: the smallest margins in a modality drawn at random."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from mmal_jax.acquire import uncertainty
from mmal_jax.acquire import views as views_lib


def margin(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str | None = None,
) -> views_lib.Query:
  """Margin sampling (Scheffer et al. 2001) over all remaining items.

  Args:
    views: by modality.
    batch: the number of items to query.
    key: draws the modality.
    modality: always this one, instead of a random one.

  Returns:
    The query.
  """
  modality = modality or views_lib.random_modality(key)
  view = views[modality]
  everything = jnp.where(
      view.remaining, jnp.arange(len(view.remaining), dtype=jnp.int32), -1)
  indices = uncertainty.select_uncertain(
      everything, view, views[views_lib.other(modality)], batch)
  return views_lib.Query(modality, indices)
