"""Cluster-Margin: uncertain items, of many clusters."""

from collections.abc import Mapping
import functools
from typing import Annotated

import jax
import jax.numpy as jnp

from mmal_jax.acquire import strategy
from mmal_jax.acquire import uncertainty as uncertainty_lib
from mmal_jax.acquire import values
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import kmeans
from mmal_jax.acquire.kernels import turns


def select(
    view: views_lib.View,
    others: Mapping[str, views_lib.View],
    k: int,
    key: jax.Array,
    *,
    ratio: values.Count = 10,
    clusters: Annotated[int | None, values.AtLeast(1)] = None,
) -> jax.Array:
  """Of the items of least margins one of each cluster, the smallest first.

  For unpaired data: the margin is between an item's two best matches in the
  other modality, and clusters are within its own. They come from k-means, in
  place of average linkage, which is quadratic in the pool.

  Args:
    view: of one modality.
    others: of the other modalities.
    k: the number of items to query.
    key: draws the seeds of k-means, and items within clusters.
    ratio: candidates by margin for every query.
    clusters: how many; as many as are queried if None.

  Returns:
    `[k]` int32 indices.

  References:
    Citovsky et al., Batch Active Learning at Scale, 2021.
  """
  candidates = uncertainty_lib.select_uncertain(
      views_lib.everything(view), view, others,
      min(len(view.remaining), ratio * k))
  return _select(view, candidates, key, k, k if clusters is None else clusters)


cluster_margin = strategy.Strategy(
    'cluster_margin', select, draws=True, one_device=True)


@functools.partial(jax.jit, static_argnames=('k', 'clusters'))
def _select(view, candidates, key, k, clusters):
  n = len(view.remaining)
  key_seeds, key_lots = jax.random.split(key)
  labels = kmeans.kmeans(
      kmeans.points(view.pool, view.metric), view.remaining, key_seeds,
      clusters).labels
  is_candidate = jnp.zeros(n, bool).at[
      jnp.where(candidates >= 0, candidates, n)].set(True, mode='drop')
  sizes = turns.sizes(labels, is_candidate, clusters)
  lots = jax.random.uniform(key_lots, (n,))
  return turns.take_in_turn(
      labels, lots, is_candidate, jnp.argsort(sizes), k)
