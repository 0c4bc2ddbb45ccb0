"""Nearest neighbours by an index, at stated recalls, beside the exact ones."""

import functools
import time

import jax
import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import result
from experiments.benchmarks import timing
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import inverted_lists
from mmal_jax.acquire.kernels import pseudo_alignment
from mmal_jax.matching import approximate

_K = 20
_RECALLS = (0.9, 0.95, 0.99)


def run(small: bool) -> result.Result:
  """Recall against time."""
  n, m, d = (300, 2000, 16) if small else (4000, 100_000, 256)
  recalls = _RECALLS[:1] if small else _RECALLS
  rows = []
  for kind in data.KINDS:
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
           'Times as fast: the search alone against the exact one.',
           data.NOTE, timing.NOTE])


def _of_kind(kind, n, m, d, recalls):
  pool = data.pool(kind, n + m, d)
  view, other = (data.view(rows, np.arange(0), metric_lib.COSINE)
                 for rows in (pool[:n], pool[n:]))
  found, chosen = {}, {}
  for recall in recalls:
    approximate.choose(view, other, _K, recall)  # Compiles.
    started = time.perf_counter()
    found[recall] = jax.block_until_ready(
        approximate.choose(view, other, _K, recall))
    chosen[recall] = time.perf_counter() - started
  functions = {'exact': functools.partial(
      pseudo_alignment.best_matches, view, other, _K)}
  for recall, choice in found.items():
    functions[recall] = functools.partial(
        inverted_lists.search, choice.index, view.pool, _K, choice.probes,
        view.metric)
  timed = timing.side_by_side(functions)
  exact, (expected, _) = timed.pop('exact')
  return [
      [kind, recall, _recall(np.asarray(expected), np.asarray(indices)),
       found[recall].probes, len(found[recall].index.centres), chosen[recall],
       seconds, exact, exact.best / seconds.best]
      for recall, (seconds, (indices, _)) in timed.items()]


def _recall(expected, found) -> float:
  return float(np.mean([
      np.isin(a, b).mean() for a, b in zip(expected, found)]))
