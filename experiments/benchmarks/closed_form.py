"""A round of the closed form against the size of the pools."""

from flax import nnx
import jax
import numpy as np

from experiments.benchmarks import data
from experiments.benchmarks import peak
from experiments.benchmarks import result
from experiments.benchmarks import timing
from mmal_jax.data import encode
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.closed_form import learner as closed_form
from mmal_jax.models import registry as models

_KNOWN = 512


def run(small: bool) -> result.Result:
  """Seconds of a first and of a later round, and memory beyond the pools."""
  cases = [(2000, (64, 32))] if small else [(10_000, (1280, 384))]
  sizes = (1000, 2000) if small else (10_000, 100_000, 1_000_000)
  width = 32 if small else 512
  cases += [(n, (width, width)) for n in sizes]
  rows, fitted = [], []
  for n, dims in cases:
    first, later, grown = _measured(n, dims)
    rows.append([n, f'{dims[0]}, {dims[1]}', first, later, grown / 1e6])
    if dims == (width, width):
      fitted.append((n, first.best + later.best))
  exponent = np.polyfit(*np.log(np.array(fitted).T), 1)[0]
  return result.Result(
      'closed_form',
      ['N', 'D', 'first round', 'later round', 'memory grew by MB'], rows, [
          f'{_KNOWN} pairs are known; from features to heads, cross-validation '
          'and closed world included. The first round also takes the moments '
          'of both pools; it is the only one in which all of them are read.',
          f'Exponent in N of both together, of the rows with D={width} on '
          f'either side: {exponent:.2f}.',
          'Memory grew: the most that the process held beyond what it held '
          'before the round.', timing.NOTE])


def _measured(n, dims):
  pools = {m: encode.Items(
      np.asarray(data.pool('clustered', n, d)), np.arange(n, dtype=np.int32))
           for m, d in zip(('image', 'text'), dims)}
  graphdef, params = nnx.split(models.linear(
      {m: jax.ShapeDtypeStruct((d,), np.float32)
       for m, d in zip(pools, dims)}, 0, rngs=nnx.Rngs(0)), nnx.Param)
  learner = closed_form.ClosedForm(graphdef)
  table = np.full((2 * _KNOWN, 2), -1, np.int32)
  table[:_KNOWN] = np.arange(_KNOWN)[:, None]
  rest = np.arange(_KNOWN, n)
  known = learner_lib.Known(
      pools, table, _KNOWN, learner_lib.Pool(
          pools, dict.fromkeys(pools, rest)))
  key, start = jax.random.key(0), learner.init(params)

  def first():
    return learner.learn(params, start, None, key, known)

  learned = first()

  def later():
    return learner.learn(
        params, learned.state, None, key, known._replace(is_new=False)).params

  timed = timing.side_by_side({'first': lambda: first().params, 'later': later})
  with peak.Peak() as held:
    jax.block_until_ready(first().params)
  return timed['first'][0], timed['later'][0], held.grown
