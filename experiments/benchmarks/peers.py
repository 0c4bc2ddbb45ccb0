"""Greedy k-center: other packages and the plain loop against ours."""

from collections.abc import Callable
import functools
import importlib.metadata
from typing import NamedTuple

import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import plain
from experiments.benchmarks import result
from experiments.benchmarks import timing
from experiments.benchmarks import truth
from mmal_jax.acquire import coreset

_FIRST = 7


class Peer(NamedTuple):
  """Another package's greedy k-center.

  Attributes:
    package: its name in the index.
    select: `(rows [n, d], k, first) -> [k]` indices, `first` the first. Imports
      the package only when it is called.
  """

  package: str
  select: Callable[[np.ndarray, int, int], np.ndarray]


def _skmatter(rows, k, first):
  from skmatter import sample_selection
  selector = sample_selection.FPS(initialize=first, n_to_select=k)
  return selector.fit(rows).selected_idx_


def _bmdal(rows, k, first):
  np.Inf = np.inf  # bmdal-reg 3.0.2 reads a name that NumPy 2 has dropped.
  from bmdal_reg.bmdal import feature_data
  from bmdal_reg.bmdal import feature_maps
  from bmdal_reg.bmdal import features
  from bmdal_reg.bmdal import selection
  import torch
  values = torch.from_numpy(rows)
  identity = feature_maps.IdentityFeatureMap(n_features=rows.shape[1])
  pool, train = (
      features.Features(identity, feature_data.TensorFeatureData(x))
      for x in (values, values[[first]]))
  method = selection.MaxDistSelectionMethod(
      pool, train, sel_with_train=True, verbosity=0)
  return np.append(first, method.select(k - 1).numpy())


def _quickfps(rows, k, first):
  import torch
  import torch_quickfps
  values = torch.from_numpy(rows)[None]
  return torch_quickfps.sample_idx(values, k, start_idx=first).numpy()[0]


def _fpsample(rows, k, first):
  import fpsample
  return fpsample.fps_sampling(rows, k, start_idx=first)


def _skactiveml(rows, k, first):
  from skactiveml import pool
  labels = np.full(len(rows), np.nan)
  labels[first] = 0
  picks, _ = pool.k_greedy_center(
      rows, labels, batch_size=k - 1, random_state=0)
  return np.append(first, picks)


def _rdkit(rows, k, first):
  from rdkit.SimDivFilters import rdSimDivPickers
  picks = rdSimDivPickers.MaxMinPicker().LazyPick(
      lambda i, j: float(np.linalg.norm(rows[i] - rows[j])), len(rows), k,
      [first])
  return np.array(picks)


PEERS = (
    Peer('skmatter', _skmatter), Peer('bmdal-reg', _bmdal),
    Peer('torch-quickfps', _quickfps), Peer('fpsample', _fpsample),
    Peer('scikit-activeml', _skactiveml), Peer('rdkit', _rdkit))


def run(small: bool) -> result.Result:
  """All that are installed, on the same rows."""
  d, k = (16, 20) if small else (512, 500)
  # At the larger size only the fastest of those with our picks.
  sizes = {1000: PEERS} if small else {
      50_000: PEERS, 400_000: PEERS[1:2]}
  rows = [row for n, peers in sizes.items() for kind in data.KINDS
          for row in _rows(kind, n, d, k, peers)]
  return result.Result(
      'peers',
      ['N', 'rows', 'who', 'version', 'seconds', 'ratio to ours',
       'picks of float64 greedy', 'covering radius above ours, %'],
      rows, [
          f'D={d}, k={k}, of which the first is given; from a NumPy '
          'array or tensor in memory, ours and the plain loop from a JAX one.',
          'Every package runs with its own default number of threads. Packages '
          'warm up on 100 rows.',
          data.NOTE, timing.NOTE])


def version(package: str) -> str | None:
  """That is installed, or None."""
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _rows(kind, n, d, k, peers):
  pool = data.pool(kind, n, d)
  view = data.view(pool, np.array([_FIRST]))
  versions = {peer.package: version(peer.package) for peer in peers}
  present = [peer for peer in peers if versions[peer.package]]
  functions = {
      'ours': lambda: coreset.select_coreset(view, k - 1),
      'plain loop': lambda: plain.select(view, k - 1),
  } | {peer.package: functools.partial(peer.select, pool, k, _FIRST)
       for peer in present}
  warm_ups = {peer.package: functools.partial(peer.select, pool[:100], 10, 7)
              for peer in present}
  timed = timing.side_by_side(functions, warm_ups)
  picks = {name: np.asarray(found) for name, (_, found) in timed.items()}
  for name in ('ours', 'plain loop'):
    picks[name] = np.append(_FIRST, picks[name])
  expected = truth.greedy(pool, _FIRST, k)
  radius = truth.covering_radius(pool, picks['ours'])
  for name in functions | versions:
    if name not in timed:
      yield [n, kind, name, 'not installed'] + [None] * 4
      continue
    seconds, _ = timed[name]
    yield [
        n, kind, name, versions.get(name), seconds,
        seconds.best / timed['ours'][0].best,
        truth.compared(picks[name], expected),
        100 * (truth.covering_radius(pool, picks[name]) / radius - 1)]
