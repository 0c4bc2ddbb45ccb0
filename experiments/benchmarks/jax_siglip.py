"""SigLIP of mmal_jax, to be timed."""

from collections.abc import Callable
import dataclasses
import functools
import pathlib
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.data import encode
from mmal_jax.embed import in_memory
from mmal_jax.learn.gradient import gradient
from mmal_jax.learn.gradient import loss as loss_lib
from mmal_jax.learn.gradient import optimizer as optimizer_lib
from mmal_jax.learn.gradient import step as step_lib
from mmal_jax.models import config as config_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import names

_PEAK_LR, _STEPS = 1e-4, 1000


class Siglip:
  """A model with random parameters, on the default device.

  Args:
    config: of the model; its `dtype` and `remat` do not count.

  Attributes:
    params: its parameters, which every step of training changes.
  """

  def __init__(self, config: config_lib.DualEncoder):
    self._config = config
    self._optimizer = optimizer_lib.make_optimizer(_PEAK_LR, _STEPS)
    self.recover()

  def loss(self, images: np.ndarray, tokens: np.ndarray, dtype: str) -> float:
    """The sigmoid loss of pairs, computed in `float32` or `bfloat16`."""
    ids = jnp.arange(len(images))
    graphdef = _graphdef(self._config, dtype)
    model = nnx.merge(graphdef, self.params)
    return loss_lib.sigmoid_loss(
        *_encode(graphdef, self.params, images, tokens),
        model.logit_scale[...], model.logit_bias[...], ids, ids,
        ids >= 0).item()

  def training(
      self, images: np.ndarray, tokens: np.ndarray, dtype: str,
      remat: bool = False, parts: int = 1,
  ) -> tuple[Callable[[], Any], int]:
    """Compiles a step on one batch.

    Args:
      images: `[b, h, w, 3]` uint8.
      tokens: `[b, length]` int32.
      dtype: `float32` or `bfloat16`.
      remat: as in the model's configuration.
      parts: as in `step.Recipe`.

    Returns:
      A function that takes the step, and the bytes that it needs for a while.

    Raises:
      MemoryError: if that is more than the host has. Accelerators report it
        themselves, at the first step.
    """
    ids, key = jnp.arange(len(images)), jax.random.key(0)
    batch = gradient.Batch(
        {'image': jnp.asarray(images), 'text': jnp.asarray(tokens)},
        {'image': ids, 'text': ids}, {'image': ids >= 0, 'text': ids >= 0})
    learner = step_lib.Recipe(
        _graphdef(self._config, dtype, remat), self._optimizer, len(images),
        parts=parts)
    if self._state is None:
      self._state = optimizer_lib.init(self._optimizer, self.params)
    program = step_lib.train_step.lower(
        learner, self.params, self._state, key, batch).compile()
    temporary = program.memory_analysis().temp_size_in_bytes
    if jax.default_backend() == 'cpu' and temporary > _available():
      # Linux would promise it, and end the process once it is used.
      raise MemoryError(f'{temporary} bytes')

    def take_step():
      self.params, self._state, loss, _ = program(
          self.params, self._state, key, batch)
      jax.block_until_ready(self.params)
      return loss

    return take_step, temporary

  def embed(
      self, items: encode.Values, modality: str, dtype: str, batch_size: int
  ) -> jax.Array:
    """All the items, as `embed.embed` does it."""
    return in_memory.embed(
        _graphdef(self._config, dtype), self.params, items, modality,
        batch_size)

  def recover(self) -> None:
    """Starts anew: a step that fails has used up what it was given."""
    self.params = self._state = None
    self.params = _parameters(self._config)


@functools.cache  # Made once in a run, and not in what is timed.
def _graphdef(config, dtype, remat=False):
  return dual_encoder.graphdef_of(
      dataclasses.replace(config, dtype=dtype, remat=remat))


@functools.partial(jax.jit, static_argnames='graphdef')
def _encode(graphdef, params, images, tokens):
  model = nnx.merge(graphdef, params)
  return model.encode_image(images), model.encode_text(tokens)


def _parameters(config):
  _, shapes = nnx.split(dual_encoder.abstract(config), nnx.Param)
  keys = iter(jax.random.split(
      jax.random.key(0), len(jax.tree.leaves(shapes))))
  means = {'logit_scale': config.logit_scale, 'logit_bias': config.logit_bias}

  def draw(path, leaf):
    name = names.dotted(path)
    return _normal(next(keys), leaf.shape,
                   means.get(name, float(name.endswith('.scale'))))

  return jax.tree_util.tree_map_with_path(draw, shapes)


# By shape, of which there are few: one program for all parameters would take as
# long to compile as a training step.
@functools.partial(jax.jit, static_argnames='shape')
def _normal(key, shape, mean):
  return mean + 0.02 * jax.random.normal(key, shape)


def _available():
  for line in pathlib.Path('/proc/meminfo').read_text().splitlines():
    if line.startswith('MemAvailable:'):
      return int(line.split()[1]) * 1024
  raise RuntimeError('/proc/meminfo has no MemAvailable; Linux does.')
