"""Experimental design: in memory a read a pick, from disk few passes."""

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
from mmal_jax.acquire.kernels import design_streaming
from mmal_jax.embed import disk

_RANK = 256


def run(small: bool) -> result.Result:
  """From reference rows to picks; from disk projected in every pass."""
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
      ['rows', 'N', 'in memory', 'from disk', 'ratio', 'passes', 'same picks',
       'memory grew by MB'], rows, [
           f'D={d}, k={k}, rank {_RANK} at most, {len(aligned)} aligned. In '
           'memory all rows are read for every pick.',
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
      'memory': lambda: design.select_design(*given(view)),
      'disk': lambda: design_streaming.select_design(*given(on_disk))})
  with peak.Peak() as held:
    design_streaming.select_design(*given(on_disk))
  seconds, picks = timed['memory']
  streamed, (disk_picks, passes) = timed['disk']
  return [seconds, streamed, streamed.best / seconds.best, passes,
          truth.compared(disk_picks, picks), held.grown / 1e6]
