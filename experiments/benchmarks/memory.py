"""Memory that greedy k-center takes beyond the pool."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import child
from experiments.benchmarks import data
from experiments.benchmarks import peak
from experiments.benchmarks import result
from mmal_jax.acquire import coreset
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib


def run(small: bool) -> result.Result:
  """As the compiled program plans it, and as the process grew."""
  n, d, k, a = (20_000, 64, 20, 10) if small else (1_000_000, 256, 500, 100)
  measured = child.call('experiments.benchmarks.memory', n=n, d=d, k=k, a=a)
  return result.Result(
      'memory',
      ['N', 'D', 'k', 'pool MB', 'compiled program MB', 'process grew by MB'],
      [[n, d, k] + [measured[x] / 1e6 for x in ('pool', 'program', 'grown')]],
      [f'{a} aligned; from embeddings to picks, in a process of its own on '
       'CPU.', 'Compiled program: the temporaries that XLA plans for. Process: '
       'the most that it held during the run beyond what it held before.'])


def measure(n: int, d: int, k: int, a: int) -> dict[str, int]:
  """Bytes, for one size."""

  def shape(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)

  view = views_lib.View(
      shape(n, d), shape(n, dtype=bool), shape(a, d), shape(a, dtype=bool),
      metric=metric_lib.SQEUCLIDEAN)
  # Compiled first: compilers take memory, too.
  select = jax.jit(coreset.select_coreset, static_argnames='k')
  compiled = select.lower(view, k=k).compile()
  view = jax.block_until_ready(
      data.view(data.pool('uniform', n, d), np.arange(a)))
  with peak.Peak() as held:
    jax.block_until_ready(compiled(view))
  return {'pool': view.pool.nbytes, 'grown': held.grown,
          'program': compiled.memory_analysis().temp_size_in_bytes}


if __name__ == '__main__':
  child.answer(measure(**child.arguments()))
