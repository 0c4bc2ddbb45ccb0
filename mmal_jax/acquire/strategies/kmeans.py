"""Items nearest to the centres of as many clusters."""

from collections.abc import Mapping
import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import kmeans as kmeans_lib
from mmal_jax.acquire.kernels import turns


def kmeans(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'random',
) -> views_lib.Query:
  """Of as many clusters as items are wanted, of each the nearest to its centre.

  For unpaired data: the remaining items of one modality, whatever is aligned.

  Args:
    views: by modality, in memory on one device.
    batch: the number of items to query.
    key: draws the modality and the seeds of k-means.
    modality: the rule to choose it by (`modality.query`).

  Returns:
    The query; largest clusters first. Where clusters are empty (there are
    copies), the others name their next nearest.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one.

  References:
    Zhdanov, Diverse Mini-Batch Active Learning, 2019 (without weights).
  """
  whole.check(views, 'kmeans')
  key_modality, key_items = jax.random.split(key)
  return modality_lib.query(
      views, batch, key_modality, modality,
      lambda name, k: _select(
          views[name],
          jax.random.fold_in(key_items, list(views).index(name)), k))


@functools.partial(jax.jit, static_argnames='k')
def _select(view, key, k):
  found = kmeans_lib.kmeans(
      kmeans_lib.points(view.pool, view.metric), view.remaining, key, k)
  sizes = turns.sizes(found.labels, view.remaining, k)
  return turns.take_in_turn(
      found.labels, -found.distances, view.remaining, jnp.argsort(-sizes), k)
