"""TypiClust: typical items of what is not covered, for small budgets."""

from collections.abc import Mapping
import functools

import jax
import jax.numpy as jnp

from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import kmeans
from mmal_jax.acquire.kernels import turns
from mmal_jax.acquire.kernels import typicality


def typiclust(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'random',
    most_clusters: int = 500,
    neighbours: int = 20,
) -> views_lib.Query:
  """The most typical item of each of the largest clusters without an answer.

  (All clusters count, however small, and the number of neighbours is the same
  for all: the authors drop clusters of fewer than five items.)

  For unpaired data: one modality's remaining and aligned items are clustered on
  their own, into as many clusters as there will be aligned items.

  Args:
    views: by modality, in memory on one device.
    batch: the number of items to query.
    key: draws the modality and the seeds of k-means.
    modality: the rule to choose it by (`modality.query`).
    most_clusters: no more than that many. Where clusters without aligned items
      run out, those with the fewest follow, and then all once more.
    neighbours: that typicality is the inverse mean distance to.

  Returns:
    The query.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one, or a number below 1.

  References:
    Hacohen et al., Active Learning on a Budget: Opposite Strategies Suit High
    and Low Budgets, 2022, TPC_RP with k-means.
  """
  whole.check(views, 'typiclust')
  for name, value in (
      ('most_clusters', most_clusters), ('neighbours', neighbours)):
    if value < 1:
      raise ValueError(f'{name}={value!r} must be at least 1.')
  key_modality, key_items = jax.random.split(key)

  def select(name, k):
    view = views[name]
    return _select(
        view, jax.random.fold_in(key_items, list(views).index(name)), k,
        min(most_clusters, len(view.aligned) + k), neighbours)

  return modality_lib.query(views, batch, key_modality, modality, select)


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
