"""Which pairs of rows a contrastive loss counts, and the terms of a block."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Keys(NamedTuple):
  """What decides, of two rows, whether their pair counts.

  Attributes:
    image_ids: `[n]` int; equal images have equal numbers.
    text_ids: `[n]` int; equal texts have equal numbers.
    valid: `[n]` bool; False for rows of padding.
    numbers: `[n]` int32, the row's place in the whole batch: image i belongs to
      text i.
  """

  image_ids: jax.Array
  text_ids: jax.Array
  valid: jax.Array
  numbers: jax.Array


def whole_batch(
    image_ids: jax.Array, text_ids: jax.Array, valid: jax.Array
) -> Keys:
  """The keys of a batch that lies in one place; `[b]` each."""
  return Keys(image_ids, text_ids, valid, jnp.arange(len(valid)))


def diagonal(images: Keys, texts: Keys) -> jax.Array:
  """`[n, m]` bool, the pairs that belong together."""
  return images.numbers[:, None] == texts.numbers[None, :]


def counted(images: Keys, texts: Keys) -> jax.Array:
  """`[n, m]` bool, the valid pairs that do or do not belong together.

  Of two rows that share their image or their text nothing says that one's image
  does not belong to the other's text, so such pairs are left out.
  """
  same = ((images.image_ids[:, None] == texts.image_ids[None, :])
          | (images.text_ids[:, None] == texts.text_ids[None, :]))
  valid = images.valid[:, None] & texts.valid[None, :]
  return valid & (diagonal(images, texts) | ~same)


def sigmoid_sum(
    scaled: jax.Array,
    text_embeddings: jax.Array,
    logit_bias: jax.Array,
    images: Keys,
    texts: Keys,
) -> jax.Array:
  """The sum of the sigmoid loss's terms over one block of pairs.

  Args:
    scaled: `[n, d]` image embeddings times the scale.
    text_embeddings: `[m, d]`.
    logit_bias: scalar.
    images: keys of n rows.
    texts: keys of m rows.

  Returns:
    Scalar: the sum of -log sigmoid(± logit) over the pairs that count.
  """
  logits = scaled @ text_embeddings.T + logit_bias  # [n, m]
  terms = jax.nn.log_sigmoid(
      jnp.where(diagonal(images, texts), logits, -logits))
  return -jnp.sum(jnp.where(counted(images, texts), terms, 0.0))
