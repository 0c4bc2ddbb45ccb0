"""Facility location: the set that every item has something similar in."""

from collections.abc import Mapping
import dataclasses

import jax

from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import facility_location


def facility(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'random',
    by_reference: bool = False,
    by_cost: bool = False,
    points: int = 4096,
) -> views_lib.Query:
  """Greedy facility location: coverage that counts how many are covered.

  For unpaired data: within one modality, from its aligned items on.

  Args:
    views: by modality, in memory on one device.
    batch: the number of items to query.
    key: draws the modality and the points to cover.
    modality: the rule to choose it by (`modality.query`).
    by_reference: whether items are alike by the views' `reference` rows, where
      these are known, instead of by the present embeddings.
    by_cost: whether an item has to gain more if it costs more to ask about.
    points: how many items stand for the pool.

  Returns:
    The query.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one, or `points` below 1.

  References:
    Wei et al., Submodularity in Data Subset Selection and Active Learning,
    2015.
  """
  whole.check(views, 'facility')
  if points < 1:
    raise ValueError(f'points={points!r} must be at least 1.')
  key_modality, key_items = jax.random.split(key)

  def select(name, k):
    view = views[name]
    if by_reference and view.reference is not None:
      view = dataclasses.replace(
          view, pool=view.reference, aligned=view.aligned_reference,
          nearest=None)
    key = jax.random.fold_in(key_items, list(views).index(name))
    return facility_location.select_facilities(
        view, k, key, points, view.costs if by_cost else None)

  return modality_lib.query(views, batch, key_modality, modality, select)
