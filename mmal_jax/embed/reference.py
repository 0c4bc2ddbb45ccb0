"""What is alike within a modality, by what was known before training.

A model that is trained on few answers bends its space to them. Which items
resemble each other in the features that they came as, or in the embeddings of
the model that a round's training starts from, is worth knowing where answers
are few. Where every round starts anew, it remains the same for a whole run. It
is worth as much as that model: of fresh parameters, the little that random
projections keep.
"""

import functools
from typing import NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.data import encode
from mmal_jax.embed import in_memory as embed_lib
from mmal_jax.parallel import rows as rows_lib


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
    rows: jax.sharding.NamedSharding | None = None,
) -> Space:
  """Centred rows of norm 1: of features as they are, of all else embedded.

  Args:
    graphdef: of a `DualEncoder`.
    params: that training starts from.
    modality: of the items.
    values: `[n, ...]`, of `Items`.
    mean: to take off; that of these items if None.
    embeddings: `[n, d]` of the items by these parameters, if they are at hand.
    rows: over which devices `in_memory.embed` lays embeddings, and this lays
      its rows, filled up by rows of 0; None for one.
  """
  if _are_features(values):
    embeddings = rows_lib.laid(values, rows)
  elif embeddings is None:
    embeddings = embed_lib.embed(graphdef, params, values, modality)
  size = None if rows is None else len(values)
  mean = _mean(embeddings, rows, size) if mean is None else mean
  return Space(_centred(embeddings, mean, rows, size), mean)


def of_few(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    modality: str,
    values: encode.Values,
    mean: jax.Array,
) -> np.ndarray:
  """`[n, r]`: the rows of `space`, on the host, without any mesh.

  Args:
    graphdef: as for `space`, like all that follows.
    params: that training starts from.
    modality: of the items.
    values: `[n, ...]`.
    mean: of the pool's `Space`.
  """
  embeddings = values if _are_features(values) else embed_lib.embed_to_host(
      graphdef, params, values, modality)
  return np.asarray(_centred(jnp.asarray(embeddings), np.asarray(mean)))


def _are_features(values):
  return isinstance(values, np.ndarray) and values.ndim == 2 and (
      np.issubdtype(values.dtype, np.floating))


@functools.partial(jax.jit, static_argnames=('rows', 'size'))
def _mean(x, rows, size):
  return rows_lib.mean(x, rows, size)


@functools.partial(jax.jit, static_argnames=('rows', 'size'))
def _centred(x, mean, rows=None, size=None):
  return rows_lib.centred(x, mean, rows, size)
