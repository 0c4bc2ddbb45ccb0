"""Sigmoid contrastive loss over the rows that count."""

import jax
import jax.numpy as jnp

from mmal_jax.learn.gradient import pairs


def sigmoid_loss(
    image_embeddings: jax.Array,
    text_embeddings: jax.Array,
    logit_scale: jax.Array,
    logit_bias: jax.Array,
    image_ids: jax.Array,
    text_ids: jax.Array,
    valid: jax.Array,
) -> jax.Array:
  r"""Pairwise sigmoid loss; equal items are not pushed apart.

  .. math::
    L = -\frac{1}{|V|} \sum_{i, j \in V} w_{ij}
        \log \sigma\big(z_{ij} (e^s\, x_i \cdot y_j + b)\big)

  with z = 1 on the diagonal and -1 off it, V the valid rows, and w = 0 for an
  i ≠ j that share their image or their text (nothing says that those do not
  belong together), else 1.

  >>> x = jnp.eye(2)
  >>> ids = jnp.arange(2)
  >>> loss = sigmoid_loss(x, x, 0., 0., ids, ids, jnp.array([True, True]))
  >>> print(f'{loss:.4f}')
  1.0064

  Args:
    image_embeddings: `[b, d]` rows of norm 1.
    text_embeddings: `[b, d]`; row i belongs to image i.
    logit_scale: scalar s, the log of the scale.
    logit_bias: scalar b.
    image_ids: `[b]` int; equal images have equal numbers.
    text_ids: `[b]` int; equal texts have equal numbers.
    valid: `[b]` bool; False for rows of padding.

  Returns:
    Scalar float32; 0 if no row is valid.

  References:
    Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023, equation 1.
  """
  keys = pairs.whole_batch(image_ids, text_ids, valid)
  scaled = jnp.exp(logit_scale) * image_embeddings
  total = pairs.sigmoid_sum(scaled, text_embeddings, logit_bias, keys, keys)
  return total / jnp.maximum(valid.sum(), 1)
