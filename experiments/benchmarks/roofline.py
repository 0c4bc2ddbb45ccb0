"""What the stages reach of the machine's own bandwidth and matrix rate."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import result
from experiments.benchmarks import timing
from mmal_jax.acquire import coreset
from mmal_jax.acquire import coverage
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import uncertainty
from mmal_jax.acquire.kernels import matches

_ALIGNED = 100
_SCALE = 100.0  # CLIP's


class _Work(NamedTuple):
  what: str
  seconds: timing.Seconds
  gigabytes: float | None = None
  gigaflop: float | None = None
  temporary: int | None = None


def run(small: bool) -> result.Result:
  """The machine first, then the stages."""
  machine = _copy(small) + _products(small)
  bandwidth = machine[0].gigabytes / machine[0].seconds.best
  rate = max(w.gigaflop / w.seconds.best for w in machine[1:])
  n, d = (2000, 32) if small else (100_000, 512)
  work = machine + _coverage(n, d)
  for many, k in ((n, 50),) if small else ((n, 1000), (400_000, 500)):
    work += _k_center(many, d, k)
  work += _matches(*((2000, 16, 300) if small else (1_000_000, 256, 10_000)))
  return result.Result(
      'roofline',
      ['what', 'seconds', 'GB', 'GB/s', '% of copy', 'GFLOP', 'GFLOP/s',
       '% of product', 'temporary MB'],
      [_row(w, bandwidth, rate) for w in work], [
          f'Coverage: N={n}, D={d}; k-center: {_ALIGNED} aligned, their '
          'distances known. GB: for the copy read and written, for coverage '
          'one read of the pool. GFLOP: 2 N D times the centres, picks or '
          'candidates, whatever was computed on top, or left out: above 100 % '
          'it is more that was left out.',
          '% of product: of the best of the products shown, all float32 in '
          'full precision.',
          'Temporary: memory that the compiled program plans beyond its '
          'arguments and results.', data.NOTE, timing.NOTE])


def _row(work, bandwidth, rate):
  best = work.seconds.best
  cells = [work.what, work.seconds]
  for amount, peak in ((work.gigabytes, bandwidth), (work.gigaflop, rate)):
    cells += [None] * 3 if amount is None else [
        amount, amount / best, 100 * amount / best / peak]
  return cells + [None if work.temporary is None else work.temporary / 1e6]


def _copy(small):
  x = jnp.ones(2**18 if small else 2**28, jnp.float32)
  # In place: fresh memory has to be asked for page by page, at a tenth of the
  # rate.
  negate = jax.jit(jnp.negative, donate_argnums=0)

  def copy():
    nonlocal x
    x = negate(x)
    return x

  seconds, _ = timing.alone(copy)
  return [_Work('copy in place', seconds, 2 * x.nbytes / 1e9)]


def _products(small):
  if small:
    shapes = ((64, 32, 64), (128, 64, 32))
  else:
    shapes = ((4096, 512, 64), (4096, 512, 1024), (100_000, 512, 64),
              (2048, 2048, 2048), (8192, 8192, 8192))
  product = jax.jit(metric_lib.dots)
  timed = timing.side_by_side({
      (m, d, c): functools.partial(product, jnp.ones((m, d)), jnp.ones((c, d)))
      for m, d, c in shapes})
  return [_Work(f'product {m} x {d} x {c}', seconds, None, 2 * m * d * c / 1e9)
          for (m, d, c), (seconds, _) in timed.items()]


def _coverage(n, d):
  pool = data.pool('uniform', n, d)
  views = {c: data.view(pool, np.arange(c)) for c in (64, 256, 1024)}
  programs = {c: _compiled(lambda v: coverage.covered(v).nearest, view)
              for c, view in views.items()}
  timed = timing.side_by_side({
      c: functools.partial(program, views[c])
      for c, program in programs.items()})
  return [_Work(f'coverage by {c}', timed[c][0], pool.nbytes / 1e9,
                2 * n * d * c / 1e9, _temporary(program))
          for c, program in programs.items()]


def _k_center(n, d, k):
  views = {kind: coverage.covered(
      data.view(data.pool(kind, n, d), np.arange(_ALIGNED)))
           for kind in data.KINDS}
  program = _compiled(
      lambda view: coreset.select_coreset(view, k), views['uniform'])
  timed = timing.side_by_side({
      kind: functools.partial(program, view) for kind, view in views.items()})
  return [_Work(f'k-center of {k} out of {n}, {kind}', seconds, None,
                2 * n * d * k / 1e9, _temporary(program))
          for kind, (seconds, _) in timed.items()]


def _matches(n, d, c):
  view, other = (
      dataclasses.replace(
          data.view(data.pool('clustered', rows, d, seed), np.arange(0),
                    metric_lib.COSINE),
          logit_scale=jnp.float32(_SCALE))
      for seed, rows in enumerate((c, n)))

  def margin(view, other):
    return uncertainty.margins(matches.match(jnp.arange(c), view, other))

  def entropy(view, other):
    return uncertainty.entropies(
        matches.match(jnp.arange(c), view, other, softmax=True))

  programs = {f.__name__: _compiled(f, view, other) for f in (margin, entropy)}
  timed = timing.side_by_side({
      name: functools.partial(program, view, other)
      for name, program in programs.items()})
  return [_Work(f'{name} of {c} x {n}, D={d}', timed[name][0], None,
                2 * c * n * d / 1e9, _temporary(program))
          for name, program in programs.items()]


def _compiled(function, *arguments):
  return jax.jit(function).lower(*arguments).compile()


def _temporary(program):
  return program.memory_analysis().temp_size_in_bytes
