"""Which items to ask about: of embeddings, or of features without a model."""

from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax import embed as embed_lib
from mmal_jax.acquire import ask as ask_lib
from mmal_jax.acquire import check
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.align import reference as reference_lib
from mmal_jax.data import disk
from mmal_jax.data import encode
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.closed_form import learner as closed_form
from mmal_jax.learn.closed_form import moments as moments_lib
from mmal_jax.models import registry as models_lib

_RANK = 256


def ask(
    images: ask_lib.Array | disk.DiskRows,
    texts: ask_lib.Array | disk.DiskRows,
    aligned_images: ask_lib.Array,
    aligned_texts: ask_lib.Array,
    batch: int,
    strategy: str | views_lib.Strategy | None = None,
    *,
    shared_space: bool | None = None,
    image_remaining: ask_lib.Array | None = None,
    text_remaining: ask_lib.Array | None = None,
    seed: int = 0,
    **options: Any,
) -> views_lib.Query:
  """Which items to ask an annotator about.

  Embeddings of both pools in one space are taken as they are
  (`mmal_jax.acquire.ask`). Features of two encoders that know nothing of one
  another are put in one space first, by the closed form, from the pairs that
  are known and from what the pools look like.

  >>> rng = np.random.default_rng(0)
  >>> images = rng.normal(size=(300, 32)).astype(np.float32)
  >>> texts = rng.normal(size=(300, 20)).astype(np.float32)
  >>> rest = np.arange(300) >= 40
  >>> query = ask(images, texts, images[:40], texts[:40], batch=8,
  ...             image_remaining=rest, text_remaining=rest)
  >>> query.modality in ('image', 'text'), query.indices.shape
  (True, (8,))

  Args:
    images: `[n, d]` float32, float16 or bfloat16 embeddings or features of the
      image pool; NumPy, JAX, or on disk (`disk.open_rows`).
    texts: `[m, e]` of the text pool.
    aligned_images: `[a, d]` of the pairs that are known already.
    aligned_texts: `[a, e]`, their other sides.
    batch: how many items to ask about.
    strategy: a name as `registry.find` takes it, or such a function; None takes
      `mmal_plus` for features, and for embeddings `mmal`, which works wherever
      they lie.
    shared_space: whether images and texts lie in one space; None: if they are
      as wide as each other.
    image_remaining: `[n]` bool, False for images that may not be asked about,
      as they are aligned already; all remain if None.
    text_remaining: `[m]` bool.
    seed: of all that is drawn at random.
    **options: further arguments of `mmal_jax.acquire.ask.ask`, for embeddings
      in one space.

  Returns:
    The modality (or a tuple of `batch` of them), and `[batch]` int32 NumPy
    indices into its pool. Without a known pair they are drawn at random.

  Raises:
    TypeError: for arguments of other types, and for options that only
      embeddings in one space take.
    ValueError: for shapes that do not fit each other, values that are not
      finite, rows of zeros, a batch below 1 or beyond what remains, or an
      unknown strategy.

  References:
    Zhang and Zhu, arXiv 2510.03247.
  """
  given = {'images': images, 'texts': texts}
  for name, values in given.items():
    check.shape(name, values, values, False, name)
  if shared_space is None:
    shared_space = images.shape[1] == texts.shape[1]
  if shared_space:
    return ask_lib.ask(
        images, texts, aligned_images, aligned_texts, batch,
        'mmal' if strategy is None else strategy,
        image_remaining=image_remaining, text_remaining=text_remaining,
        seed=seed, **options)
  if options:
    raise TypeError(
        f'{min(options)} is for embeddings in one space (shared_space=True); '
        f'images have {images.shape[1]} columns and texts {texts.shape[1]}.')
  strategy = check.strategy(
      'mmal_plus' if strategy is None else strategy, registry.find)
  check.options(metric_lib.COSINE, None, None, None, seed)
  pairs = {'images': aligned_images, 'texts': aligned_texts}
  for name, values in pairs.items():
    check.shape(f'aligned_{name}', values, given[name], True, name)
  if len(aligned_images) != len(aligned_texts):
    raise ValueError(
        f'aligned_images has {len(aligned_images)} rows and aligned_texts '
        f'{len(aligned_texts)}; they are two sides of the same pairs.')
  masks = {
      'images': check.mask('image_remaining', image_remaining, len(images)),
      'texts': check.mask('text_remaining', text_remaining, len(texts))}
  check.batch(batch, *masks.values())
  for name in given:
    check.values(name, given[name], len(given[name]), masks[name],
                 metric_lib.COSINE)
    if len(pairs[name]):
      check.values(f'aligned_{name}', pairs[name], len(pairs[name]),
                   np.ones(len(pairs[name]), bool), metric_lib.COSINE)
  views = _views(given, pairs, masks, seed)
  if not len(aligned_images):
    strategy = registry.STRATEGIES['random']
  query = strategy(views, int(batch), jax.random.key(seed))
  return query._replace(indices=np.asarray(query.indices))


def _views(given, pairs, masks, seed) -> dict[str, views_lib.View]:
  """What strategies see, by the encoder that the known pairs make."""
  size = max(64, 1 << max(len(pairs['images']) - 1, 0).bit_length())
  there = np.arange(size) < len(pairs['images'])
  names = dict(zip(given, ('image', 'text')))
  pools = {m: _items(given[name]) for name, m in names.items()}
  aligned = {m: _items(_padded(pairs[name], size)) for name, m in names.items()}
  graphdef, params = nnx.split(models_lib.linear(
      {m: jax.ShapeDtypeStruct((x.values.shape[1],), np.float32)
       for m, x in pools.items()}, 0, rngs=nnx.Rngs(0), embed_dim=_RANK),
                               nnx.Param)
  learner = closed_form.ClosedForm(graphdef, rank=_RANK)
  state = learner.init(params)
  for name, m in names.items():
    # What is known may lie outside the pools.
    state.moments[m] = moments_lib.add(
        state.moments[m], aligned[m].values[there]) if there.any() else (
            state.moments[m])
  table = np.where(there, np.arange(size), -1).astype(np.int32)
  known = learner_lib.Known(
      aligned, np.stack([table, table], axis=1), int(there.sum()),
      learner_lib.Pool(pools, {
          m: np.flatnonzero(masks[name]) for name, m in names.items()}))
  learned = learner.learn(
      params, state, None, jax.random.key(seed), known)
  views = {}
  for name, m in names.items():
    embedded, embedded_aligned = (
        embed_lib.embed(graphdef, learned.params, items[m].values, m)
        for items in (pools, aligned))
    space = reference_lib.space(graphdef, params, m, pools[m].values)
    views[m] = views_lib.View(
        embedded, jnp.asarray(masks[name]), embedded_aligned,
        jnp.asarray(there), reference=space.rows,
        aligned_reference=reference_lib.space(
            graphdef, params, m, aligned[m].values, space.mean).rows,
        logit_scale=jnp.exp(learned.params['logit_scale'][...]),
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
