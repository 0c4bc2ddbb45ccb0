"""TypiClust: typical items of what is not covered, for small budgets."""

from collections.abc import Mapping
import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import strategy
from mmal_jax.acquire import values
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import kmeans
from mmal_jax.acquire.kernels import turns
from mmal_jax.acquire.kernels import typicality


def select(
    view: views_lib.View,
    others: Mapping[str, views_lib.View],
    k: int,
    key: jax.Array,
    *,
    most_clusters: values.Count = 500,
    neighbours: values.Count = 20,
) -> jax.Array:
  """The most typical item of each of the largest clusters without an answer.

  (All clusters count, however small, and the number of neighbours is the same
  for all: the authors drop clusters of fewer than five items.)

  For unpaired data: one modality's remaining and aligned items are clustered on
  their own, into as many clusters as there will be aligned items.

  Args:
    view: of one modality.
    others: of the other modalities, which it does not look at.
    k: the number of items to query.
    key: draws the seeds of k-means.
    most_clusters: no more than that many. Where clusters without aligned items
      run out, those with the fewest follow, and then all once more.
    neighbours: that typicality is the inverse mean distance to.

  Returns:
    `[k]` int32 indices.

  References:
    Hacohen et al., Active Learning on a Budget: Opposite Strategies Suit High
    and Low Budgets, 2022, TPC_RP with k-means.
  """
  del others
  clusters = min(most_clusters, len(view.aligned) + k)
  return _select(view, key, k, clusters, neighbours)


typiclust = strategy.Strategy('typiclust', select, draws=True, one_device=True)


@functools.partial(jax.jit, static_argnames=('k', 'clusters', 'neighbours'))
def _select(view, key, k, clusters, neighbours):
  n = len(view.pool)
  # What is masked may be anything, NaN, too.
  aligned = jnp.where(view.aligned_mask[:, None], view.aligned, 0)
  points = kmeans.points(
      jnp.concatenate([view.pool, aligned.astype(view.pool.dtype)]),
      view.metric)
  found = kmeans.kmeans(
      points, jnp.concatenate([view.remaining, view.aligned_mask]), key,
      clusters, jnp.sum(view.aligned_mask) + k)
  labels = found.labels[:n]
  answers = turns.sizes(found.labels[n:], view.aligned_mask, clusters)
  sizes = turns.sizes(labels, view.remaining, clusters)
  typical = typicality.typicality(
      points[:n], labels, view.remaining, neighbours)
  return turns.take_in_turn(
      labels, typical, view.remaining, jnp.lexsort((-sizes, answers)), k)
