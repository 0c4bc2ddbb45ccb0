"""Greedy k-center against the size of the pool and the number of picks."""

import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import result
from experiments.benchmarks import timing
from mmal_jax.acquire import coreset


def run(small: bool) -> result.Result:
  """Seconds, and the exponents that fit them."""
  if small:
    sizes, picks, n, d, k, a = (500, 1000), (10, 20), 1000, 16, 20, 10
  else:
    sizes = (10_000, 30_000, 100_000, 300_000, 1_000_000)
    picks, n, d, k, a = (50, 100, 200, 500, 1000, 2000), 100_000, 256, 500, 100
  rows = []
  for kind in data.KINDS:
    pool = data.pool(kind, max(sizes), d)
    views = {size: data.view(pool[:size], np.arange(a)) for size in sizes}
    rows += _fitted(kind, 'N', [(size, k) for size in sizes], views)
    rows += _fitted(kind, 'k', [(n, count) for count in picks], views)
  return result.Result(
      'scaling',
      ['rows', 'varied', 'N', 'k', 'seconds', 'passes', 'exponent'], rows, [
          f'D={d}, {a} aligned; from embeddings to picks.',
          'Exponent: of the varied quantity, by least squares on logarithms of '
          'all its rows.',
          data.NOTE, timing.NOTE])


def _fitted(kind, varied, cases, views):
  timed = timing.side_by_side({
      (n, k): lambda n=n, k=k: coreset.select_with_passes(views[n], k)
      for n, k in cases})
  best = [timed[case][0].best for case in cases]
  values = [case['Nk'.index(varied)] for case in cases]
  exponent = float(np.polyfit(np.log(values), np.log(best), 1)[0])
  for n, k in cases:
    seconds, (_, passes) = timed[n, k]
    yield [kind, varied, n, k, seconds, int(passes), exponent]
