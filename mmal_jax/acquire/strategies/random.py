"""The baseline: random items of a modality drawn at random."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import views as views_lib


def random(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
) -> views_lib.Query:
  """Uniform over the remaining items, without replacement.

  Args:
    views: by modality.
    batch: the number of items to query.
    key: draws the modality and the items.

  Returns:
    The query.
  """
  key_modality, key_items = jax.random.split(key)
  modality = views_lib.random_modality(key_modality)
  remaining = views[modality].remaining
  lots = jax.random.uniform(key_items, remaining.shape)
  return views_lib.Query(
      modality, views_lib.keep_best(lots, remaining, batch))
