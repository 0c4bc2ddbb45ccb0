"""Which items to ask about: of embeddings, or of features without a model."""

from __future__ import annotations  # So that help() shows short types.

import warnings

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import arguments
from mmal_jax.acquire import ask as ask_lib
from mmal_jax.acquire import check
from mmal_jax.acquire import given as given_lib
from mmal_jax.acquire import mixups
from mmal_jax.acquire import views as views_lib
from mmal_jax.data import encode
from mmal_jax.embed import disk
from mmal_jax.embed import in_memory as embed_lib
from mmal_jax.embed import reference as reference_lib
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.closed_form import learner as closed_form
from mmal_jax.learn.closed_form import moments as moments_lib
from mmal_jax.models import registry as models_lib

_RANK = 256

Array = ask_lib.Array
Metric = ask_lib.Metric
Query = ask_lib.Query
Rows = ask_lib.Rows
Strategy = ask_lib.Strategy


@arguments.checked
def ask(
    images: Rows,
    texts: Rows,
    aligned_images: Array | None,
    aligned_texts: Array | None,
    batch: int,
    strategy: str | Strategy | None = None,
    *,
    shared_space: bool | None = None,
    image_remaining: Array | None = None,
    text_remaining: Array | None = None,
    image_costs: Array | float | None = None,
    text_costs: Array | float | None = None,
    image_asked: int | None = None,
    text_asked: int | None = None,
    metric: str | Metric | None = None,
    logit_scale: float | None = None,
    logit_bias: float | None = None,
    rows: jax.sharding.NamedSharding | None = None,
    seed: int = 0,
) -> Query:
  """Which items to ask an annotator about.

  Embeddings of both pools in one space are taken as they are
  (`mmal_jax.acquire.ask`). Features of two encoders that know nothing of one
  another are put in one space first, by the closed form, from the pairs that
  are known and from what the pools look like.

  >>> rng = np.random.default_rng(0)
  >>> hidden = rng.normal(size=(300, 8))
  >>> images = hidden @ rng.normal(size=(8, 32))
  >>> texts = hidden @ rng.normal(size=(8, 20))
  >>> rest = np.arange(300) >= 40
  >>> query = ask(images, texts, images[:40], texts[:40], batch=8,
  ...             image_remaining=rest, text_remaining=rest)
  >>> query.modality in ('image', 'text'), query.indices.shape
  (True, (8,))

  Args:
    images: `[n, d]` float32, float16 or bfloat16 embeddings or features of the
      image pool; NumPy, JAX, or on disk (`disk.open_rows`). What else holds
      floats (float64, tensors of PyTorch, data frames, lists of rows) is taken
      as float32.
    texts: `[m, e]` of the text pool.
    aligned_images: `[a, d]` of the pairs that are known already, from the pool
      or not: rows, not their numbers; None where no pair is known.
    aligned_texts: `[a, e]`, their other sides, in the same order.
    batch: how many items to ask about.
    strategy: a name as `registry.find` takes it, a strategy with values of its
      own, or any function of the same arguments (`acquire.ask`); None takes
      `mmal_plus` for features, and for embeddings `mmal`, which works wherever
      they lie. On features `mmal_plus` is `design_by_entropy` by what is alike
      among the features, in the modality that was asked about least (or any),
      and draws at random where known pairs that are held out are matched hardly
      better than by chance; on embeddings see `acquire.ask`.
    shared_space: whether images and texts lie in one space; None: if they are
      as wide as each other. Features of two encoders that happen to be as wide
      need False.
    image_remaining: `[n]` bool, False for images that may not be asked about,
      as they are aligned already; all remain if None.
    text_remaining: `[m]` bool.
    image_costs: `[n]` numbers above 0, what it costs to ask about each image,
      or one number for all; for `mmal_plus_by_cost`, and the rule `cheapest`.
      None: all items of both modalities cost the same.
    text_costs: `[m]`, the same of texts.
    image_asked: how many images were asked about in all rounds so far: for
      `mmal_plus`, and for the rule `alternate`.
    text_asked: the same of texts.
    metric: `cosine` (if None), `sqeuclidean` or `inner`, for embeddings in one
      space.
    logit_scale: by which your model multiplies similarities; for strategies of
      entropy and least confidence, and for `badge`, on embeddings in one space.
    logit_bias: that it adds; the same.
    rows: shards both pools over these devices; the same.
    seed: of all that is drawn at random.

  Returns:
    The modality (or a tuple of `batch` of them), and `[batch]` int32 NumPy
    indices into its pool. Without a known pair they are drawn at random.

  Raises:
    TypeError: for arguments of other types, and for arguments that only
      embeddings in one space take.
    ValueError: for shapes that do not fit each other, values that are not
      finite, rows of zeros, a batch below 1 or beyond what remains, an unknown
      strategy or one that needs what is not given, or arguments that have
      changed places, where their rows show it.

  Warns:
    UserWarning: as `acquire.ask`.

  References:
    Zhang and Zhu, arXiv 2510.03247.
  """
  pools = given_lib.pools(images, texts)
  columns = [pool.shape[1] for pool in pools.values()]
  if not isinstance(shared_space, (bool, np.bool_, type(None))):
    raise TypeError(f'shared_space={arguments.shown(shared_space)} must be True'
                    ' or False, or None.')
  if shared_space is None:
    shared_space = columns[0] == columns[1]
  elif shared_space and columns[0] != columns[1]:
    raise ValueError(
        f'shared_space=True: images have {columns[0]} columns and texts '
        f'{columns[1]}, but one space has one width. Features of two encoders '
        'need shared_space=False, or none.')
  arrays = {
      'aligned': {'image': aligned_images, 'text': aligned_texts},
      'remaining': {'image': image_remaining, 'text': text_remaining},
      'costs': {'image': image_costs, 'text': text_costs},
      'asked': {'image': image_asked, 'text': text_asked}}
  options = {'metric': metric, 'logit_scale': logit_scale,
             'logit_bias': logit_bias, 'rows': rows}
  if shared_space:
    query, notes = ask_lib.in_one_space(
        pools, batch=batch, strategy='mmal' if strategy is None else strategy,
        seed=seed, **arrays, **options | {
            'metric': 'cosine' if metric is None else metric})
  else:
    others = [name for name, value in options.items() if value is not None]
    if others:
      raise TypeError(
          f'{others[0]} is for embeddings in one space (shared_space=True); '
          f'images have {columns[0]} columns and texts {columns[1]}'
          + ('.' if columns[0] != columns[1] else ', and shared_space=False.'))
    query, notes = _of_features(
        pools, batch=batch,
        strategy='mmal_plus' if strategy is None else strategy, seed=seed,
        **arrays)
  for note in notes:
    warnings.warn(note, stacklevel=3)
  return query


def _of_features(
    pools, aligned, batch, strategy, remaining, costs, asked, seed
) -> tuple[Query, list[str]]:
  """As `ask_lib.in_one_space`, for features of two encoders."""
  select = ask_lib.named(strategy)
  check.options(None, None, None, seed)
  given, batch = given_lib.check(
      pools, aligned, batch, remaining, costs, asked)
  of_pools, of_aligned = {}, {}
  for m, pool in given.pools.items():
    of_pools[m] = check.values(
        f'{m}s', pool, len(pool), given.remaining[m], True)
    known = _padded(given.aligned[m], _size(given))
    of_aligned[m] = check.values(
        f'aligned_{m}s', known, len(given.aligned[m]),
        np.ones(len(known), bool), True)
  notes = mixups.check(given, of_pools, of_aligned)
  views = _views(given, seed)
  notes += mixups.of_skill(
      float(views['image'].skill), len(given.aligned['image']))
  query = ask_lib.answer(
      select, strategy, views, batch, seed, of_model=False)
  return query, notes + ask_lib.asked_again(query, of_pools, of_aligned)


def _size(given) -> int:
  """Of the padded known pairs: few sizes are compiled."""
  return max(64, 1 << max(len(given.aligned['image']) - 1, 0).bit_length())


def _views(given, seed) -> dict[str, views_lib.View]:
  """What strategies see, by the encoder that the known pairs make."""
  size = _size(given)
  there = np.arange(size) < len(given.aligned['image'])
  pools = {m: _items(rows) for m, rows in given.pools.items()}
  aligned = {m: _items(_padded(rows, size))
             for m, rows in given.aligned.items()}
  graphdef, params = nnx.split(models_lib.linear(
      {m: jax.ShapeDtypeStruct((x.values.shape[1],), np.float32)
       for m, x in pools.items()}, 0, rngs=nnx.Rngs(0), embed_dim=_RANK),
                               nnx.Param)
  learner = closed_form.ClosedForm(graphdef, rank=_RANK)
  state = learner.init(params)
  if there.any():  # What is known may lie outside the pools.
    for m, items in aligned.items():
      state.moments[m] = moments_lib.add(
          state.moments[m], items.values[there])
  table = np.where(there, np.arange(size), -1).astype(np.int32)
  known = learner_lib.Known(
      aligned, np.stack([table, table], axis=1), int(there.sum()),
      learner_lib.Pool(pools, {
          m: np.flatnonzero(mask) for m, mask in given.remaining.items()}))
  learned = learner.learn(
      params, state, None, jax.random.key(seed), known)
  views = {}
  for m in pools:
    embedded, embedded_aligned = (
        embed_lib.embed(graphdef, learned.params, items[m].values, m)
        for items in (pools, aligned))
    space = reference_lib.space(graphdef, params, m, pools[m].values)
    costs, asked = given.costs[m], given.asked[m]
    views[m] = views_lib.View(
        embedded, jnp.asarray(given.remaining[m]), embedded_aligned,
        jnp.asarray(there), reference=space.rows,
        aligned_reference=reference_lib.space(
            graphdef, params, m, aligned[m].values, space.mean).rows,
        logit_scale=jnp.exp(learned.params['logit_scale'][...]),
        costs=None if costs is None else jnp.asarray(costs),
        asked=None if asked is None else jnp.asarray(asked),
        skill=jnp.float32(learned.skill))
  return views


def _items(values) -> encode.Items:
  """In memory, as float32; what is on disk comes in, too."""
  if isinstance(values, disk.DiskRows):
    values = values.take(np.arange(len(values)))
  values = np.asarray(values).astype(np.float32)
  return encode.Items(values, np.arange(len(values), dtype=np.int32))


def _padded(values, size) -> np.ndarray:
  values = np.asarray(values)
  # Of rows that do not count the norm must not be 0.
  return np.concatenate([
      values, np.ones((size - len(values), values.shape[1]), values.dtype)])
