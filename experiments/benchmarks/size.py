"""A whole step of the recommended strategies, up to ten million items."""

import gc
import pathlib
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import peak
from experiments.benchmarks import result
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.embed import disk

_STRATEGIES = ('mmal', 'mmal_plus')
_CENTRES = 1000
_NOISES = 2**15  # rows of noise, each used with many centres


def run(small: bool) -> result.Result:
  """Seconds and memory from pools on disk, and the exponents that fit them."""
  if small:
    sizes, d, batch, a = (1000, 2000), 16, 10, 20
  else:
    sizes, d, batch, a = (100_000, 1_000_000, 10_000_000), 512, 1000, 1000
  rows = [row for n in sizes for row in _rows(n, d, batch, a)]
  for name in _STRATEGIES:
    seconds = [row[3] for row in rows if row[1] == name]
    exponent = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
    for row in rows:
      if row[1] == name:
        row.append(exponent)
  return result.Result(
      'size',
      ['N', 'strategy', 'pools MB', 'seconds', 'ratio to mmal',
       'memory grew by MB', 'exponent'], rows, [
          f'N items in each of two modalities, D={d}, bfloat16 in files of '
          f'{_CENTRES} clusters, {a} aligned, a batch of {batch}, cosine.',
          'One run each, the second of two where N is below 2,000,000; the '
          'largest includes compilation.',
          'Memory grew: the most that the process held beyond what it held '
          'before the run, without the system\'s cache of files.'])


def _rows(n, d, batch, a):
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    views = _views(pathlib.Path(folder), n, d, a)
    for name in _STRATEGIES:
      strategy = registry.find(name)
      for _ in range(2 if n < 2_000_000 else 1):
        gc.collect()
        with peak.Peak() as held:
          start = time.perf_counter()
          jax.block_until_ready(
              strategy(views, batch, jax.random.key(0)).indices)
          seconds = time.perf_counter() - start
      first = rows[0][3] if rows else seconds
      rows.append([n, name, 2 * 2 * n * d / 1e6, seconds, seconds / first,
                   held.grown / 1e6])
      jax.clear_caches()
  return rows


def _views(folder, n, d, a):
  rng = np.random.default_rng(0)
  cluster = rng.integers(_CENTRES, size=n)
  views = {}
  for m in ('image', 'text'):
    path = folder / f'{m}.npy'
    _write(path, cluster, d, rng)
    pool = disk.open_rows(path, dtype='bfloat16')
    aligned = np.arange(a)
    views[m] = views_lib.View(
        pool, jnp.arange(n) >= a, jnp.asarray(pool.take(aligned)),
        jnp.ones(a, bool))
  return views


def _write(path, cluster, d, rng):
  centres, noises = (
      rng.standard_normal((count, d), np.float32)
      for count in (_CENTRES, _NOISES))
  file = np.lib.format.open_memmap(
      path, 'w+', np.uint16, (len(cluster), d))
  step = 2**16
  for first in range(0, len(cluster), step):
    part = cluster[first:first + step]
    rows = centres[part] + 0.5 * noises[rng.integers(_NOISES, size=len(part))]
    rows /= np.sqrt(np.einsum('nd,nd->n', rows, rows))[:, None]
    file[first:first + step] = np.asarray(rows, jnp.bfloat16).view(np.uint16)
  file.flush()
