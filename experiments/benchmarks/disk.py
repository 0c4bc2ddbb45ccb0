"""A pool that is larger than the memory that it may take."""

import dataclasses
import pathlib
import tempfile

import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import peak
from experiments.benchmarks import result
from experiments.benchmarks import timing
from experiments.benchmarks import truth
from mmal_jax.acquire import coreset
from mmal_jax.embed import disk


def run(small: bool) -> result.Result:
  """From a file in chunks, beside the same pool in memory."""
  n, d, k = (2000, 64, 20) if small else (400_000, 512, 500)
  aligned = np.arange(100)
  rows = []
  for kind in data.KINDS:
    pool = data.pool(kind, n, d)
    cap = pool.nbytes // 4
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder) / 'pool.npy'
      np.save(path, pool)
      in_memory = data.view(pool, aligned)
      del pool
      on_disk = dataclasses.replace(
          in_memory, pool=disk.open_rows(path, chunk_bytes=cap // 2))
      timed = timing.side_by_side({
          'memory': lambda: coreset.select_with_passes(in_memory, k),
          'disk': lambda: coreset.select_with_passes(on_disk, k)})
      with peak.Peak() as held:
        coreset.select_coreset(on_disk, k).block_until_ready()
    (seconds, (picks, _)), (disk_seconds, (disk_picks, passes)) = (
        timed['memory'], timed['disk'])
    rows.append([
        kind, 4 * cap / 1e6, cap / 1e6, on_disk.pool.num_chunks,
        truth.compared(disk_picks, picks), int(passes), seconds, disk_seconds,
        disk_seconds.best / seconds.best, held.grown / 1e6])
  return result.Result(
      'disk',
      ['rows', 'pool MB', 'cap MB', 'chunks', 'picks of in-memory run',
       'passes', 'in memory', 'from disk', 'ratio', 'memory grew by MB'],
      rows, [
          f'N={n}, D={d}, k={k}, {len(aligned)} aligned; from embeddings to '
          'picks. The cap covers two chunks.',
          'The file was written just before and lies in the system\'s cache of '
          'files, as far as that reaches.',
          'Memory grew: the most that the process held beyond what it held '
          'before the run, without that cache. On CPU the chunks on the device '
          'and those on the host both count.',
          data.NOTE, timing.NOTE])
