"""Learning from unaligned items, through the aligned ones they resemble."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax.acquire import metric


class Unaligned(NamedTuple):
  """How much a step learns from unaligned items.

  Attributes:
    weight: of their loss beside that of the aligned pairs, above 0.
    size: unaligned items of each modality in a step.
    temperature: of the targets; the lower, the more the most similar aligned
      item counts alone.
  """

  weight: float
  size: int = 128
  temperature: float = 0.05


class Items(NamedTuple):
  """What a step sees of unaligned items; all by modality.

  Attributes:
    values: `[u, ...]`, as in `gradient.Batch.items`.
    reference: `[u, r]` rows of norm 1 (`embed.reference`).
    batch_reference: `[b, r]`, of the batch's aligned items.
    known: `[b]` bool, of which rows of the batch the reference is known; None:
      of all.
  """

  values: Mapping[str, jax.Array]
  reference: Mapping[str, jax.Array]
  batch_reference: Mapping[str, jax.Array]
  known: jax.Array | None = None


def targets(
    reference: jax.Array,
    batch_reference: jax.Array,
    valid: jax.Array,
    temperature: float,
) -> jax.Array:
  """Whose counterpart an unaligned item's own is likely to resemble.

  Args:
    reference: `[u, r]` rows of norm 1 of the unaligned items.
    batch_reference: `[b, r]` of aligned items of the same modality.
    valid: `[b]` bool, which of these count.
    temperature: of the softmax.

  Returns:
    `[u, b]` float32: a distribution over the valid b.
  """
  logits = metric.dots(reference, batch_reference) / temperature
  return jax.nn.softmax(jnp.where(valid[None], logits, -1e9), axis=1)


def soft_sigmoid_loss(
    embeddings: jax.Array,
    counterparts: jax.Array,
    soft: jax.Array,
    logit_scale: jax.Array,
    logit_bias: jax.Array,
    valid: jax.Array,
) -> jax.Array:
  r"""The sigmoid loss of unaligned items against other items' counterparts.

  .. math::
    L = -\frac{1}{u} \sum_{i, j} q_{ij} \log \sigma(l_{ij})
        + (1 - q_{ij}) \log \sigma(-l_{ij}), \qquad
    l_{ij} = e^s\, x_i \cdot y_j + b

  with q the targets: two photos that look alike are taken to share a bit of
  their captions.

  Args:
    embeddings: `[u, d]` rows of norm 1 of the unaligned items x.
    counterparts: `[b, d]` of the other modality's aligned items y.
    soft: `[u, b]` targets.
    logit_scale: scalar s, the log of the scale.
    logit_bias: scalar b.
    valid: `[b]` bool, which y count.

  Returns:
    Scalar float32.

  References:
    After Mo et al., S-CLIP: Semi-supervised Vision-Language Learning using Few
    Specialist Captions, 2023, section 3.1, whose pseudo-labels are for
    unpaired images and the softmax loss.
  """
  logits = jnp.exp(logit_scale) * embeddings @ counterparts.T + logit_bias
  terms = (soft * jax.nn.log_sigmoid(logits)
           + (1 - soft) * jax.nn.log_sigmoid(-logits))
  return -jnp.sum(jnp.where(valid[None], terms, 0.0)) / len(embeddings)


def loss(
    unaligned: Items,
    settings: Unaligned,
    embeddings: Mapping[str, jax.Array],
    aligned: Mapping[str, jax.Array],
    logit_scale: jax.Array,
    logit_bias: jax.Array,
    valid: Mapping[str, jax.Array],
) -> jax.Array:
  """The weighted mean of `soft_sigmoid_loss` from each modality to each other.

  Args:
    unaligned: the step's unaligned items.
    settings: weight and temperature.
    embeddings: by modality, `[u, d]`, of the unaligned items.
    aligned: by modality, `[b, d]`, of the batch.
    logit_scale: scalar, the log of the scale.
    logit_bias: scalar.
    valid: by modality, `[b]` bool.
  """
  losses = []
  for one in embeddings:
    for other in embeddings:
      if one != other:
        both = valid[one] & valid[other]
        if unaligned.known is not None:
          both &= unaligned.known
        soft = targets(
            unaligned.reference[one], unaligned.batch_reference[one], both,
            settings.temperature)
        losses.append(soft_sigmoid_loss(
            embeddings[one], aligned[other], soft, logit_scale, logit_bias,
            both))
  return settings.weight * sum(losses[1:], losses[0]) / len(losses)
