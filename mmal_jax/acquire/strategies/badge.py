"""BADGE: diverse gradients of large norm, in a modality drawn at random."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import kmeans
from mmal_jax.acquire.kernels import pseudo_alignment
from mmal_jax.acquire.kernels import seeding


def badge(
    views: Mapping[str, views_lib.View],
    batch: int,
    key: jax.Array,
    *,
    modality: str = 'random',
    negatives: int = 4,
) -> views_lib.Query:
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
    views: by modality, in memory on one device, with `logit_scale` and
      `logit_bias`.
    batch: the number of items to query.
    key: draws the modality and the seeds.
    modality: the rule to choose it by (`modality.query`).
    negatives: how many of the next best matches to take in.

  Returns:
    The query.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for a sharded one, `negatives` below 0, or views that do not
      tell scale and bias.

  References:
    Ash et al., Deep Batch Active Learning by Diverse, Uncertain Gradient Lower
    Bounds, 2020.
  """
  whole.check(views, 'badge')
  if negatives < 0:
    raise ValueError(f'negatives={negatives!r} must be at least 0.')
  for view in views.values():
    for name in ('logit_scale', 'logit_bias'):
      if getattr(view, name) is None:
        raise views_lib.Missing(name, 'badge')
  key_modality, key_items = jax.random.split(key)

  def select(name, k):
    embeddings = sum(
        gradients(views[name], other, negatives)
        for other in views_lib.others(views, name).values())
    return seeding.spread(
        embeddings, views[name].remaining,
        jax.random.fold_in(key_items, list(views).index(name)), k)

  return modality_lib.query(views, batch, key_modality, modality, select)


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
