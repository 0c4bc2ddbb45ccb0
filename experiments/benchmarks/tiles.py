"""What other sizes of tiles would take: measured here, compiled for a TPU."""

from collections.abc import Callable, Sequence
import functools
import importlib.util
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import result
from experiments.benchmarks import timing
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import kmeans
from mmal_jax.acquire.kernels import matches
from mmal_jax.acquire.kernels import nearest
from mmal_jax.acquire.kernels import pseudo_alignment
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.acquire.kernels import tiles
from mmal_jax.acquire.kernels import typicality
from mmal_jax.planning import chips
from mmal_jax.planning import hlo
from mmal_jax.planning import place

_METRIC = metric_lib.COSINE
_TOPOLOGY = 'v5e:1x1'
_K = 20  # neighbours
_GROUPS = 20

Tile = tile_sizes.Tile


class Sizes(NamedTuple):
  """Of all cases: n rows and m others of width d."""

  n: int
  m: int
  d: int


class Case(NamedTuple):
  """One use of tiles.

  Attributes:
    run: of two arrays, `x [n, d]` and `y [m, d]`.
    trips: how often its loops go (`hlo.cycles`).
    rows: of a tile, to be tried.
    columns: the same; None where all are taken at once.
  """

  run: Callable[[jax.Array, jax.Array], Any]
  trips: Callable[[Sizes, Tile], Sequence[Sequence[float]]]
  rows: Sequence[int]
  columns: Sequence[int | None] = (None,)


def _nearest(x, y):
  rows = nearest.Rows(x, _METRIC.norms(x), jnp.ones(len(x), bool))
  return nearest.fold(
      rows, jnp.full(len(x), jnp.inf), y, jnp.ones(len(y), bool), _METRIC)


def _view(x):
  return views_lib.View(
      x, jnp.ones(len(x), bool), x[:1], jnp.zeros(1, bool), metric=_METRIC)


def _matches(x, y):
  return matches.match_rows(y, _view(x), _METRIC, jnp.float32(100.0))


def _best_matches(x, y):
  return pseudo_alignment.best_matches(_view(x), _view(y), _K)


def _best_both_ways(x, y):
  return pseudo_alignment.best_both_ways(_view(x), _view(y), _K)


def _typicality(x, y):
  del y
  groups = jnp.arange(len(x), dtype=jnp.int32) * _GROUPS // len(x)
  return typicality.typicality(x, groups, jnp.ones(len(x), bool), _K)


def _kmeans(x, y):
  return kmeans.lloyd(
      x, jnp.ones(len(x), bool), y, jnp.ones(len(y), bool), iterations=0)


def _gains(x, y):

  def of_rows(some):
    raised = jnp.maximum(metric_lib.dots(some, y) - 0.5, 0.0)
    return jnp.sum(raised, axis=1)

  return tiles.map_tiles(of_rows, tile_sizes.of('gains').rows, x)


CASES = {
    'nearest': Case(
        _nearest, lambda s, t: ((s.n / t.rows,), (s.m / t.columns,)),
        (1024, 2048, 4096, 8192, 16384, 65536), (64, 128, 256, 512)),
    'matches': Case(
        _matches, lambda s, t: ((s.m / t.columns,), (s.n / t.rows,)),
        (1024, 2048, 4096, 8192, 16384, 65536), (128, 256, 512)),
    'best_matches': Case(
        _best_matches, lambda s, t: ((s.n / t.rows,), (s.m / t.columns,)),
        (128, 256, 512, 1024), (1024, 4096, 16384, 65536)),
    'best_both_ways': Case(
        _best_both_ways, lambda s, t: ((s.n / t.rows,), (s.m / t.columns,)),
        (512, 1024, 2048), (512, 1024, 2048)),
    'typicality': Case(
        _typicality, lambda s, t: (
            (s.n / t.rows,), (s.n / _GROUPS / t.columns + 1, _K)),
        (128, 256, 512, 1024), (512, 1024, 2048, 4096)),
    'kmeans': Case(
        _kmeans, lambda s, t: ((s.n / t.rows,),),
        (1024, 2048, 4096, 8192, 16384, 65536)),
    'gains': Case(
        _gains, lambda s, t: ((s.n / t.rows,),),
        (128, 256, 512, 1024, 4096)),
}


def run(small: bool) -> result.Result:
  """All cases, on every platform that is at hand."""
  platform = jax.default_backend()
  rows, notes = [], []
  if small:
    here = Sizes(3000, 1100, 16)
  else:
    here = Sizes(*((10_000, 4096, 512) if platform == 'cpu' else
                   (1_000_000, 4096, 512)))
  for use in CASES:
    rows += _measured(use, platform, here, small)
  if platform != 'tpu' and importlib.util.find_spec('libtpu') is not None:
    there = Sizes(2**14, 2**10, 128) if small else Sizes(2**20, 2**12, 512)
    for use in CASES:
      rows += _compiled(use, there, small)
    notes.append(
        f'tpu: by libtpu\'s own estimate of cycles for {_TOPOLOGY}, '
        f'{there.n} rows and {there.m} others of {there.d}, bfloat16 '
        '(typicality and kmeans float32); what '
        '`top_k` takes is not among them; nothing was run on a TPU.')
  return result.Result(
      'tiles',
      ['platform', 'use', 'rows', 'columns', 'seconds', 'Mcycles', 'GFLOP/s',
       'of the best', 'in the table'], rows, [
           f'{platform}: measured, {here.n} rows and {here.m} others of '
           f'{here.d}, float32.', *notes,
           'GFLOP/s: products of all rows with all others (of typicality, of '
           'a group with itself). Of the best: how many times its time.',
           timing.NOTE])


def _tried(use, small) -> list[Tile]:
  case, listed = CASES[use], tile_sizes.TILES[use].values()
  rows = sorted({*case.rows, *(tile.rows for tile in listed)})
  columns = ([None] if case.columns == (None,) else
             sorted({*case.columns, *(tile.columns for tile in listed)}))
  found = [Tile(r, c) for r in rows for c in columns]
  return found[:2] if small else found


def _flops(use, sizes) -> float:
  others = sizes.n / _GROUPS if use == 'typicality' else sizes.m
  return 2.0 * sizes.n * others * sizes.d


def _measured(use, platform, sizes, small) -> list[list[Any]]:
  rng = np.random.default_rng(0)
  x, y = (jnp.asarray(rng.normal(size=(n, sizes.d)).astype(np.float32))
          for n in (sizes.n, sizes.m))
  x, y = (rows / jnp.linalg.norm(rows, axis=1, keepdims=True)
          for rows in (x, y))
  functions = {}
  for tile in _tried(use, small):
    if tile.rows > sizes.n or (tile.columns or 0) > sizes.m:
      continue  # As one of all that there are.
    with tile_sizes.instead((use, tile)):
      program = jax.jit(CASES[use].run).lower(x, y).compile()
    functions[tile] = functools.partial(program, x, y)
  timed = timing.side_by_side(functions)
  best = min(seconds.best for seconds, _ in timed.values())
  mine = tile_sizes.TILES[use].get(platform)
  return [[platform, use, tile.rows, tile.columns, seconds, None,
           _flops(use, sizes) / seconds.best / 1e9, seconds.best / best,
           tile == mine] for tile, (seconds, _) in timed.items()]


def _compiled(use, sizes, small) -> list[list[Any]]:
  topology = chips.parse(_TOPOLOGY)
  where = place.of(chips.devices(topology), 1, 1)
  dtype = jnp.float32 if use in ('typicality', 'kmeans') else jnp.bfloat16
  x, y = (where.copy(n, sizes.d, dtype=dtype) for n in (sizes.n, sizes.m))
  found = {}
  for tile in _tried(use, small):
    with tile_sizes.compiled_for('tpu'), tile_sizes.instead((use, tile)):
      lowered = jax.jit(CASES[use].run, keep_unused=True).lower(x, y)
    try:
      text = lowered.compile().as_text()
    except jax.errors.JaxRuntimeError as e:
      if 'RESOURCE_EXHAUSTED' not in str(e):
        raise
      continue  # A tile that the chip does not hold.
    found[tile] = hlo.cycles(text, CASES[use].trips(sizes, tile))
  best, mine = min(found.values()), tile_sizes.TILES[use]['tpu']
  return [['tpu', use, tile.rows, tile.columns, None, cycles / 1e6, None,
           cycles / best, tile == mine] for tile, cycles in found.items()]
