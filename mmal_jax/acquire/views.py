"""What strategies see, and what they answer."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

MODALITIES = ('image', 'text')


class View(NamedTuple):
  """All that a strategy may know of one modality.

  Attributes:
    pool: `[n, d]` float32 embeddings of the whole pool, rows of norm 1.
    remaining: `[n]` bool, False for items that were aligned already.
    aligned: `[a, d]` float32 embeddings of the aligned set, padded with any
      rows to a fixed size.
    aligned_mask: `[a]` bool, False for rows of padding.
  """

  pool: jax.Array
  remaining: jax.Array
  aligned: jax.Array
  aligned_mask: jax.Array


class Query(NamedTuple):
  """Items whose counterparts the oracle is asked for.

  Attributes:
    modality: the modality they belong to.
    indices: `[batch]` int32 into its pool, all different; -1 where no item
      remained.
  """

  modality: str
  indices: jax.Array


# (views by modality, batch size, typed key) -> query.
Strategy = Callable[[Mapping[str, View], int, jax.Array], Query]


def other(modality: str) -> str:
  """The modality on the other side.

  >>> other('image')
  'text'
  """
  return MODALITIES[1 - MODALITIES.index(modality)]


def random_modality(key: jax.Array) -> str:
  """Either modality with equal chance, for strategies that do not choose."""
  return MODALITIES[int(jax.random.bernoulli(key))]


def keep_best(scores: jax.Array, allowed: jax.Array, k: int) -> jax.Array:
  """The k highest scores among what is allowed.

  Args:
    scores: `[n]` float32.
    allowed: `[n]` bool.
    k: how many.

  Returns:
    `[k]` int32 indices by falling score, ties to the lowest index; -1 where
    fewer than k are allowed.
  """
  # A sort by (not allowed, -score) rather than scores of -inf: the allowed may
  # score -inf themselves.
  order = jnp.lexsort((-scores, ~allowed))[:k]
  best = jnp.where(allowed[order], order, -1).astype(jnp.int32)
  return jnp.pad(best, (0, k - len(best)), constant_values=-1)
