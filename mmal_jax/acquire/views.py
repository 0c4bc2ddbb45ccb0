"""What strategies see, and what they answer."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.embed import disk
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.parallel import sharding


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class View:
  """All that a strategy may know of one modality.

  A pool's rows may be sharded over a mesh (`sharding.shard_rows`), or lie on
  disk (`disk.DiskRows`): the paper's stages, `random` and `similarity` are the
  same, and so are their picks; what cannot work so refuses
  (`Strategy.one_device`). Sharded ones may end in rows of
  padding, which are finite and do not remain; so do all arrays of `[n]` then.
  In memory, `mmal_jax.ask` and loops give arrays of NumPy or JAX: use functions
  of `jnp`, and `jnp.asarray` before `.at`.

  Attributes:
    pool: `[n, d]` float32, bfloat16 or float16 embeddings of the whole pool,
      all finite. Of the short types only storage is saved: products are exact,
      sums in float32.
    remaining: `[n]` bool, False for items that were aligned, or asked about,
      already.
    aligned: `[a, d]` embeddings of the aligned set, padded with any rows to a
      fixed size.
    aligned_mask: `[a]` bool, False for rows of padding.
    nearest: `[n]` float32, the distance of every item to the nearest aligned
      one, where it is known already; computed where None. Of items that don't
      remain it means nothing.
    logit_scale: scalar float32, by which the model multiplies similarities to
      get logits; what needs no logits does without.
    logit_bias: scalar float32 that it adds.
    costs: `[n]` float32, what it costs to ask about each item, above 0; None
      where all cost the same.
    reference: `[n, r]` rows of norm 1 whose similarity measures what is alike
      by what was known before training (`embed.reference`); None unless the
      strategy needs it.
    aligned_reference: `[a, r]`, the same of the aligned set.
    asked: scalar int32, how many items of this modality were asked about in
      all rounds so far.
    skill: scalar float32, how much better than chance the model finds pairs
      that it was not taught, by cross-validation over the aligned ones: a ratio
      of scores, 1 at chance. None or NaN where it is not measured.
    metric: of the distances; static under `jit`.
    rows: how the pool lies over a mesh; static under `jit`. None: as the pool
      itself says if it is a concrete array, else not at all. So under your own
      `jit` it has to be given.
    size: how many rows of the pool are items, the others being padding at its
      end; static under `jit`. None: all.
  """

  pool: jax.Array | disk.DiskRows
  remaining: jax.Array
  aligned: jax.Array
  aligned_mask: jax.Array
  nearest: jax.Array | None = None
  logit_scale: jax.Array | None = None
  logit_bias: jax.Array | None = None
  costs: jax.Array | None = None
  reference: jax.Array | None = None
  aligned_reference: jax.Array | None = None
  asked: jax.Array | None = None
  skill: jax.Array | None = None
  metric: metric_lib.Metric = dataclasses.field(
      default=metric_lib.COSINE, metadata={'static': True})
  rows: jax.sharding.NamedSharding | None = dataclasses.field(
      default=None, metadata={'static': True})
  size: int | None = dataclasses.field(
      default=None, metadata={'static': True})


class Missing(ValueError):
  """A strategy needs what its views do not hold.

  Attributes:
    field: of `View`, which is None.
  """

  def __init__(self, field: str, needed_by: str):
    super().__init__(f'view.{field}=None: {needed_by} needs it.')
    self.field = field


class Query(NamedTuple):
  """Items whose counterparts the oracle is asked for.

  Attributes:
    modality: the modality they all belong to; or a tuple of `batch` of them,
      one an item.
    indices: `[batch]` int32 into the pool of its modality, none twice in one
      modality; -1 where no item remained. The first is wanted most: a budget
      may end within the batch.
  """

  modality: str | tuple[str, ...]
  indices: jax.Array


# (views by modality, batch size, typed key) -> query: a `Strategy`, or a
# function of one's own.
AcquisitionFunction = Callable[[Mapping[str, View], int, jax.Array], Query]


def located(view: View) -> View:
  """The view with `rows` read off the pool, where it says so."""
  if view.rows is not None:
    return view
  return dataclasses.replace(view, rows=sharding.rows_of(view.pool))


def with_remaining(view: View, remaining: np.ndarray) -> View:
  """The view with another mask, which lies as the pool does.

  Args:
    view: of one modality, in memory.
    remaining: `[n]` bool, without padding.
  """
  view = located(view)
  return dataclasses.replace(
      view, remaining=rows_lib.laid(remaining, view.rows, False))


def together(view: View, other: View) -> tuple[View, View]:
  """Two views in memory, of which both are sharded if one is.

  Raises:
    ValueError: if they lie over different meshes.
  """
  views = [located(view), located(other)]
  layouts = {v.rows for v in views} - {None}
  if len(layouts) > 1:
    raise ValueError('the two pools are sharded over different meshes: lay '
                     'both over the same devices.')
  if not layouts:
    return tuple(views)
  rows, = layouts
  return tuple(v if v.rows == rows else _over(v, rows) for v in views)


def _over(view, rows):
  """The pool of one device, over a mesh, with all that a match of it needs."""
  return dataclasses.replace(
      view, pool=rows_lib.laid(np.asarray(view.pool), rows),
      remaining=rows_lib.laid(np.asarray(view.remaining), rows, False),
      nearest=None, costs=None, reference=None, rows=rows, size=len(view.pool))


def others(
    views: Mapping[str, View], modality: str
) -> dict[str, View]:
  """The views of all modalities but one."""
  return {name: view for name, view in views.items() if name != modality}


def everything(view: View) -> jax.Array:
  """`[n]` int32, each remaining item as a candidate; -1 of the others."""
  indices = jnp.arange(len(view.remaining), dtype=jnp.int32)
  return rows_lib.everywhere(
      jnp.where(view.remaining, indices, -1), located(view).rows)


def random_values(key: jax.Array, view: View) -> jax.Array:
  """`[n]` float32 within [0, 1), one a row, the same however the pool lies."""
  shape, rows = view.remaining.shape, located(view).rows
  if rows is None:
    return jax.random.uniform(key, shape)
  return _random_values(key, shape, rows)


@functools.partial(jax.jit, static_argnames=('shape', 'rows'))
def _random_values(key, shape, rows):
  return jax.lax.with_sharding_constraint(jax.random.uniform(key, shape), rows)


def key_of(
    key: jax.Array, views: Mapping[str, View], modality: str
) -> jax.Array:
  """A modality's own key, by its place among the views."""
  return jax.random.fold_in(key, list(views).index(modality))


def random_modality(key: jax.Array, modalities: Sequence[str]) -> str:
  """Any modality with equal chance, for strategies that do not choose.

  >>> random_modality(jax.random.key(0), ['image', 'text'])
  'image'
  """
  lot = int(jax.random.uniform(key) * len(modalities))
  return tuple(modalities)[::-1][lot]


def keep_best(
    scores: jax.Array,
    allowed: jax.Array,
    k: int,
    rows: jax.sharding.NamedSharding | None = None,
) -> jax.Array:
  """The k highest scores among what is allowed.

  Args:
    scores: `[n]` float32.
    allowed: `[n]` bool.
    k: how many.
    rows: how both lie over a mesh; None where each device has them whole.

  Returns:
    `[k]` int32 indices by falling score, ties to the lowest index; -1 where
    fewer than k are allowed.
  """
  if rows is not None:
    return _keep_best(scores, allowed, k, rows)
  # A sort by (not allowed, -score) rather than scores of -inf: the allowed may
  # score -inf themselves.
  order = jnp.lexsort((-scores, ~allowed))[:k]
  best = jnp.where(allowed[order], order, -1).astype(jnp.int32)
  return jnp.pad(best, (0, k - len(best)), constant_values=-1)


@functools.partial(jax.jit, static_argnames=('k', 'rows'))
def _keep_best(scores, allowed, k, rows):

  def local(axis, scores, allowed):
    mine = keep_best(scores, allowed, min(k, len(scores)))
    indices = jnp.where(mine >= 0, mine + sharding.first_row(
        len(scores), axis), -1)
    # Devices come in the order of their rows: ties stay with the lowest index.
    found, indices = (sharding.gather(x, axis).reshape(-1)
                      for x in (scores[mine], indices))
    best = keep_best(found, indices >= 0, k)
    return jnp.where(best >= 0, indices[best], -1)

  return sharding.map_rows(local, rows, (scores, allowed))
