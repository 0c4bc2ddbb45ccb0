"""Experimental design: a read of the pool a pick, against few passes."""

import pathlib
import tempfile

import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import peak
from experiments.benchmarks import result
from experiments.benchmarks import timing
from experiments.benchmarks import truth
from mmal_jax.acquire import alike
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import design
from mmal_jax.acquire.kernels import design_passes
from mmal_jax.acquire.kernels import design_streaming
from mmal_jax.embed import disk

_RANK = 256


def run(small: bool) -> result.Result:
  """From reference rows to picks; from disk, projections in every pass."""
  sizes, d, k = ((3000,), 32, 20) if small else (
      (100_000, 1_000_000), 512, 1000)
  chunk = 1 << (16 if small else 28)
  aligned = np.arange(10 if small else 100)
  rows = []
  for kind in data.KINDS:
    for n in sizes:
      pool = data.pool(kind, n, d)
      with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'pool.npy'
        np.save(path, pool)
        rows.append([kind, n] + _compared(pool, path, aligned, k, chunk))
  return result.Result(
      'design',
      ['rows', 'N', 'plain loop', 'few passes', 'ratio', 'from disk', 'passes',
       'the same from disk', 'same picks', 'the same from disk',
       'memory from disk grew by MB'], rows, [
           f'D={d}, k={k}, rank {_RANK} at most, {len(aligned)} aligned. The '
           'plain loop reads all rows k times, and is what strategies run on '
           'pools in memory.',
           data.NOTE, timing.NOTE])


def _compared(pool, path, aligned, k, chunk):
  remaining = np.ones(len(pool), bool)
  remaining[aligned] = False
  view, on_disk = (alike.by_reference(views_lib.View(
      rows, jnp.asarray(remaining), jnp.asarray(pool[aligned]),
      jnp.ones(len(aligned), bool)), _RANK) for rows in (
          jnp.asarray(pool), disk.open_rows(path, chunk)))

  def given(view):
    return (view.pool, view.remaining, view.aligned, view.aligned_mask, k)

  timed = timing.side_by_side({
      'plain': lambda: design.select_design(*given(view)),
      'passes': lambda: design_passes.select_design(*given(view)),
      'disk': lambda: design_streaming.select_design(*given(on_disk))})
  with peak.Peak() as held:
    design_streaming.select_design(*given(on_disk))
  plain, picks = timed['plain']
  few, (few_picks, passes) = timed['passes']
  streamed, (disk_picks, disk_passes) = timed['disk']
  return [plain, few, plain.best / few.best, streamed, int(passes),
          disk_passes, truth.compared(few_picks, picks),
          truth.compared(disk_picks, picks), held.grown / 1e6]
