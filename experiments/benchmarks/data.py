"""Pools of unit rows, and views of them."""

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib

KINDS = ('clustered', 'uniform')
NOTE = ('Rows of norm 1, float32. Clustered: 1000 Gaussian centres, noise of '
        'half their spread; uniform: over the sphere.')
_CENTRES = 1000
_NOISE = 0.5


def pool(kind: str, n: int, d: int, seed: int = 0) -> np.ndarray:
  """Unit rows.

  Args:
    kind: one of `KINDS`.
    n: rows.
    d: width.
    seed: of the draw.

  Returns:
    `[n, d]` float32.
  """
  rng = np.random.default_rng(seed)
  rows = rng.standard_normal((n, d), np.float32)
  if kind == 'clustered':
    centres = rng.standard_normal((_CENTRES, d), np.float32)
    rows *= _NOISE
    rows += centres[rng.integers(_CENTRES, size=n)]
  rows /= np.sqrt(np.einsum('nd,nd->n', rows, rows))[:, None]
  return rows


def view(
    rows: np.ndarray,
    aligned: np.ndarray,
    metric: metric_lib.Metric = metric_lib.SQEUCLIDEAN,
) -> views_lib.View:
  """A view of them in which some are aligned, and do not remain.

  Args:
    rows: `[n, d]`.
    aligned: `[a]` int, which ones.
    metric: of the view.

  Returns:
    The view, on the default device.
  """
  remaining = np.ones(len(rows), bool)
  remaining[aligned] = False
  return views_lib.View(
      pool=jax.device_put(rows), remaining=jax.device_put(remaining),
      aligned=jax.device_put(rows[aligned]),
      aligned_mask=jnp.ones(len(aligned), bool), metric=metric)
