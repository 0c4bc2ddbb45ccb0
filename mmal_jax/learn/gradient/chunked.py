"""The sigmoid loss in memory that grows with the batch, not its square."""

import functools
import numbers

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
    chunk: int = 1024,
) -> jax.Array:
  """`loss.sigmoid_loss`, over `chunk` texts at a time.

  Never holds more than `[b, chunk]` logits, also in the backward pass, which
  computes them a second time.

  >>> x, ids, valid = jnp.eye(3), jnp.arange(3), jnp.ones(3, bool)
  >>> print(f'{sigmoid_loss(x, x, 0., 0., ids, ids, valid, chunk=2):.4f}')
  1.6996

  Args:
    image_embeddings: `[b, d]` rows of norm 1.
    text_embeddings: `[b, d]`; row i belongs to image i.
    logit_scale: scalar, the log of the scale.
    logit_bias: scalar.
    image_ids: `[b]` int; equal images have equal numbers.
    text_ids: `[b]` int; equal texts have equal numbers.
    valid: `[b]` bool; False for rows of padding.
    chunk: texts at a time; b need not be a multiple of it. Changes the cost and
      not the value.

  Returns:
    Scalar float32; 0 if no row is valid.

  Raises:
    TypeError: if `chunk` is no integer.
    ValueError: if `chunk` is below 1.
  """
  check_chunk(chunk)
  keys = pairs.whole_batch(image_ids, text_ids, valid)
  scaled = jnp.exp(logit_scale) * image_embeddings
  total = sigmoid_sum(
      scaled, text_embeddings, logit_bias, keys, keys, chunk=chunk)
  return total / jnp.maximum(valid.sum(), 1)


def sigmoid_sum(
    scaled: jax.Array,
    text_embeddings: jax.Array,
    logit_bias: jax.Array,
    images: pairs.Keys,
    texts: pairs.Keys,
    chunk: int,
) -> jax.Array:
  """`pairs.sigmoid_sum`, over `chunk` texts at a time; arguments as there."""
  # A batch smaller than a chunk is not padded.
  size = max(min(chunk, len(text_embeddings)), 1)
  chunks = jax.tree.map(
      functools.partial(_cut, size=size), (text_embeddings, texts))

  # A scan's body can't be merged with its backward pass, so there is no need
  # to prevent that.
  @functools.partial(jax.checkpoint, prevent_cse=False)
  def add(carry, part):
    embeddings, keys = part
    return carry, pairs.sigmoid_sum(
        scaled, embeddings, logit_bias, images, keys)

  # Each chunk's sum on its own, since a running one loses digits.
  _, sums = jax.lax.scan(add, None, chunks)
  return sums.sum()


def check_chunk(chunk: int) -> None:
  """Refuses what is no number of rows."""
  if isinstance(chunk, bool) or not isinstance(chunk, numbers.Integral):
    raise TypeError(f'chunk={chunk!r} must be an integer.')
  if chunk < 1:
    raise ValueError(f'chunk={chunk!r} must be at least 1.')


def _cut(x, size):
  """`[m, ...]` to `[chunks, size, ...]`, padded with 0: rows not valid."""
  chunks = -(-len(x) // size)
  widths = [(0, chunks * size - len(x))] + [(0, 0)] * (x.ndim - 1)
  return jnp.pad(x, widths).reshape((chunks, size) + x.shape[1:])
