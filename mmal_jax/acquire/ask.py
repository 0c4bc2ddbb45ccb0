"""The acquisition alone, for those who have a model of their own."""

import functools
import numbers

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax import sharding
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry
from mmal_jax.acquire import streaming
from mmal_jax.acquire import views as views_lib
from mmal_jax.data import disk

_DTYPES = ('float32', 'float16', 'bfloat16')
_LEAST_ALIGNED = 64

Array = np.ndarray | jax.Array


def ask(
    images: Array | disk.DiskRows,
    texts: Array | disk.DiskRows,
    aligned_images: Array,
    aligned_texts: Array,
    batch: int,
    strategy: str | views_lib.Strategy = 'mmal',
    *,
    metric: metric_lib.Metric = metric_lib.COSINE,
    image_remaining: Array | None = None,
    text_remaining: Array | None = None,
    logit_scale: float | None = None,
    logit_bias: float | None = None,
    rows: jax.sharding.NamedSharding | None = None,
    seed: int = 0,
) -> views_lib.Query:
  """Which items to ask an annotator about.

  Everything is checked first; for use under your own `jit`, with nothing
  checked, call the stages: `coverage.covered`, `modality.coverage_gap`,
  `coreset.select_coreset` and `uncertainty.select_uncertain` on a `View`.

  >>> rng = np.random.default_rng(0)
  >>> images, texts = rng.normal(size=(2, 500, 32)).astype(np.float32)
  >>> query = ask(images, texts, images[:40], texts[:40], batch=8)
  >>> query.modality in ('image', 'text'), query.indices.shape
  (True, (8,))

  Args:
    images: `[n, d]` float32, float16 or bfloat16 embeddings of the image pool,
      NumPy or JAX (sharded by rows, too), or on disk (`disk.open_rows`). Rows
      need not have norm 1.
    texts: `[m, d]` of the text pool.
    aligned_images: `[a, d]` of the pairs that are known already.
    aligned_texts: `[a, d]`, their other sides. Of a growing set only few sizes
      are compiled: it is padded to the next power of two.
    batch: how many items to ask about, all of one modality.
    strategy: a name in `registry.STRATEGIES`, or such a function.
    metric: `metric.COSINE`, `SQEUCLIDEAN` or `INNER`.
    image_remaining: `[n]` bool, False for images that may not be asked about,
      nor be anybody's match, as they are aligned already; all remain if None.
    text_remaining: `[m]` bool.
    logit_scale: by which your model multiplies similarities; for strategies of
      entropy and least confidence.
    logit_bias: that it adds.
    rows: shards both pools over these devices (`sharding.row_sharding()`).
    seed: of strategies that draw at random, and of the first batch, when
      nothing is aligned yet: it is random whatever the strategy (our reading).

  Returns:
    The modality, and `[batch]` int32 NumPy indices into its pool.

  Raises:
    TypeError: for embeddings or masks of other types.
    ValueError: for shapes that do not fit each other, values that are not
      finite, rows of zeros where the metric is the cosine, a batch below 1 or
      beyond what remains of either pool, an unknown strategy, a scale that is
      not above 0, or a pool that cannot be sharded.

  References:
    Zhang and Zhu, arXiv 2510.03247.
  """
  strategy = _strategy(strategy)
  pools = {'images': images, 'texts': texts}
  aligned = {
      'aligned_images': aligned_images, 'aligned_texts': aligned_texts}
  for name, values in {**pools, **aligned}.items():
    _check_embeddings(name, values, images.shape[-1], metric, name in aligned)
  if len(aligned_images) != len(aligned_texts):
    raise ValueError(
        f'aligned_images has {len(aligned_images)} rows and aligned_texts '
        f'{len(aligned_texts)}; they are two sides of the same pairs.')
  masks = (_mask('image_remaining', image_remaining, len(images)),
           _mask('text_remaining', text_remaining, len(texts)))
  _check_batch(batch, *masks)
  if logit_scale is not None and not logit_scale > 0:
    raise ValueError(f'logit_scale={logit_scale!r} must be above 0.')
  make = functools.partial(
      _view, metric=metric, logit_scale=logit_scale, logit_bias=logit_bias,
      rows=rows)
  views = {'image': make(images, masks[0], aligned_images),
           'text': make(texts, masks[1], aligned_texts)}
  if not len(aligned_images):
    strategy = registry.STRATEGIES['random']
  query = strategy(views, int(batch), jax.random.key(seed))
  return query._replace(indices=np.asarray(query.indices))


def _strategy(strategy):
  if callable(strategy):
    return strategy
  if strategy not in registry.STRATEGIES:
    raise ValueError(f'strategy={strategy!r} is none of '
                     f'{", ".join(sorted(registry.STRATEGIES))}.')
  return registry.STRATEGIES[strategy]


def _check_embeddings(name, values, d, metric, may_be_empty):
  on_disk = isinstance(values, disk.DiskRows)
  if not on_disk and not isinstance(values, (np.ndarray, jax.Array)):
    raise TypeError(
        f'{name} is a {type(values).__name__}; an array is needed.')
  if values.dtype.name not in _DTYPES:
    raise TypeError(f'{name} has dtype {values.dtype}; '
                    f'one of {", ".join(_DTYPES)} is needed.')
  if len(values.shape) != 2 or values.shape[1] != d or not (
      len(values) or may_be_empty):
    raise ValueError(
        f'{name} has shape {values.shape}; [n, {d}] is needed, as wide as '
        f'images{"" if may_be_empty else " and at least one row"}.')
  if on_disk:
    checked = streaming.over_chunks(_bad_rows, values)
    bad, zero = (
        np.concatenate(x)[:len(values)] for x in zip(*checked))
  else:
    bad, zero = (np.asarray(x) for x in _bad_rows(values))
  if bad.any():
    raise ValueError(f'{name} is NaN or infinite in {bad.sum()} of {len(bad)} '
                     f'rows, the first of them row {bad.argmax()}.')
  if metric is metric_lib.COSINE and zero.any():
    raise ValueError(
        f'{name} is all zeros in {zero.sum()} of {len(zero)} rows, the first '
        f'of them row {zero.argmax()}: the cosine needs a direction.')


@jax.jit
def _bad_rows(values):
  return (~jnp.all(jnp.isfinite(values), axis=1), jnp.all(values == 0, axis=1))


def _mask(name, mask, n):
  if mask is None:
    return np.ones(n, bool)
  mask = np.asarray(mask)
  if mask.dtype != bool:
    raise TypeError(f'{name} has dtype {mask.dtype}; bool is needed.')
  if mask.shape != (n,):
    raise ValueError(f'{name} has shape {mask.shape}; ({n},) is needed.')
  return mask


def _check_batch(batch, image_mask, text_mask):
  if isinstance(batch, bool) or not isinstance(batch, numbers.Integral):
    raise TypeError(f'batch={batch!r} must be an integer.')
  images, texts = np.count_nonzero(image_mask), np.count_nonzero(text_mask)
  if not 1 <= batch <= min(images, texts):
    raise ValueError(
        f'batch={batch!r} must be at least 1 and within what remains: {images} '
        f'images, {texts} texts.')


def _view(pool, remaining, aligned, metric, logit_scale, logit_bias, rows):
  if rows is not None:
    if isinstance(pool, disk.DiskRows):
      raise ValueError('rows is given, but a pool on disk streams through one '
                       'device and cannot be sharded.')
    pool = sharding.shard_rows(np.asarray(pool), rows)
    remaining = sharding.shard_rows(remaining, rows, False)
  a = len(aligned)
  size = max(_LEAST_ALIGNED, 1 << max(a - 1, 0).bit_length())
  return views_lib.View(
      pool=pool if isinstance(pool, disk.DiskRows) else jax.device_put(pool),
      remaining=jnp.asarray(remaining),
      aligned=jnp.pad(jnp.asarray(aligned), ((0, size - a), (0, 0))),
      aligned_mask=jnp.arange(size) < a,
      logit_scale=_scalar(logit_scale), logit_bias=_scalar(logit_bias),
      metric=metric)


def _scalar(value):
  return None if value is None else jnp.float32(value)
