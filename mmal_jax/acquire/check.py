"""Host-side checks of what users hand to `ask`."""

from collections.abc import Callable
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import streaming
from mmal_jax.data import disk

# Squared norms beyond these would over- or underflow in float32.
_LARGEST, _LEAST = 1e36, 1e-26


def strategy(given: Any, find: Callable[[str], Any]) -> Any:
  """The strategy by its name, or itself."""
  return given if callable(given) else find(str(given))


def options(metric, rows, logit_scale, logit_bias, seed) -> None:
  """Raises for arguments of `ask` of a wrong type or out of bounds."""
  if not isinstance(metric, metric_lib.Metric):
    raise TypeError(
        f'metric={metric!r} must be COSINE, SQEUCLIDEAN or INNER of '
        'mmal_jax.acquire.metric.')
  if rows is not None and not (
      isinstance(rows, jax.sharding.NamedSharding) and len(rows.spec) == 1
      and rows.spec[0] is not None):
    raise TypeError(
        f'rows={rows!r} must shard a leading axis alone, as '
        'sharding.row_sharding() does.')
  for name, value in (('logit_scale', logit_scale), ('logit_bias', logit_bias)):
    if value is None:
      continue
    if isinstance(value, str) or np.ndim(value):
      raise TypeError(f'{name}={value!r} must be a number.')
    if not np.isfinite(np.float64(value)) or abs(value) > 1e30:
      raise ValueError(f'{name}={value!r} must be finite and below 1e30.')
  if logit_scale is not None and not logit_scale > 1e-30:
    raise ValueError(f'logit_scale={logit_scale!r} must be above 0.')
  if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
    raise TypeError(f'seed={seed!r} must be an integer.')
  if not 0 <= seed < 2**32:  # Larger ones would wrap around to other seeds.
    raise ValueError(f'seed={seed!r} must lie within [0, 2**32).')


def shape(
    name: str, given: Any, like: Any, is_aligned: bool, liked: str = 'images'
) -> None:
  """Raises for what is no array of rows as wide as `like`, named `liked`."""
  kinds = (np.ndarray, jax.Array) + (() if is_aligned else (disk.DiskRows,))
  if not isinstance(given, kinds):
    raise TypeError(f'{name} is a {type(given).__name__}; an array is needed.')
  if given.dtype.name not in disk.DTYPES or not given.dtype.isnative:
    raise TypeError(f'{name} has dtype {given.dtype}; '
                    f'one of {", ".join(disk.DTYPES)} is needed.')
  d = like.shape[-1] if getattr(like, 'shape', ()) else 0
  if len(given.shape) != 2 or given.shape[1] != d or not (
      len(given) or is_aligned):
    raise ValueError(
        f'{name} has shape {given.shape}; [n, {d}] is needed, as wide as '
        f'{liked}{"" if is_aligned else " and at least one row"}.')


def mask(name: str, given: Any, n: int) -> np.ndarray:
  """`[n]` bool: the mask, or one that lets everything in if it is None."""
  if given is None:
    return np.ones(n, bool)
  given = np.asarray(given)
  if given.dtype != bool:
    raise TypeError(f'{name} has dtype {given.dtype}; bool is needed.')
  if given.shape != (n,):
    raise ValueError(f'{name} has shape {given.shape}; ({n},) is needed.')
  return given


def batch(given: Any, image_mask: np.ndarray, text_mask: np.ndarray) -> None:
  """Raises for a batch that is no number, or beyond what remains."""
  if isinstance(given, bool) or not isinstance(given, numbers.Integral):
    raise TypeError(f'batch={given!r} must be an integer.')
  images, texts = np.count_nonzero(image_mask), np.count_nonzero(text_mask)
  if not 1 <= given <= min(images, texts):
    raise ValueError(
        f'batch={given!r} must be at least 1 and within what remains: {images} '
        f'images, {texts} texts.')


def values(
    name: str,
    given: np.ndarray | jax.Array | disk.DiskRows,
    n: int,
    remaining: np.ndarray | jax.Array,
    metric: metric_lib.Metric,
) -> None:
  """Raises for embeddings that no distance can be computed of.

  Args:
    name: of the argument.
    given: `[m, d]`, padded, wherever it lies.
    n: rows without the padding.
    remaining: `[m]` bool; of other rows the norm may be too small.
    metric: the cosine needs a direction.
  """
  if isinstance(given, disk.DiskRows):
    found = streaming.over_chunks(
        _count, given, streaming.cut(given, remaining, False))
    size = given.chunk_rows
  else:
    found, size = [_count(given, remaining)], 0
  # Scalars, which every process of several may read.
  bad, small = (
      [(int(count), size * i + int(first))
       for i, (count, first) in enumerate(parts) if count]
      for parts in ([x[:2] for x in found], [x[2:] for x in found]))
  if bad:
    raise ValueError(
        f'{name} is NaN or infinite (or its squares are) in '
        f'{sum(count for count, _ in bad)} of {n} rows, the first of them row '
        f'{bad[0][1]}.')
  if metric is metric_lib.COSINE and small:
    raise ValueError(
        f'{name} is all zeros (or nearly) in '
        f'{sum(count for count, _ in small)} of {n} rows, the first of them '
        f'row {small[0][1]}: the cosine needs a direction.')


@jax.jit
def _count(given, remaining):
  squares = jnp.sum(jnp.square(given.astype(jnp.float32)), axis=1)
  bad = ~(squares < _LARGEST)
  small = (squares < _LEAST) & remaining
  return jnp.sum(bad), jnp.argmax(bad), jnp.sum(small), jnp.argmax(small)
