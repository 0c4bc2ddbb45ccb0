"""A pool over several devices: the same picks, and what each one holds."""

import collections
import functools
import re

import jax
import numpy as np

from experiments.benchmarks import child
from experiments.benchmarks import data
from experiments.benchmarks import result
from experiments.benchmarks import timing
from mmal_jax.acquire import coreset
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.parallel import sharding

_COLLECTIVE = re.compile(
    r' (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)'
    r'(?:-start)?\(')


def run(small: bool) -> result.Result:
  """Virtual CPU devices, a process for every number of them."""
  if small:
    counts, n, d, k, a = (1, 2), 1000, 16, 20, 10
  else:
    counts, n, d, k, a = (1, 2, 4, 8), 100_000, 512, 500, 100
  measured = [
      child.call('experiments.benchmarks.devices', devices=count, n=n, d=d, k=k,
                 a=a)
      for count in counts]
  rows = [
      [kind, count, of_it[kind]['picks'] == measured[0][kind]['picks'],
       of_it[kind]['bytes'] / 1e6, of_it[kind]['collectives'],
       of_it[kind]['passes'], timing.Seconds(*of_it[kind]['seconds'])]
      for kind in data.KINDS for count, of_it in zip(counts, measured)]
  return result.Result(
      'devices',
      ['rows', 'devices', 'picks of one device', 'MB of the pool a device',
       'collectives in the program', 'passes', 'seconds'],
      rows, [
          f'N={n}, D={d}, k={k}, {a} aligned; from embeddings to picks.',
          'Virtual devices share the same cores: seconds can show what the '
          'division costs, not what it gains.',
          'Collectives are counted in the compiled program; those in the loop '
          'over passes run once a pass.',
          data.NOTE, timing.NOTE])


def measure(devices: int, n: int, d: int, k: int, a: int) -> dict[str, dict]:
  """With this many devices, by kind of rows."""
  jax.config.update('jax_num_cpu_devices', devices)
  rows = sharding.row_sharding()
  views = {}
  for kind in data.KINDS:
    pool = data.pool(kind, n, d)
    views[kind] = views_lib.View(
        sharding.shard_rows(pool, rows),
        sharding.shard_rows(np.arange(n) >= a, rows, False), pool[:a],
        np.ones(a, bool), metric=metric_lib.SQEUCLIDEAN, rows=rows)
  select = jax.jit(lambda view: coreset.select_with_passes(view, k))
  program = select.lower(views['uniform']).compile()
  timed = timing.side_by_side({
      kind: functools.partial(program, view) for kind, view in views.items()})
  counts = collections.Counter(_COLLECTIVE.findall(program.as_text()))
  collectives = ', '.join(f'{c} {name}' for name, c in sorted(counts.items()))
  return {
      kind: {
          'picks': np.asarray(picks).tolist(), 'passes': int(passes),
          'bytes': max(
              s.data.nbytes for s in views[kind].pool.addressable_shards),
          'collectives': collectives, 'seconds': seconds}
      for kind, (seconds, (picks, passes)) in timed.items()}


if __name__ == '__main__':
  child.answer(measure(**child.arguments()))
