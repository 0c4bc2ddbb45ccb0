"""Host-side checks of what users hand to `ask`: options, and values."""

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import arguments
from mmal_jax.acquire import arrays
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import mixups
from mmal_jax.acquire.kernels import streaming
from mmal_jax.embed import disk

# Squared norms beyond these would over- or underflow in float32.
_LARGEST, _LEAST = 1e36, 1e-26


def metric(given: Any) -> metric_lib.Metric:
  """A metric by its name, or itself.

  Raises:
    TypeError: for anything that is neither a name nor a metric.
    ValueError: for an unknown name.
  """
  if isinstance(given, metric_lib.Metric):
    return given
  known = metric_lib.METRICS
  names = ', '.join(repr(name) for name in known)
  if not isinstance(given, str):
    raise TypeError(f'metric={arguments.shown(given)} must be {names}, or '
                    'COSINE, SQEUCLIDEAN or INNER of mmal_jax.acquire.metric.')
  if given.lower() not in known:
    raise ValueError(
        f'metric={arguments.shown(given)} is unknown; known are {names}.'
        + arguments.did_you_mean(given, known, metric_lib.SYNONYMS))
  return known[given.lower()]


def number(name: str, given: Any) -> float | None:
  """A finite number, also of an array or a tensor without axes; or None."""
  if given is None:
    return None
  given = arrays.on_host(given)
  if isinstance(given, (str, bool, np.bool_)) or np.ndim(given) or not (
      hasattr(given, '__float__')):
    raise TypeError(f'{name}={arguments.shown(given)} must be a number.')
  if not np.isfinite(np.float64(given)) or abs(given) > 1e30:
    raise ValueError(f'{name}={given!r} must be finite and below 1e30.')
  return float(given)


def options(
    rows: Any, logit_scale: Any, logit_bias: Any, seed: Any
) -> tuple[float | None, float | None]:
  """Scale and bias as numbers, or None where they are not given.

  Raises:
    TypeError: for arguments of `ask` of a wrong type.
    ValueError: for numbers out of bounds.
  """
  if rows is not None and not (
      isinstance(rows, jax.sharding.NamedSharding) and len(rows.spec) == 1
      and rows.spec[0] is not None):
    raise TypeError(
        f'rows={arguments.shown(rows)} must shard a leading axis alone, as '
        'mmal_jax.parallel.sharding.row_sharding() does.')
  scale = number('logit_scale', logit_scale)
  bias = number('logit_bias', logit_bias)
  if scale is not None and not scale > 1e-30:
    raise ValueError(
        f'logit_scale={scale!r} must be above 0: of a logarithm, as '
        'checkpoints hold it, give the exponential.')
  if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
    raise TypeError(f'seed={arguments.shown(seed)} must be an integer.')
  if not 0 <= seed < 2**32:  # Larger ones would wrap around to other seeds.
    raise ValueError(f'seed={seed!r} must lie within [0, 2**32).')
  return scale, bias


def values(
    name: str,
    given: np.ndarray | jax.Array | disk.DiskRows,
    n: int,
    remaining: np.ndarray | jax.Array,
    needs_direction: bool,
) -> np.ndarray | None:
  """Fingerprints of rows; raises where no distance can be computed of them.

  Args:
    name: of the argument.
    given: `[m, d]`, padded, wherever it lies.
    n: rows without the padding.
    remaining: `[m]` bool; of other rows the norm may be too small.
    needs_direction: whether rows of zeros are refused: the cosine needs a
      direction.

  Returns:
    `[n]` uint64, equal where rows are (`mixups.fingerprints`); None where other
    processes hold some of the rows.

  Raises:
    ValueError: for values that are not finite, or whose squares are not, and
      for rows of zeros.
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
      for parts in ([x[:2] for x in found], [x[2:4] for x in found]))
  if bad:
    raise ValueError(
        f'{name} is NaN or infinite (or its squares are) in '
        f'{sum(count for count, _ in bad)} of {n} rows, the first of them row '
        f'{bad[0][1]}.')
  if needs_direction and small:
    raise ValueError(
        f'{name} is all zeros (or nearly) in '
        f'{sum(count for count, _ in small)} of {n} rows, the first of them '
        f'row {small[0][1]}: the cosine needs a direction. Leave such rows out,'
        ' or take another metric.')
  if not all(x[4].is_fully_addressable for x in found):
    return None
  halves = np.concatenate([np.asarray(x[4]) for x in found])[:n]
  return halves[:, 0].astype(np.uint64) << np.uint64(32) | halves[:, 1]


@jax.jit
def _count(given, remaining):
  squares = jnp.sum(jnp.square(given.astype(jnp.float32)), axis=1)
  bad = ~(squares < _LARGEST)
  small = (squares < _LEAST) & remaining
  return (jnp.sum(bad), jnp.argmax(bad), jnp.sum(small), jnp.argmax(small),
          mixups.fingerprints(given))
