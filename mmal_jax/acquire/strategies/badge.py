"""BADGE: diverse gradients of large norm, in a modality drawn at random."""

from collections.abc import Mapping
from typing import Annotated

import jax
import jax.numpy as jnp

from mmal_jax.acquire import strategy
from mmal_jax.acquire import values
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import kmeans
from mmal_jax.acquire.kernels import pseudo_alignment
from mmal_jax.acquire.kernels import seeding


def select(
    view: views_lib.View,
    others: Mapping[str, views_lib.View],
    k: int,
    key: jax.Array,
    *,
    negatives: Annotated[int, values.AtLeast(0)] = 4,
) -> jax.Array:
  r"""Seeds of k-means++ among the gradients that guessed answers would give.

  For unpaired data: an item's guessed label is its best match `y_1` among what
  remains of the other modality, and the gradient that of the sigmoid loss with
  respect to the item's embedding, of this match and of the next best as
  negatives,

  .. math::
    g = scale \, \Big(\sum_{j=2}^{1 + negatives} \sigma(z_j)\, y_j
      - \sigma(-z_1)\, y_1\Big), \qquad z_j = scale \; x \cdot y_j + bias,

  summed over the other modalities. (Rows have norm 1 under the cosine.)

  Args:
    view: of one modality.
    others: of the other modalities.
    k: the number of items to query.
    key: draws the seeds.
    negatives: how many of the next best matches to take in.

  Returns:
    `[k]` int32 indices.

  References:
    Ash et al., Deep Batch Active Learning by Diverse, Uncertain Gradient Lower
    Bounds, 2020.
  """
  embeddings = sum(
      gradients(view, other, negatives) for other in others.values())
  return seeding.spread(embeddings, view.remaining, key, k)


badge = strategy.Strategy(
    'badge', select, draws=True, one_device=True,
    needs=('logit_scale', 'logit_bias'))


def gradients(
    view: views_lib.View, other: views_lib.View, negatives: int
) -> jax.Array:
  """`[n, d]` float32 gradients of all items, by one other modality."""
  index, _ = pseudo_alignment.best_matches(view, other, 1 + negatives)
  return _gradients(view, other, index)


@jax.jit
def _gradients(view, other, index):
  x = kmeans.points(view.pool, view.metric)
  gradient = jnp.zeros_like(x)
  for j in range(index.shape[1]):
    y = kmeans.points(other.pool[index[:, j]], view.metric)
    z = view.logit_scale * jnp.sum(x * y, axis=1) + view.logit_bias
    weight = -jax.nn.sigmoid(-z) if j == 0 else jax.nn.sigmoid(z)
    weight = jnp.where(index[:, j] >= 0, weight, 0.0)
    gradient += view.logit_scale * weight[:, None] * y
  return gradient
