"""How many candidates a pass should take: passes against their cost."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import result
from experiments.benchmarks import timing
from mmal_jax.acquire import coreset
from mmal_jax.acquire import coverage


def run(small: bool) -> result.Result:
  """Fixed numbers of candidates, and the default."""
  if small:
    sizes, counts, n, d = (32, 64), (20,), 1000, 16
  else:
    sizes, counts = (128, 256, 512, 1024, 2048, 4096), (100, 1000)
    n, d = 100_000, 512
  rows = []
  for kind in data.KINDS:
    pool = data.pool(kind, n, d)
    view = coverage.covered(data.view(pool, np.arange(100)))
    folds = _folds(view, sizes)
    for k in counts:
      timed = timing.side_by_side({
          size: lambda size=size: coreset.select_with_passes(view, k, size)
          for size in (*sizes, None)})
      for size, (seconds, (_, passes)) in timed.items():
        passes = int(passes)
        rows.append([
            kind, k, 'default' if size is None else size, passes, k / passes,
            seconds, folds[size].best * passes if size in folds else None])
  return result.Result(
      'blocks',
      ['rows', 'k', 'candidates', 'passes', 'picks a pass', 'seconds',
       'folding all candidates, s'],
      rows, [
          f'N={n}, D={d}, 100 aligned, their distances known; from there to '
          'picks.',
          'Folding all: the seconds of a fold of this many centres times the '
          'passes. It is what every pass would cost, were not the picks alone '
          'folded (which `seconds` includes).',
          data.NOTE, timing.NOTE])


def _folds(view, sizes):
  """Seconds of taking this many rows of the pool in as centres."""
  functions = {}
  for size in sizes:
    centres, mask = view.pool[:size], jnp.ones(size, bool)
    # They don't remain, or that they coincide with themselves would cost extra.
    remaining = view.remaining & (jnp.arange(len(view.remaining)) >= size)
    others = dataclasses.replace(view, remaining=remaining)
    functions[size] = lambda others=others, centres=centres, mask=mask: (
        coverage.with_aligned(others, centres, mask).nearest)
  timed = timing.side_by_side(functions)
  return {size: seconds for size, (seconds, _) in timed.items()}
