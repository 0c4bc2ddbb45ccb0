"""CLIP's softmax loss over the rows that count."""

import jax
import jax.numpy as jnp

from mmal_jax.learn.gradient import pairs


def softmax_loss(
    image_embeddings: jax.Array,
    text_embeddings: jax.Array,
    logit_scale: jax.Array,
    logit_bias: jax.Array,
    image_ids: jax.Array,
    text_ids: jax.Array,
    valid: jax.Array,
) -> jax.Array:
  r"""Symmetric InfoNCE: each row picks its partner, in both directions.

  .. math::
    L = -\frac{1}{2 |V|} \sum_{i \in V} \log
        \frac{\exp z_{ii}}{\sum_{j \in N_i} \exp z_{ij}} + \log
        \frac{\exp z_{ii}}{\sum_{j \in N_i} \exp z_{ji}},
    \qquad z_{ij} = e^s\, x_i \cdot y_j

  with V the valid rows and N_i those of V that share neither image nor text
  with i, and i itself. Without padding and repeated items, CLIP's loss.

  >>> x, ids = jnp.eye(2), jnp.arange(2)
  >>> valid = jnp.array([True, True])
  >>> print(f'{softmax_loss(x, x, 0., 0., ids, ids, valid):.4f}')
  0.3133

  Args:
    image_embeddings: `[b, d]` rows of norm 1.
    text_embeddings: `[b, d]`; row i belongs to image i.
    logit_scale: scalar s, the log of the scale.
    logit_bias: does not matter, as a softmax does not feel it; here so that
      this takes what `loss.sigmoid_loss` takes.
    image_ids: `[b]` int; equal images have equal numbers.
    text_ids: `[b]` int; equal texts have equal numbers.
    valid: `[b]` bool; False for rows of padding, whose values, even if not
      finite, reach neither the loss nor a gradient.

  Returns:
    Scalar float32; 0 if no row is valid.

  References:
    Radford et al., Learning Transferable Visual Models From Natural Language
    Supervision, 2021, figure 3.
  """
  del logit_bias
  keys = pairs.whole_batch(image_ids, text_ids, valid)
  x, y = (jnp.where(valid[:, None], rows, 0)
          for rows in (image_embeddings, text_embeddings))
  logits = jnp.exp(logit_scale) * x @ y.T  # [b, b]
  own = jnp.diagonal(logits)
  counts = pairs.counted(keys, keys)
  diagonal = pairs.diagonal(keys, keys)

  def direction(own, axis):
    # The gap of a row to itself is 0 by definition, not by subtraction: sure
    # rows keep exact gradients, and rows that do not count have a loss of 0.
    gaps = jnp.where(
        diagonal, 0.0, jnp.where(counts, logits - own, -jnp.inf))
    return jax.nn.logsumexp(gaps, axis=axis)

  losses = direction(own[:, None], 1) + direction(own[None, :], 0)
  return losses.sum() / (2 * jnp.maximum(valid.sum(), 1))
