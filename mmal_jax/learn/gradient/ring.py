"""The sigmoid loss over rows that are spread over devices."""

import functools

import jax
import jax.numpy as jnp

from mmal_jax.learn.gradient import chunked
from mmal_jax.learn.gradient import pairs
from mmal_jax.parallel import sharding


def sigmoid_loss(
    image_embeddings: jax.Array,
    text_embeddings: jax.Array,
    logit_scale: jax.Array,
    logit_bias: jax.Array,
    image_ids: jax.Array,
    text_ids: jax.Array,
    valid: jax.Array,
    rows: jax.sharding.NamedSharding,
    chunk: int = 1024,
) -> jax.Array:
  """`loss.sigmoid_loss`, each of p devices with b / p of the rows.

  Images stay where they are; texts go once around the ring of devices, from
  neighbour to neighbour, and a second time for the backward pass, with their
  gradients. At no time does a device hold more than `[b / p, chunk]` logits and
  the texts of one other. Differentiable in reverse mode only.

  >>> x, ids, valid = jnp.eye(8), jnp.arange(8), jnp.ones(8, bool)
  >>> rows = sharding.row_sharding(jax.devices()[:1])
  >>> print(f'{sigmoid_loss(x, x, 0., 0., ids, ids, valid, rows):.4f}')
  5.1653

  Args:
    image_embeddings: `[b, d]` rows of norm 1, cut as `rows`, like all of `[b]`.
    text_embeddings: `[b, d]`; row i belongs to image i.
    logit_scale: scalar, the log of the scale.
    logit_bias: scalar.
    image_ids: `[b]` int; equal images have equal numbers.
    text_ids: `[b]` int; equal texts have equal numbers.
    valid: `[b]` bool; False for rows of padding.
    rows: cuts rows over one axis of a mesh or several: `P('data')` or
      `P(('data', 'fsdp'))`.
    chunk: texts at a time on a device; b / p need not be a multiple of it.
      Changes the cost and not the value.

  Returns:
    Scalar float32, the same on all devices; 0 if no row is valid.

  Raises:
    TypeError: if `rows` cuts no leading axis, or `chunk` is no integer.
    ValueError: if b is no multiple of p, or `chunk` is below 1.

  References:
    Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023, section
    3.3, "Efficient chunked implementation".
  """
  chunked.check_chunk(chunk)
  _check_rows(rows, len(valid))
  scaled = jnp.exp(logit_scale) * image_embeddings
  # Wide before they travel: their gradients are summed on the way.
  texts = text_embeddings.astype(jnp.result_type(scaled, text_embeddings))
  cut = rows.spec[0]
  cut = (cut,) if isinstance(cut, str) else cut
  # In the order of the mesh, on which ppermute insists: any makes a ring.
  axes = tuple(name for name in rows.mesh.axis_names if name in cut)
  ring = (axes, sharding.num_parts(rows), chunk)
  sums = sharding.map_rows(
      functools.partial(_local, ring=ring), rows,
      (scaled, texts, image_ids, text_ids, valid),
      (jnp.asarray(logit_bias),), returns_rows=True)
  return sums.sum() / jnp.maximum(valid.sum(), 1)


def _check_rows(rows, b):
  if (not isinstance(rows, jax.sharding.NamedSharding) or not rows.spec
      or not rows.spec[0] or any(rows.spec[1:])):
    raise TypeError(
        f'rows={rows!r} must shard a leading axis alone, as '
        'sharding.row_sharding() does.')
  parts = sharding.num_parts(rows)
  if b % parts:
    raise ValueError(
        f'the batch has {b} rows; rows={rows!r} needs a multiple of {parts}.')


def _local(
    axis, scaled, text_embeddings, image_ids, text_ids, valid, bias, ring
):
  """`[1]`, the sum over this device's images and all texts."""
  first = sharding.first_row(len(valid), axis)
  keys = pairs.Keys(
      image_ids, text_ids, valid,
      first + jnp.arange(len(valid), dtype=first.dtype))
  return _ring_sum(scaled, text_embeddings, bias, keys, ring)[None]


# Not left to autodiff: a scan over the ring would keep the texts of every step,
# and so those of the whole batch on each device.
@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _ring_sum(scaled, text_embeddings, bias, keys, ring):
  axes, parts, chunk = ring

  def turn(texts, _):
    embeddings, text_keys = texts
    block = chunked.sigmoid_sum(
        scaled, embeddings, bias, keys, text_keys, chunk=chunk)
    return _pass_on(texts, axes, parts), block

  # The last step brings the texts home, which takes one more transfer than the
  # sum needs, and saves compiling the block twice.
  _, sums = jax.lax.scan(turn, (text_embeddings, keys), length=parts)
  return sums.sum()


def _forward(scaled, text_embeddings, bias, keys, ring):
  total = _ring_sum(scaled, text_embeddings, bias, keys, ring)
  return total, (scaled, text_embeddings, bias, keys)


def _backward(ring, saved, cotangent):
  scaled, text_embeddings, bias, keys = saved
  axes, parts, chunk = ring

  def turn(carry, _):
    (embeddings, text_keys, to_texts), (to_scaled, to_bias) = carry
    _, pull = jax.vjp(
        lambda *floats: chunked.sigmoid_sum(
            *floats, keys, text_keys, chunk=chunk), scaled, embeddings, bias)
    scaled_part, texts_part, bias_part = pull(cotangent)
    # Gradients travel with the texts that they are of, and end where they
    # belong after a whole turn.
    texts = _pass_on(
        (embeddings, text_keys, to_texts + texts_part), axes, parts)
    return (texts, (to_scaled + scaled_part, to_bias + bias_part)), None

  zeros = jax.tree.map(jnp.zeros_like, (scaled, text_embeddings, bias))
  (texts, mine), _ = jax.lax.scan(
      turn,
      ((text_embeddings, keys, zeros[1]), (zeros[0], zeros[2])), length=parts)
  return mine[0], texts[2], mine[1], None


_ring_sum.defvjp(_forward, _backward)


def _pass_on(texts, axes, parts):
  """To the next device, and from the one before."""
  neighbours = [(i, (i + 1) % parts) for i in range(parts)]
  return jax.tree.map(
      lambda x: jax.lax.ppermute(x, axes, neighbours), texts)
