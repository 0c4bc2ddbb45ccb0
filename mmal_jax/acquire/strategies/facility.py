"""Facility location: the set that every item has something similar in."""

from collections.abc import Mapping

import jax

from mmal_jax.acquire import facility_location
from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole


def facility(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'random',
    reference: int = 4096,
) -> views_lib.Query:
  """Greedy facility location: coverage that counts how many are covered.

  For unpaired data: within one modality, from its aligned items on.

  Args:
    views: by modality, in memory on one device.
    batch: the number of items to query.
    key: draws the modality and the points to cover.
    modality: the rule to choose it by (`modality.query`).
    reference: how many points stand for the pool.

  Returns:
    The query.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one, or `reference` below 1.

  References:
    Wei et al., Submodularity in Data Subset Selection and Active Learning,
    2015.
  """
  whole.check(views, 'facility')
  if reference < 1:
    raise ValueError(f'reference={reference!r} must be at least 1.')
  key_modality, key_items = jax.random.split(key)
  return modality_lib.query(
      views, batch, key_modality, modality,
      lambda name, k: facility_location.select_facilities(
          views[name], k,
          jax.random.fold_in(key_items, list(views).index(name)), reference))
