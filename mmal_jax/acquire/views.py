"""What strategies see, and what they answer."""

from collections.abc import Callable, Mapping
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmal_jax import sharding
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.data import disk

MODALITIES = ('image', 'text')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class View:
  """All that a strategy may know of one modality.

  A pool's rows may be sharded over a mesh (`sharding.shard_rows`), or lie on
  disk (`disk.DiskRows`): strategies are the same, and so are their picks.

  Attributes:
    pool: `[n, d]` float32, bfloat16 or float16 embeddings of the whole pool,
      all finite. Of the short types only storage is saved: products are exact,
      sums in float32.
    remaining: `[n]` bool, False for items that were aligned already.
    aligned: `[a, d]` embeddings of the aligned set, padded with any rows to a
      fixed size.
    aligned_mask: `[a]` bool, False for rows of padding.
    nearest: `[n]` float32, the distance of every item to the nearest aligned
      one, where it is known already; computed where None. Of items that don't
      remain it means nothing.
    logit_scale: scalar float32, by which the model multiplies similarities to
      get logits; what needs no logits does without.
    logit_bias: scalar float32 that it adds.
    metric: of the distances; static under `jit`.
    rows: how the pool lies over a mesh; static under `jit`. None: as the pool
      itself says if it is a concrete array, else not at all. So under your own
      `jit` it has to be given.
  """

  pool: jax.Array | disk.DiskRows
  remaining: jax.Array
  aligned: jax.Array
  aligned_mask: jax.Array
  nearest: jax.Array | None = None
  logit_scale: jax.Array | None = None
  logit_bias: jax.Array | None = None
  metric: metric_lib.Metric = dataclasses.field(
      default=metric_lib.COSINE, metadata={'static': True})
  rows: jax.sharding.NamedSharding | None = dataclasses.field(
      default=None, metadata={'static': True})


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


def located(view: View) -> View:
  """The view with `rows` read off the pool, where it says so."""
  if view.rows is not None:
    return view
  return dataclasses.replace(view, rows=sharding.rows_of(view.pool))


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
