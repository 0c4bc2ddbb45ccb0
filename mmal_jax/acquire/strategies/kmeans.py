"""Items nearest to the centres of as many clusters."""

from collections.abc import Mapping
import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import strategy
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import kmeans as kmeans_lib
from mmal_jax.acquire.kernels import turns


def select(
    view: views_lib.View,
    others: Mapping[str, views_lib.View],
    k: int,
    key: jax.Array,
) -> jax.Array:
  """Of as many clusters as items are wanted, of each the nearest to its centre.

  For unpaired data: the remaining items of one modality, whatever is aligned.

  Args:
    view: of one modality.
    others: of the other modalities, which it does not look at.
    k: the number of items to query.
    key: draws the seeds of k-means.

  Returns:
    `[k]` int32 indices; largest clusters first. Where clusters are empty (there
    are copies), the others name their next nearest.

  References:
    Zhdanov, Diverse Mini-Batch Active Learning, 2019 (without weights).
  """
  del others
  return _select(view, key, k)


kmeans = strategy.Strategy('kmeans', select, draws=True, one_device=True)


@functools.partial(jax.jit, static_argnames='k')
def _select(view, key, k):
  found = kmeans_lib.kmeans(
      kmeans_lib.points(view.pool, view.metric), view.remaining, key, k)
  sizes = turns.sizes(found.labels, view.remaining, k)
  return turns.take_in_turn(
      found.labels, -found.distances, view.remaining, jnp.argsort(-sizes), k)
