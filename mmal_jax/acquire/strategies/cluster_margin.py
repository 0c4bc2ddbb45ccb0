"""Cluster-Margin: uncertain items, of many clusters."""

from collections.abc import Mapping
import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import uncertainty as uncertainty_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import kmeans
from mmal_jax.acquire.kernels import turns


def cluster_margin(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'random',
    ratio: int = 10,
    clusters: int | None = None,
) -> views_lib.Query:
  """Of the items of least margins one of each cluster, the smallest first.

  For unpaired data: the margin is between an item's two best matches in the
  other modality, and clusters are within its own. They come from k-means, in
  place of average linkage, which is quadratic in the pool.

  Args:
    views: by modality, in memory on one device.
    batch: the number of items to query.
    key: draws the modality, the seeds of k-means, and items within clusters.
    modality: the rule to choose it by (`modality.query`).
    ratio: candidates by margin for every query.
    clusters: how many; as many as are queried if None.

  Returns:
    The query.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one, or a number below 1.

  References:
    Citovsky et al., Batch Active Learning at Scale, 2021.
  """
  whole.check(views, 'cluster_margin')
  for name, value in (('ratio', ratio), ('clusters', clusters)):
    if value is not None and value < 1:
      raise ValueError(f'{name}={value!r} must be at least 1.')
  key_modality, key_items = jax.random.split(key)

  def select(name, k):
    view = views[name]
    n = len(view.remaining)
    everything = jnp.where(
        view.remaining, jnp.arange(n, dtype=jnp.int32), -1)
    candidates = uncertainty_lib.select_uncertain(
        everything, view, views_lib.others(views, name), min(n, ratio * k))
    return _select(
        view, candidates,
        jax.random.fold_in(key_items, list(views).index(name)), k,
        k if clusters is None else clusters)

  return modality_lib.query(views, batch, key_modality, modality, select)


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
