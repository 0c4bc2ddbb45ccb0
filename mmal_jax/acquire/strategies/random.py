"""The baseline: random items of a modality drawn at random."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import modality
from mmal_jax.acquire import strategy
from mmal_jax.acquire import views as views_lib


def select(
    views: Mapping[str, views_lib.View],
    select_modality: modality.Selection,
    key: jax.Array,
) -> dict[str, jax.Array]:
  """Uniform over the remaining items, without replacement.

  Args:
    views: by modality.
    select_modality: the rule for the modality.
    key: draws the items.

  Returns:
    By modality, `[k]` int32 indices.
  """
  picks = {}
  for m, k in select_modality(views).items():
    # By the modality's place too, only where there are several to draw for.
    mine = key if select_modality.rule != 'both' else views_lib.key_of(
        key, views, m)
    view = views_lib.located(views[m])
    picks[m] = views_lib.keep_best(
        views_lib.random_values(mine, view), view.remaining, k, view.rows)
  return picks


random = strategy.Strategy(
    'random', select, joint=True, draws=True, uniform=True)
