"""A pool stored as bfloat16: what becomes of the picks."""

import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import result
from experiments.benchmarks import truth
from mmal_jax.acquire import coreset


def run(small: bool) -> result.Result:
  """Against float32 storage, over several seeds."""
  n, d, k, seeds = (1000, 32, 20, 2) if small else (20_000, 256, 500, 5)
  aligned = np.arange(100)
  rows = []
  for kind in data.KINDS:
    of_seeds = [_compare(kind, n, d, k, aligned, s) for s in range(seeds)]
    rows += [[kind, seed, *row] for seed, row in enumerate(of_seeds)]
    rows.append([kind, 'all', *map(_mean_std, zip(*of_seeds))])
  return result.Result(
      'precision',
      ['rows', 'seed', '% of picks not in float32\'s',
       '% of places with another pick', 'first place that differs',
       'covering radius above float32\'s, %'],
      rows, [
          f'N={n}, D={d}, k={k}, {len(aligned)} aligned. Places count from 0; '
          'both radii are measured on the float32 rows.',
          data.NOTE])


def _compare(kind, n, d, k, aligned, seed):
  pool = data.pool(kind, n, d, seed)
  exact, rounded = (
      np.asarray(coreset.select_coreset(data.view(rows, aligned), k))
      for rows in (pool, pool.astype(jnp.bfloat16)))
  same = exact == rounded
  first = k if same.all() else int(same.argmin())
  radius, rounded_radius = (
      truth.covering_radius(pool, np.concatenate([aligned, picks]))
      for picks in (exact, rounded))
  return (100 * (1 - len(np.intersect1d(exact, rounded)) / k),
          100 * (1 - same.mean()), first,
          100 * (rounded_radius / radius - 1))


def _mean_std(values):
  return f'{np.mean(values):.3g} ± {np.std(values, ddof=1):.2g}'
