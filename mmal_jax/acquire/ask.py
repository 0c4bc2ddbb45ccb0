"""The acquisition alone, for those who have a model of their own."""

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax import sharding
from mmal_jax.acquire import check
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.data import disk

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
      need not have norm 1 (but one within 1e-13 and 1e18).
    texts: `[m, d]` of the text pool.
    aligned_images: `[a, d]` of the pairs that are known already.
    aligned_texts: `[a, d]`, their other sides. Of a growing set only few sizes
      are compiled: it is padded to the next power of two.
    batch: how many items to ask about; of one modality, or by some strategies
      of both.
    strategy: a name as `registry.find` takes it, or such a function. Nothing is
      known from before training here: `mmal_plus` goes by these embeddings,
      less their mean.
    metric: `metric.COSINE`, `SQEUCLIDEAN` or `INNER`.
    image_remaining: `[n]` bool, False for images that may not be asked about,
      nor be anybody's match, as they are aligned already; all remain if None.
    text_remaining: `[m]` bool.
    logit_scale: by which your model multiplies similarities; for strategies of
      entropy and least confidence, and for `badge`.
    logit_bias: that it adds: for `badge`, and for strategies of your own
      (`uncertainty.uncertainties`, `may_be_missing`).
    rows: shards both pools over these devices (`sharding.row_sharding()`).
      With several processes each has to hold the whole pools in NumPy (or
      memory-mapped), or pools that are sharded already, and leave `rows` out.
    seed: of strategies that draw at random, and of the first batch, when
      nothing is aligned yet: it is random whatever the strategy (our reading).

  Returns:
    The modality (a tuple of `batch` of them where the strategy asks about
      both), and `[batch]` int32 NumPy indices into its pool.

  Raises:
    TypeError: for arguments of other types.
    ValueError: for shapes that do not fit each other, values that are not
      finite, norms out of bounds (zero is one for the cosine alone),
      a batch below 1 or beyond what remains of either pool, an unknown
      strategy, a scale or a bias that is not finite, a scale not above 0, or a
      pool that cannot be sharded.

  References:
    Zhang and Zhu, arXiv 2510.03247.
  """
  strategy = check.strategy(strategy, registry.find)
  check.options(metric, rows, logit_scale, logit_bias, seed)
  pools = {'images': images, 'texts': texts}
  aligned = {
      'aligned_images': aligned_images, 'aligned_texts': aligned_texts}
  for name, values in {**pools, **aligned}.items():
    check.shape(name, values, images, name in aligned)
  if len(aligned_images) != len(aligned_texts):
    raise ValueError(
        f'aligned_images has {len(aligned_images)} rows and aligned_texts '
        f'{len(aligned_texts)}; they are two sides of the same pairs.')
  masks = (check.mask('image_remaining', image_remaining, len(images)),
           check.mask('text_remaining', text_remaining, len(texts)))
  check.batch(batch, *masks)
  known = _padded(np.ones(len(aligned_images), bool))
  views = {}
  for modality, remaining, (name, pool), (aligned_name, pairs) in zip(
      ('image', 'text'), masks, pools.items(), aligned.items()):
    # Checked where it lies in the end: one device may be too small for it.
    placed, placed_remaining = _placed(name, pool, remaining, rows)
    check.values(name, placed, len(pool), placed_remaining, metric)
    padded = _padded(pairs)
    check.values(aligned_name, padded, len(pairs), known, metric)
    views[modality] = views_lib.View(
        placed, placed_remaining, padded, known, metric=metric,
        logit_scale=_scalar(logit_scale), logit_bias=_scalar(logit_bias))
  if not len(aligned_images):
    strategy = registry.STRATEGIES['random']
  query = strategy(views, int(batch), jax.random.key(seed))
  return query._replace(indices=np.asarray(query.indices))


def _placed(name, pool, remaining, rows):
  if rows is None:
    is_numpy = isinstance(pool, np.ndarray)
    return (jax.device_put(pool) if is_numpy else pool), remaining
  if isinstance(pool, disk.DiskRows):
    raise ValueError(f'rows is given, but {name} is a pool on disk: it streams '
                     'through one device and cannot be sharded.')
  return (sharding.shard_rows(np.asarray(pool), rows),
          sharding.shard_rows(remaining, rows, False))


def _padded(aligned):
  """On the host: on a device every size would be another program."""
  a = len(aligned)
  size = max(_LEAST_ALIGNED, 1 << max(a - 1, 0).bit_length())
  padded = np.zeros((size,) + aligned.shape[1:], aligned.dtype)
  padded[:a] = aligned
  return padded


def _scalar(value):
  return None if value is None else jnp.float32(value)
