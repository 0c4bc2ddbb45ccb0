"""What facility location loses if a sample of points stands for the pool."""

import jax
import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import result
from experiments.benchmarks import timing
from mmal_jax.acquire.kernels import facility_location

_CHUNK = 4096  # rows


def run(small: bool) -> result.Result:
  """The sums over all items that picks by samples of several sizes reach."""
  n, d, k, sizes, seeds = (
      (600, 16, 20, (64,), 2) if small
      else (20_000, 512, 500, (1024, 4096, 8192), 3))
  rows = []
  for kind in data.KINDS:
    pool = data.pool(kind, n, d)
    view = data.view(pool, np.arange(0))
    seconds, picks = timing.alone(
        lambda: facility_location.select_facilities(
            view, k, jax.random.key(0), n))
    exact = _covered(pool, np.asarray(picks))
    rows.append([kind, n, seconds, 0.0, 0.0])
    for size in sizes:
      seconds, _ = timing.alone(
          lambda: facility_location.select_facilities(
              view, k, jax.random.key(0), size))
      losses = [100 - 100 / exact * _covered(
          pool, np.asarray(facility_location.select_facilities(
              view, k, jax.random.key(seed), size)))
                for seed in range(seeds)]
      rows.append([kind, size, seconds, np.mean(losses), np.max(losses)])
  return result.Result(
      'points',
      ['rows', 'points', 'seconds', 'loss, %', 'largest loss, %'],
      rows, [
          f'N={n}, D={d}, k={k}, none aligned. Loss: by how much the sum over '
          'all items of the similarity to the nearest pick is below that of '
          f'the picks by all items; mean and largest of {seeds} draws.',
          data.NOTE, timing.NOTE])


def _covered(pool, picks):
  """The sum over all items of the largest cosine to a pick."""
  chosen = pool[picks].astype(np.float64)
  return sum(
      np.maximum(pool[i:i + _CHUNK] @ chosen.T, 0).max(axis=1).sum()
      for i in range(0, len(pool), _CHUNK))
