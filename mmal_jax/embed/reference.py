"""What is alike within a modality, by what was known before training.

A model that is trained on few answers bends its space to them. Which items
resemble each other in the features that they came as, or in the embeddings of
the model that a round's training starts from, is worth knowing where answers
are few. Where every round starts anew, it remains the same for a whole run. It
is worth as much as that model: of fresh parameters, the little that random
projections keep.
"""

from typing import NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.data import encode
from mmal_jax.embed import in_memory as embed_lib


class Space(NamedTuple):
  """Of one modality.

  Attributes:
    rows: `[n, r]` float32 of norm 1; 0 of what equals the mean.
    mean: `[r]` that was taken off before.
  """

  rows: jax.Array
  mean: jax.Array


def space(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    modality: str,
    values: encode.Values,
    mean: jax.Array | None = None,
    embeddings: jax.Array | None = None,
) -> Space:
  """Centred rows of norm 1: of features as they are, of all else embedded.

  Args:
    graphdef: of a `DualEncoder`.
    params: that training starts from.
    modality: of the items.
    values: `[n, ...]`, of `Items`.
    mean: to take off; that of these items if None.
    embeddings: `[n, d]` of the items by these parameters, if they are at hand.
  """
  is_features = isinstance(values, np.ndarray) and values.ndim == 2 and (
      np.issubdtype(values.dtype, np.floating))
  if is_features:
    embeddings = jnp.asarray(values)
  elif embeddings is None:
    embeddings = embed_lib.embed(graphdef, params, values, modality)
  mean = jnp.mean(embeddings, axis=0) if mean is None else mean
  return Space(_centred(embeddings, mean), mean)


@jax.jit
def _centred(rows, mean):
  rows = rows - mean[None]
  squares = jnp.sum(jnp.square(rows), axis=1, keepdims=True)
  return rows * jax.lax.rsqrt(jnp.maximum(squares, 1e-24))
