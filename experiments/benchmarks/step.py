"""A whole step of the paper's method, and its three stages."""

import jax
import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import result
from experiments.benchmarks import timing
from mmal_jax.acquire import coreset
from mmal_jax.acquire import coverage
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import modality as modality_lib
from mmal_jax.acquire import registry
from mmal_jax.acquire import uncertainty
from mmal_jax.acquire import views as views_lib


def run(small: bool) -> result.Result:
  """Seconds at several sizes of the pools."""
  if small:
    sizes, d, batch, a = (500,), 16, 10, 20
  else:
    sizes, d, batch, a = (10_000, 100_000, 300_000), 256, 200, 1000
  return result.Result(
      'step',
      ['N', 'whole step', 'coverage of both', 'modality', 'coreset', 'margin',
       'whole / sum of stages'],
      [_row(n, d, batch, a) for n in sizes], [
          f'N items in each modality, D={d}, {a} aligned, a batch of {batch} '
          f'out of {2 * batch} coreset candidates, cosine, clustered rows.',
          'Whole: the strategy `mmal`. Stages: each by itself, on what the '
          'stages before it hand over.',
          data.NOTE, timing.NOTE])


def _row(n, d, batch, a):
  views = {
      m: data.view(data.pool('clustered', n, d, seed), np.arange(a),
                   metric_lib.COSINE)
      for seed, m in enumerate(('image', 'text'))}
  covered = {m: coverage.covered(view) for m, view in views.items()}
  modality = modality_lib.select_modality(covered)
  view, others = covered[modality], views_lib.others(covered, modality)
  candidates = coreset.select_coreset(view, 2 * batch)
  mmal = registry.STRATEGIES['mmal']
  timed = timing.side_by_side({
      'whole': lambda: mmal(views, batch, jax.random.key(0)).indices,
      'coverage': lambda: [coverage.covered(v).nearest for v in views.values()],
      'modality': lambda: modality_lib.select_modality(covered),
      'coreset': lambda: coreset.select_coreset(view, 2 * batch),
      'margin': lambda: uncertainty.select_uncertain(
          candidates, view, others, batch)})
  seconds = [of_it for of_it, _ in timed.values()]
  return [n, *seconds,
          seconds[0].best / sum(stage.best for stage in seconds[1:])]
