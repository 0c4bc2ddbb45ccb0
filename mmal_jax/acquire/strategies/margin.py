"""Stage 3 alone: the least certain in a modality drawn at random."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import uncertainty as uncertainty_lib
from mmal_jax.acquire import views as views_lib


def margin(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'random',
    uncertainty: uncertainty_lib.Uncertainty = uncertainty_lib.MARGIN,
) -> views_lib.Query:
  """Uncertainty sampling over all remaining items: O(n^2 d), no n x n array.

  Args:
    views: by modality.
    batch: the number of items to query.
    key: draws the modality.
    modality: the rule to choose it by (`modality.query`).
    uncertainty: the score.

  Returns:
    The query.
  """
  def select(name, k):
    view = views[name]
    everything = jnp.where(
        view.remaining, jnp.arange(len(view.remaining), dtype=jnp.int32), -1)
    return uncertainty_lib.select_uncertain(
        everything, view, views_lib.others(views, name), k, uncertainty)

  return modality_lib.query(views, batch, key, modality, select)
