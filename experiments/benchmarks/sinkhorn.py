"""Scores by Sinkhorn's plan in blocks, beside the products they are made of."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import result
from experiments.benchmarks import timing
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire.kernels import plan_scores


def run(small: bool) -> result.Result:
  """At two sizes of the pools: time grows with them, memory does not."""
  sizes, d, block = ((300, 600), 32, 64) if small else (
      (32_768, 131_072), 512, 8192)
  shape = (64, d, 64) if small else (4096, d, 1024)
  rows = []
  for kind in data.KINDS:
    for n in sizes:
      views = [data.view(data.pool(kind, n, d, seed), np.arange(0),
                         metric_lib.COSINE) for seed in range(2)]
      program = jax.jit(functools.partial(
          plan_scores.plan_scores, block=block)).lower(
              *views, jax.random.key(0)).compile()
      product = jax.jit(metric_lib.dots)
      timed = timing.side_by_side({
          'product': functools.partial(
              product, jnp.ones(shape[:2]), jnp.ones((shape[2], d))),
          'plan': functools.partial(program, *views, jax.random.key(0))})
      rate = 2 * np.prod(shape) / 1e9 / timed['product'][0].best
      seconds = timed['plan'][0]
      gigaflop = 2 * n * block * d / 1e9
      rows.append([
          kind, n, block, seconds, gigaflop, gigaflop / seconds.best, rate,
          100 * gigaflop / seconds.best / rate,
          program.memory_analysis().temp_size_in_bytes / 1e6])
  return result.Result(
      'sinkhorn',
      ['rows', 'N', 'block', 'seconds', 'GFLOP', 'GFLOP/s',
       'GFLOP/s of a product', '% of product', 'temporary MB'], rows, [
           f'Two pools of N, D={d}; confidence, margin and entropy of all '
           'items. GFLOP: 2 N D times the block, whatever was computed on top.',
           f'A product: float32 in full precision, {shape[0]} x {d} x '
           f'{shape[2]}.',
           'Temporary: memory that the compiled program plans beyond its '
           'arguments and results, of which 4 block^2 bytes are the matrix.',
           data.NOTE, timing.NOTE])
