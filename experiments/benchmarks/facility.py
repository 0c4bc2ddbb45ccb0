"""Facility location: other packages against ours, all items as points."""

import functools

import jax
import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import peers
from experiments.benchmarks import result
from experiments.benchmarks import timing
from experiments.benchmarks import truth
from mmal_jax.acquire.kernels import facility_location


def _similarities(rows):
  """`[n, n]`: what both packages are given, as neither has it itself."""
  similarities = rows @ rows.T
  return np.maximum(similarities, 0.0, out=similarities)


def _apricot(rows, k):
  from apricot import FacilityLocationSelection
  chosen = FacilityLocationSelection(
      k, metric='precomputed', optimizer='lazy').fit(
          _similarities(rows).astype(np.float64))
  return np.asarray(chosen.ranking)


def _submodlib(rows, k):
  from submodlib import FacilityLocationFunction
  function = FacilityLocationFunction(
      n=len(rows), mode='dense', sijs=_similarities(rows), separate_rep=False,
      pybind_mode='array')
  chosen = function.maximize(
      budget=k, optimizer='LazyGreedy', stopIfZeroGain=False,
      stopIfNegativeGain=False, show_progress=False)
  return np.array([index for index, _ in chosen])


PEERS = {'apricot-select': _apricot, 'submodlib-py': _submodlib}


def run(small: bool) -> result.Result:
  """All that are installed, on the same rows."""
  n, d, k = (600, 16, 20) if small else (20_000, 512, 500)
  rows = [row for kind in data.KINDS for row in _rows(kind, n, d, k)]
  return result.Result(
      'facility',
      ['rows', 'who', 'version', 'seconds', 'ratio to ours', 'picks of ours'],
      rows, [
          f'N={n}, D={d}, k={k}; every item is a point, none is aligned; from '
          'embeddings to picks.',
          'apricot squares cosines, and submodlib counts negative ones against '
          'the first pick: both are given the similarities of facility '
          'location as it is defined here, one product by NumPy, which counts. '
          'Both are lazy. They warm up on 100 rows.',
          data.NOTE, timing.NOTE])


def _rows(kind, n, d, k):
  pool = data.pool(kind, n, d)
  view = data.view(pool, np.arange(0))
  versions = {name: peers.version(name) for name in PEERS}
  present = {name: f for name, f in PEERS.items() if versions[name]}
  timed = timing.side_by_side(
      {'ours': lambda: facility_location.select_facilities(
          view, k, jax.random.key(0), n)} | {
              name: functools.partial(f, pool, k)
              for name, f in present.items()},
      {name: functools.partial(f, pool[:100], 10)
       for name, f in present.items()})
  seconds, picks = timed['ours']
  for name in ('ours', *PEERS):
    if name not in timed:
      yield [kind, name, 'not installed', None, None, None]
      continue
    yield [kind, name, versions.get(name), timed[name][0],
           timed[name][0].best / seconds.best,
           truth.compared(timed[name][1], picks)]
