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
      finite, remaining or aligned rows of zeros where the metric is the cosine,
      a batch below 1 or beyond what remains of either pool, an unknown
      strategy, a scale or a bias that is not finite, a scale not above 0, or a
      pool that cannot be sharded.

  References:
    Zhang and Zhu, arXiv 2510.03247.
  """
  strategy = _strategy(strategy)
  pools = {'images': images, 'texts': texts}
  aligned = {
      'aligned_images': aligned_images, 'aligned_texts': aligned_texts}
  for name, values in {**pools, **aligned}.items():
    _check_shape(name, values, images, name in aligned)
  if len(aligned_images) != len(aligned_texts):
    raise ValueError(
        f'aligned_images has {len(aligned_images)} rows and aligned_texts '
        f'{len(aligned_texts)}; they are two sides of the same pairs.')
  masks = (_mask('image_remaining', image_remaining, len(images)),
           _mask('text_remaining', text_remaining, len(texts)))
  _check_batch(batch, *masks)
  _check_logits(logit_scale, logit_bias)
  known = np.arange(_padded_size(len(aligned_images))) < len(aligned_images)
  aligned = {name: _padded(values) for name, values in aligned.items()}
  sizes = len(images), len(texts), len(aligned_images), len(aligned_texts)
  for (name, values), n, mask in zip(
      {**pools, **aligned}.items(), sizes, masks + (known, known)):
    _check_values(name, values, n, mask, metric)
  make = functools.partial(
      _view, known=known, metric=metric, logit_scale=logit_scale,
      logit_bias=logit_bias, rows=rows)
  views = {'image': make(images, masks[0], aligned['aligned_images']),
           'text': make(texts, masks[1], aligned['aligned_texts'])}
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


def _check_shape(name, values, images, is_aligned):
  kinds = (np.ndarray, jax.Array) + (() if is_aligned else (disk.DiskRows,))
  if not isinstance(values, kinds):
    raise TypeError(
        f'{name} is a {type(values).__name__}; an array is needed.')
  if values.dtype.name not in _DTYPES:
    raise TypeError(f'{name} has dtype {values.dtype}; '
                    f'one of {", ".join(_DTYPES)} is needed.')
  d = images.shape[-1] if images.shape else 0
  if len(values.shape) != 2 or values.shape[1] != d or not (
      len(values) or is_aligned):
    raise ValueError(
        f'{name} has shape {values.shape}; [n, {d}] is needed, as wide as '
        f'images{"" if is_aligned else " and at least one row"}.')


def _check_values(name, values, n, remaining, metric):
  if isinstance(values, disk.DiskRows):
    found = streaming.over_chunks(
        _bad_rows, values, streaming.cut(values, remaining, False))
  else:
    found = [_bad_rows(values, remaining)]
  size = values.chunk_rows if isinstance(values, disk.DiskRows) else 0
  # Scalars, which every process of several may read.
  bad, zero = (
      [(int(count), size * i + int(first))
       for i, (count, first) in enumerate(parts) if count]
      for parts in ([x[:2] for x in found], [x[2:] for x in found]))
  if bad:
    raise ValueError(
        f'{name} is NaN or infinite in {sum(count for count, _ in bad)} of '
        f'{n} rows, the first of them row {bad[0][1]}.')
  if metric is metric_lib.COSINE and zero:
    raise ValueError(
        f'{name} is all zeros in {sum(count for count, _ in zero)} of '
        f'{n} rows, the first of them row {zero[0][1]}: the cosine needs a '
        'direction.')


@jax.jit
def _bad_rows(values, remaining):
  bad = ~jnp.all(jnp.isfinite(values), axis=1)
  zero = jnp.all(values == 0, axis=1) & remaining
  return jnp.sum(bad), jnp.argmax(bad), jnp.sum(zero), jnp.argmax(zero)


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


def _check_logits(scale, bias):
  if scale is not None and not 0 < scale < np.inf:
    raise ValueError(f'logit_scale={scale!r} must be above 0 and finite.')
  if bias is not None and not np.isfinite(bias):
    raise ValueError(f'logit_bias={bias!r} must be finite.')


def _padded_size(a):
  return max(_LEAST_ALIGNED, 1 << max(a - 1, 0).bit_length())


def _padded(aligned):
  """On the host: on a device every size would be another program."""
  values = np.zeros(
      (_padded_size(len(aligned)), aligned.shape[1]), aligned.dtype)
  values[:len(aligned)] = aligned
  return values


def _view(
    pool, remaining, aligned, known, metric, logit_scale, logit_bias, rows):
  if rows is not None:
    if isinstance(pool, disk.DiskRows):
      raise ValueError('rows is given, but a pool on disk streams through one '
                       'device and cannot be sharded.')
    pool = sharding.shard_rows(np.asarray(pool), rows)
    remaining = sharding.shard_rows(remaining, rows, False)
  return views_lib.View(
      pool=jax.device_put(pool) if isinstance(pool, np.ndarray) else pool,
      remaining=remaining,
      aligned=aligned,
      aligned_mask=known,
      logit_scale=_scalar(logit_scale), logit_bias=_scalar(logit_bias),
      metric=metric)


def _scalar(value):
  return None if value is None else jnp.float32(value)
