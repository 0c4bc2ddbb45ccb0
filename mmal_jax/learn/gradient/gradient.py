"""Loss and gradient of a whole batch, at once or part by part.

A contrastive loss looks at all pairs of a batch, so that the gradients of its
parts do not add up to its own. The embeddings of all parts come first, then
the loss's gradient in them, and with it each part once more.
"""

from collections.abc import Mapping
from typing import NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp

from mmal_jax.learn.gradient import freeze
from mmal_jax.learn.gradient import pairwise
from mmal_jax.learn.gradient import twins as twins_lib
from mmal_jax.learn.gradient import unaligned as unaligned_lib
from mmal_jax.models import partition


class Batch(NamedTuple):
  """b aligned pairs, or tuples of more modalities.

  Attributes:
    items: by modality, `[b, h, w, 3]` uint8 pixels, `[b, length]` int32 tokens
      or `[b, d]` features.
    ids: by modality, `[b]` int32; equal items have equal numbers.
    valid: by modality, `[b]` bool; False for rows of padding, and where an item
      is missing.
    unaligned: unaligned items, to learn from as well; or None.
    twins: texts of the same words as those of the first rows; or None.
  """

  items: Mapping[str, jax.Array]
  ids: Mapping[str, jax.Array]
  valid: Mapping[str, jax.Array]
  unaligned: unaligned_lib.Items | None = None
  twins: twins_lib.Items | None = None


# Names of other items beside the aligned ones of the same modality.
_UNALIGNED, _TWIN = 'unaligned ', 'twin '


def loss_and_gradient(
    graphdef: nnx.GraphDef,
    loss: pairwise.Loss,
    params: nnx.State,
    batch: Batch,
    frozen: tuple[str, ...] = (),
    parts: int = 1,
    mesh: jax.sharding.Mesh | None = None,
    unaligned: unaligned_lib.Unaligned | None = None,
    twins: twins_lib.Twins | None = None,
) -> tuple[jax.Array, list[jax.Array]]:
  """The loss, and its gradient in the parameters that learn.

  Args:
    graphdef: of a `DualEncoder`.
    loss: of embeddings, scale, bias, ids and validity.
    params: all parameters.
    batch: b pairs; `parts` divides b.
    frozen: patterns of the parameters that do not learn.
    parts: in how many parts activations are held one after the other; the
      result is the same but for rounding.
    mesh: where parameters and the batch lie.
    unaligned: how to learn from the batch's unaligned items, if it has any.
    twins: how to learn from the batch's twins, if it has any.

  Returns:
    Scalar loss; gradients in the order of `freeze.split(params, frozen)[0]`.

  References:
    Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory
    Limited Setup, 2021, section 3 (gradient cache).
  """
  learnt, fixed = freeze.split(params, frozen)

  def model(learnt):
    whole = partition.gathered(
        freeze.join(params, learnt, fixed, frozen), mesh)
    return nnx.merge(graphdef, whole)

  def encode(learnt, items):
    encoder = model(learnt)
    return {name: encoder.encode(name.rpartition(' ')[2], values)
            for name, values in items.items()}

  def loss_of(learnt, embeddings):
    encoder = model(learnt)
    scale, bias = encoder.logit_scale[...], encoder.logit_bias[...]
    aligned = {m: embeddings[m] for m in batch.items}
    total = pairwise.pairwise(
        loss, aligned, scale, bias, batch.ids, batch.valid)
    if batch.unaligned is not None:
      total += unaligned_lib.loss(
          batch.unaligned, unaligned,
          {m: embeddings[_UNALIGNED + m] for m in batch.items}, aligned, scale,
          bias, batch.valid)
    if batch.twins is not None:
      total += twins_lib.loss(
          batch.twins, twins,
          {m: embeddings[_TWIN + m] for m in batch.twins.values}, aligned,
          scale, batch.valid)
    return total

  items = dict(batch.items)
  for kind, others in (_UNALIGNED, batch.unaligned), (_TWIN, batch.twins):
    if others is not None:
      items |= {kind + m: values for m, values in others.values.items()}
  if parts == 1:
    return jax.value_and_grad(
        lambda learnt: loss_of(learnt, encode(learnt, items)))(learnt)

  # Every parts-th row: each device then has its share of every part.
  pieces = jax.tree.map(
      lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1),
      items)
  embeddings = jax.lax.map(lambda piece: encode(learnt, piece), pieces)
  whole = jax.tree.map(
      lambda x: x.swapaxes(0, 1).reshape(-1, x.shape[-1]), embeddings)
  value, (gradient, cotangents) = jax.value_and_grad(
      loss_of, argnums=(0, 1))(learnt, whole)
  cotangents = jax.tree.map(
      lambda x: x.reshape(-1, parts, x.shape[-1]).swapaxes(0, 1),
      cotangents)

  def add_part(gradient, inputs):
    piece, cotangent = inputs
    _, pull_back = jax.vjp(lambda learnt: encode(learnt, piece), learnt)
    return jax.tree.map(jnp.add, gradient, pull_back(cotangent)[0]), None

  gradient, _ = jax.lax.scan(add_part, gradient, (pieces, cotangents))
  return value, gradient
