"""A loss of two modalities, for any number of them."""

from collections.abc import Callable, Mapping
import itertools

import jax

# As `loss.sigmoid_loss`.
Loss = Callable[..., jax.Array]


def pairwise(
    loss: Loss,
    embeddings: Mapping[str, jax.Array],
    logit_scale: jax.Array,
    logit_bias: jax.Array,
    ids: Mapping[str, jax.Array],
    valid: Mapping[str, jax.Array],
) -> jax.Array:
  """The mean of a loss over all pairs of modalities.

  A row counts in those pairs of modalities that it has both items of.

  Args:
    loss: as `loss.sigmoid_loss`.
    embeddings: by modality, `[b, d]` rows of norm 1; row i of all belongs
      together.
    logit_scale: scalar, the log of the scale.
    logit_bias: scalar.
    ids: by modality, `[b]` int; equal items have equal numbers.
    valid: by modality, `[b]` bool; False where the item is missing.

  Returns:
    Scalar float32; of two modalities, the loss itself.
  """
  losses = [
      loss(embeddings[a], embeddings[b], logit_scale, logit_bias, ids[a],
           ids[b], valid[a] & valid[b])
      for a, b in itertools.combinations(embeddings, 2)]
  return sum(losses[1:], losses[0]) / len(losses)
