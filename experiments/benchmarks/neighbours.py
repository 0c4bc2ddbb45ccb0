"""Nearest neighbours by an index, at stated recalls, beside the exact ones."""

import functools
import time

import jax
import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import result
from experiments.benchmarks import timing
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import pseudo_alignment
from mmal_jax.matching import approximate

_K = 20
_HIDDEN = 12
_RECALLS = (0.9, 0.99)


def run(small: bool) -> result.Result:
  """Recall against time."""
  n, m, d = (300, 2000, 16) if small else (2048, 100_000, 256)
  recalls = _RECALLS[:1] if small else _RECALLS
  rows = []
  for kind in ('manifold', *data.KINDS):
    rows += _of_kind(kind, n, m, d, recalls)
  return result.Result(
      'neighbours',
      ['rows', 'recall stated', 'measured', 'cells looked into', 'of cells',
       'index and choice', 'search', 'exact', 'times as fast'], rows, [
           f'The {_K} nearest of {n} rows among {m} others of {d}, from the '
           'same draw. Measured: against the exact ones, all rows.',
           'Index and choice: k-means, cells, and the exact neighbours of a '
           'sample of at most 2,048 rows, by which the number of cells is '
           'chosen and the recall estimated; once, programs compiled. It does '
           'not grow with the number of rows that are looked for.',
           'Times as fast: the search alone against the exact one, which is '
           'taken itself where more than a fifth of the cells would have to be '
           'looked into.',
           f'Manifold: {_HIDDEN} normal variables, a random linear map, tanh '
           'and another map.',
           data.NOTE, timing.NOTE])


def _of_kind(kind, n, m, d, recalls):
  pool = (_manifold(n + m, d) if kind == 'manifold' else
          data.pool(kind, n + m, d))
  view, other = (data.view(rows, np.arange(0), metric_lib.COSINE)
                 for rows in (pool[:n], pool[n:]))
  found, chosen = {}, {}
  approximate.choose(view, other, _K, recalls[0])  # Compiles.
  for recall in recalls:
    started = time.perf_counter()
    found[recall] = jax.block_until_ready(
        approximate.choose(view, other, _K, recall))
    chosen[recall] = time.perf_counter() - started
  functions = {'exact': functools.partial(
      pseudo_alignment.best_matches, view, other, _K)}
  for recall, choice in found.items():
    functions[recall] = functools.partial(
        approximate.search, view, other, _K, choice)
  timed = timing.side_by_side(functions)
  exact, (expected, _) = timed.pop('exact')
  return [
      [kind, recall, _recall(np.asarray(expected), np.asarray(given.indices)),
       given.probes, len(found[recall].index.centres), chosen[recall],
       seconds, exact, exact.best / seconds.best]
      for recall, (seconds, given) in timed.items()]


def _manifold(n, d):
  rng = np.random.default_rng(0)
  hidden = rng.standard_normal((n, _HIDDEN), np.float32)
  rows = np.tanh(hidden @ rng.standard_normal((_HIDDEN, d), np.float32) / 2)
  rows = rows @ rng.standard_normal((d, d), np.float32)
  return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _recall(expected, found) -> float:
  return float(np.mean([
      np.isin(a, b).mean() for a, b in zip(expected, found)]))
