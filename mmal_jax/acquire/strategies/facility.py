"""Facility location: the set that every item has something similar in."""

from collections.abc import Mapping
import dataclasses

import jax

from mmal_jax.acquire import strategy
from mmal_jax.acquire import values
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import facility_location


def select(
    view: views_lib.View,
    others: Mapping[str, views_lib.View],
    k: int,
    key: jax.Array,
    *,
    by_reference: bool = False,
    by_cost: bool = False,
    points: values.Count = 4096,
) -> jax.Array:
  """Greedy facility location: coverage that counts how many are covered.

  For unpaired data: within one modality, from its aligned items on.

  Args:
    view: of one modality.
    others: of the other modalities, which it does not look at.
    k: the number of items to query.
    key: draws the points to cover.
    by_reference: whether items are alike by the views' `reference` rows, where
      these are known, instead of by the present embeddings.
    by_cost: whether an item has to gain more if it costs more to ask about.
    points: how many items stand for the pool.

  Returns:
    `[k]` int32 indices.

  References:
    Wei et al., Submodularity in Data Subset Selection and Active Learning,
    2015.
  """
  del others
  if by_reference and view.reference is not None:
    view = dataclasses.replace(
        view, pool=view.reference, aligned=view.aligned_reference, nearest=None)
  return facility_location.select_facilities(
      view, k, key, points, view.costs if by_cost else None)


facility = strategy.Strategy(
    'facility', select, draws=True,
    uses_reference=lambda given: given['by_reference'])
