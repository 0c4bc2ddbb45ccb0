"""The likeliest counterparts, for an annotator to choose from."""

from collections.abc import Mapping
import functools

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.parallel import sharding

_QUERIES = 64  # at a time: memory is that many rows of similarities


def suggester(
    views: Mapping[str, views_lib.View], numbers: Mapping[str, np.ndarray]
) -> oracle_lib.Suggest:
  """Ranks what remains of the other modalities by the model's similarity.

  Args:
    views: by modality, of what has arrived.
    numbers: by modality, `[n_m]` int32, of its items.

  Returns:
    As `oracle.Suggest`. Nothing is computed before it is called; over a mesh of
    several processes all of them must call it.
  """
  def suggest(modality, asked, other, k):
    rows_of = np.argsort(numbers[modality])
    rows = rows_of[np.searchsorted(numbers[modality], asked, sorter=rows_of)]
    found = []
    for first in range(0, len(rows), _QUERIES):
      some = np.resize(rows[first:first + _QUERIES], _QUERIES)
      best = np.asarray(_best(
          rows_lib.take(views[modality].pool, some),
          views_lib.located(views[other]),
          min(k, len(numbers[other]))))[:len(rows) - first]
      found.append(np.where(
          best >= 0, numbers[other][best], oracle_lib.NONE))
    best = np.concatenate(found).astype(np.int32)
    return np.pad(best, ((0, 0), (0, k - best.shape[1])),
                  constant_values=oracle_lib.NONE)

  return suggest


@functools.partial(jax.jit, static_argnames='k')
def _best(rows, view, k):
  """`[q, k]` rows of the view's pool; -1 where fewer remain."""
  metric = view.metric

  def local(axis, pool, remaining, rows):
    distances = metric.distances(
        metric_lib.dots(rows, pool), metric.norms(rows), metric.norms(pool))
    values, best = rows_lib.top_k(
        jnp.where(remaining[None], -distances, -jnp.inf), k, axis)
    return jnp.where(values > -jnp.inf, best, -1)

  return sharding.map_rows(
      local, view.rows, (view.pool, view.remaining), (rows,))
