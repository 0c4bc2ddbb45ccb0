"""The textbook greedy, one read of the pool a centre, against ours."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import result
from experiments.benchmarks import timing
from experiments.benchmarks import truth
from mmal_jax.acquire import coreset
from mmal_jax.acquire import coverage
from mmal_jax.acquire import views as views_lib


def select(view: views_lib.View, k: int) -> jax.Array:
  """As `coreset.select_coreset`, by the textbook.

  Args:
    view: of one modality, in memory on one device, of squared distances.
    k: picks.

  Returns:
    `[k]` int32 indices.
  """
  return _select(coverage.covered(view), k)


@functools.partial(jax.jit, static_argnames='k')
def _select(view, k):
  pool = view.pool
  squares = jnp.sum(jnp.square(pool), axis=1)

  def add(i, carry):
    nearest, picks = carry
    pick = jnp.argmax(nearest).astype(jnp.int32)
    # Reads the pool at the full bandwidth on CPU. Tried and slower: tiles of
    # rows (3 times), sums of products (1.5 times), 8 columns (1.8 times).
    dots = jnp.matmul(pool, pool[pick], precision='highest')
    nearest = jnp.minimum(nearest, squares + squares[pick] - 2.0 * dots)
    return nearest.at[pick].set(-jnp.inf), picks.at[i].set(pick)

  allowed = jnp.where(view.remaining, view.nearest, -jnp.inf)
  return jax.lax.fori_loop(0, k, add, (allowed, jnp.zeros(k, jnp.int32)))[1]


def run(small: bool) -> result.Result:
  """Both at the largest size."""
  n, d, k = (2000, 32, 50) if small else (100_000, 512, 1000)
  aligned = np.arange(10 if small else 100)
  rows = []
  for kind in data.KINDS:
    pool = data.pool(kind, n, d)
    view = data.view(pool, aligned)
    timed = timing.side_by_side({
        'ours': lambda: coreset.select_with_passes(view, k),
        'plain': lambda: select(view, k)})
    seconds, (picks, passes) = timed['ours']
    plain_seconds, plain_picks = timed['plain']
    radius, plain_radius = (
        truth.covering_radius(pool, np.concatenate([aligned, np.asarray(p)]))
        for p in (picks, plain_picks))
    rows.append([
        kind, plain_seconds, seconds, plain_seconds.best / seconds.best,
        int(passes), plain_seconds.best / k * 1e3,
        truth.compared(picks, plain_picks), 100 * (radius / plain_radius - 1)])
  return result.Result(
      'plain',
      ['rows', 'plain loop', 'ours', 'ratio', 'passes of ours',
       'ms a centre, plain', 'same picks',
       'covering radius above plain, %'],
      rows, [
          f'N={n}, D={d}, k={k}, {len(aligned)} aligned; from embeddings to '
          'picks. The plain loop reads the pool k times.',
          data.NOTE, timing.NOTE])
