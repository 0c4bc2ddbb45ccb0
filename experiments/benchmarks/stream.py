"""A long stream: does memory stay flat, and a buffer's time the same?"""

import ctypes
import gc
import os
import time

from flax import nnx
import jax
import numpy as np

from experiments.benchmarks import result
from mmal_jax import loop
from mmal_jax import state as state_lib
from mmal_jax.acquire import registry
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.evaluate import evaluate
from mmal_jax.learn.gradient import learner as by_gradient
from mmal_jax.learn.gradient import optimizer
from mmal_jax.learn.gradient import step
from mmal_jax.models import registry as models
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.pools import stream

_D, _CENTRES = 32, 1000
_STRIDE = 7_368_787  # a prime: texts are in another order than their images


class Scenes:
  """Features of both modalities, computed from an item's number alone."""

  def __init__(self, n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    self.n = n
    self._centres = rng.normal(size=(_CENTRES, _D))
    self._maps = {m: rng.normal(size=(_D, _D)) for m in ('image', 'text')}
    self._inverse = pow(_STRIDE, -1, n)

  def fetch(self, modality: str, numbers: np.ndarray) -> encode.Items:
    """`[k, d]` features of items by number."""
    numbers = np.asarray(numbers, np.int64)
    pairs = numbers * self._inverse % self.n if modality == 'text' else numbers
    hidden = self._centres[pairs % _CENTRES] + _noise(pairs)
    features = (hidden @ self._maps[modality]).astype(np.float32)
    return encode.Items(features, numbers.astype(np.int32))

  def answer(self, modality, numbers, suggest=None) -> np.ndarray:
    """As `oracle.Oracle`."""
    del suggest
    numbers = np.asarray(numbers, np.int64)
    if modality == 'image':
      pairs = [numbers, numbers * _STRIDE % self.n]
    else:
      pairs = [numbers * self._inverse % self.n, numbers]
    return np.stack(pairs, 1).astype(np.int32)


def _noise(pairs: np.ndarray) -> np.ndarray:
  """`[k, d]` uniform within a half of 0, by a hash (Steele et al. 2014)."""
  x = pairs[:, None].astype(np.uint64) * np.uint64(_D) + np.arange(
      _D, dtype=np.uint64)
  x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
  for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
    x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
  x ^= x >> np.uint64(31)
  return (x >> np.uint64(11)).astype(float) / 2**53 - 0.5


def run(small: bool) -> result.Result:
  """Memory and seconds a buffer, from one end of the stream to the other."""
  n, buffer, batch = (10_000, 500, 2) if small else (10_000_000, 10_000, 2)
  warm = max(3, n // buffer // 20)
  rows = [
      [name, n, n // buffer] + _measured(n, buffer, batch, warm, answered)
      for name, answered in (
          ('grows', n // buffer), (f'{batch * warm} pairs', warm))]
  return result.Result(
      'stream',
      ['aligned set', 'items of each modality', 'buffers',
       'resident MB, least', 'most', 'spread %', 'first tenth', 'last tenth',
       'arrays MB, least', 'most', 'seconds a buffer, first tenth',
       'last tenth', 'ratio', 'ratio of a fixed task', 'mean_r10 before',
       'after'], rows,
      [f'Buffers of {buffer} items of each modality, {batch} queries a buffer '
       'by `mmal`, all through the loop that pools take; features of '
       f'{_D} dimensions computed from the items\' numbers, MLP heads, 10 '
       'training steps a buffer.',
       'The aligned set grows by all answers, for which there is room from the '
       f'start; or only by those of the first {warm} buffers, and all later '
       'queries turn out to have no counterpart.',
       f'Memory and seconds after the first {warm} buffers; resident: of the '
       'whole process, after every buffer, without what the allocator keeps '
       'for later; tenths are medians.',
       'Fixed task: the features of the first buffer, made again beside every '
       'other one.'])


def _measured(
    n: int, buffer: int, batch: int, warm: int, answered: int) -> list[float]:
  """A row of numbers of a stream whose first `answered` rounds are answered."""
  scenes, rounds = Scenes(n), n // buffer
  numbers = np.random.default_rng(1).integers(n, size=200)
  pairs = scenes.answer('image', numbers)
  test = encode.EncodedPairs(
      {m: scenes.fetch(m, pairs[:, i]) for i, m in enumerate(
          ('image', 'text'))}, schema.no_groups(200))
  graphdef, params = nnx.split(models.MODELS['mlp'](
      dict.fromkeys(test.items, jax.ShapeDtypeStruct((_D,), np.float32)), 0,
      rngs=nnx.Rngs(0), width=64, embed_dim=32), nnx.Param)
  learner = by_gradient.ByGradient(
      step.Recipe(graphdef, optimizer.make_optimizer(1e-3, 10), 64), 10)
  source = stream.Stream({'image': n, 'text': n}, buffer, scenes.fetch)
  state = state_lib.initial_state(
      params, learner.init(params), source.sizes,
      evaluate.metric_names(test), rounds, batch, 0)

  def oracle(modality, numbers, suggest=None):
    answers = scenes.answer(modality, numbers, suggest)
    late = numbers >= answered * buffer
    own = list(source.sizes).index(modality)
    answers[late, 1 - own] = oracle_lib.NONE
    return answers

  memory, seconds, fixed = [], [], []
  started = time.perf_counter()
  for state in loop.run_rounds(
      state, learner, registry.find('mmal'), oracle, source, test,
      loop.Plan()):
    seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    scenes.fetch('image', np.arange(buffer))
    fixed.append(time.perf_counter() - started)
    gc.collect()
    memory.append((_resident(), sum(x.nbytes for x in jax.live_arrays())))
    started = time.perf_counter()
  resident, arrays = np.array(memory[warm:]).T / 1e6
  tenth = max(1, rounds // 10)

  def ends(values):
    return [float(np.median(part))
            for part in (values[:tenth], values[-tenth:])]

  first, last = ends(seconds[warm:])
  # The machine's own speed, on the same task beside every buffer.
  first_fixed, last_fixed = ends(fixed[warm:])
  recall = state.scores['mean_r10']
  return [
      resident.min(), resident.max(),
      100 * (resident.max() / resident.min() - 1), *ends(resident),
      arrays.min(), arrays.max(), first, last, last / first,
      last_fixed / first_fixed, float(recall[0]), float(recall[-1])]


def _resident() -> int:
  """Bytes of this process in memory, but for freed ones that libc keeps."""
  ctypes.CDLL('libc.so.6').malloc_trim(0)
  with open('/proc/self/statm', encoding='ascii') as file:
    return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
