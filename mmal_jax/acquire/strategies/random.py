"""The baseline: random items of a modality drawn at random."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib


def random(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'random',
) -> views_lib.Query:
  """Uniform over the remaining items, without replacement.

  Args:
    views: by modality.
    batch: the number of items to query.
    key: draws the modality and the items.
    modality: the rule to choose it by (`modality.query`).

  Returns:
    The query.
  """
  key_modality, key_items = jax.random.split(key)

  def select(name, k):
    # By the modality's place too, only where there are several to draw for.
    key = key_items if modality != 'both' else jax.random.fold_in(
        key_items, list(views).index(name))
    remaining = views[name].remaining
    lots = jax.random.uniform(key, remaining.shape)
    return views_lib.keep_best(lots, remaining, k)

  return modality_lib.query(views, batch, key_modality, modality, select)
