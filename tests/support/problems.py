"""Random pools of few shapes, as each is compiled; most of them padding."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib

D, ALIGNED = 8, 24


class Problem(NamedTuple):
  """A view's arrays, in NumPy.

  Attributes:
    pool: `[n, D]` float32.
    remaining: `[n]` bool.
    aligned: `[ALIGNED, D]` float32.
    aligned_mask: `[ALIGNED]` bool.
    metric: its name.
  """

  pool: np.ndarray
  remaining: np.ndarray
  aligned: np.ndarray
  aligned_mask: np.ndarray
  metric: str

  def view(self, **fields):
    """In memory on one device, but for what `fields` say."""
    fields = {
        'pool': jnp.asarray(self.pool),
        'remaining': jnp.asarray(self.remaining), **fields}
    return views_lib.View(
        aligned=jnp.asarray(self.aligned),
        aligned_mask=jnp.asarray(self.aligned_mask),
        metric=metric_lib.METRICS[self.metric], **fields)

  def arrays(self):
    """What the references take: pool, remaining, and the aligned rows."""
    return self.pool, self.remaining, self.aligned[self.aligned_mask]


def unit(rng, n):
  x = rng.normal(size=(n, D))
  return x / np.linalg.norm(x, axis=1, keepdims=True)


def of_any_norm(rng, n):
  return unit(rng, n) * 10 ** rng.uniform(-1, 1, size=(n, 1))


def clustered(rng, n):
  return unit(rng, 20)[rng.integers(20, size=n)] + 0.05 * unit(rng, n)


def duplicated(rng, n):
  distinct = max(1, n // 4)
  return of_any_norm(rng, distinct)[rng.integers(distinct, size=n)]


def axes(rng, n):
  """±e_i: nearly all cosines tie, and float32 has them exactly."""
  x = np.zeros((n, D))
  x[np.arange(n), rng.integers(D, size=n)] = rng.choice([-1, 1], n)
  return x


def integers(rng, n):
  """Ties that float32 has exactly, too, but for the cosine."""
  return rng.integers(-2, 3, size=(n, D))


def exact(metric):
  """The maker of rows whose distances float32 has exactly."""
  return axes if metric == 'cosine' else integers


def make(rng, rows, n, metric='cosine', size=None, aligned=None):
  """n rows, a fifth of them gone, and up to 20 that are aligned.

  Args:
    rng: of NumPy.
    rows: one of the makers above.
    n: number of rows that count.
    metric: its name.
    size: of the pool, filled up with rows that must not count.
    aligned: number of aligned rows that count; random if None.
  """
  size = n if size is None else size
  pool = np.full((size, D), 30.0, np.float32)
  pool[:n] = rows(rng, n)
  remaining = (np.arange(size) < n) & (rng.random(size) < 0.8)
  remaining[rng.integers(n)] = True
  a = rng.integers(21) if aligned is None else aligned
  values = np.full((ALIGNED, D), 30.0, np.float32)
  mask = rng.permutation(ALIGNED) < a
  values[mask] = rows(rng, a)
  return Problem(pool, remaining, values, mask, metric)
