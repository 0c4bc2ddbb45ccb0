"""Counted operations, against the traced program's and XLA's own count."""

import dataclasses
import math

from flax import nnx
import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks import flops
from mmal_jax.models import config as config_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models.pretrained import families
from mmal_jax.models.pretrained import presets

_STACK = config_lib.Stack(128, 2, 4, 320)
_IMAGE = {'stack': _STACK, 'size': (50, 32), 'patch': 8}
_TEXT = {'stack': dataclasses.replace(_STACK, width=96, depth=3),
         'vocab_size': 40, 'length': 20}
CONFIGS = {
    'clip': families.CLIP.build(_IMAGE, _TEXT, 48),
    'siglip': families.SIGLIP.build(_IMAGE, _TEXT, 128),
    'mean': config_lib.DualEncoder(
        config_lib.ImageTower(**_IMAGE), config_lib.TextTower(**_TEXT), 24),
}
_BATCH = 3


def _forward(config, modality):
  """A function of parameters and input, and their shapes."""
  graphdef, params = nnx.split(dual_encoder.abstract(config), nnx.Param)
  if modality == 'image':
    shape, dtype = (_BATCH, *config.image.size, 3), jnp.uint8
  else:
    shape, dtype = (_BATCH, config.text.length), jnp.int32

  def embed(params, batch):
    model = nnx.merge(graphdef, params)
    return (model.encode_image if modality == 'image'
            else model.encode_text)(batch)

  return embed, params, jax.ShapeDtypeStruct(shape, dtype)


def _dots(jaxpr):
  """Operations of all `dot_general`s: 2 for each product that is summed."""
  total = 0
  for equation in jaxpr.eqns:
    if equation.primitive.name == 'dot_general':
      (contracted, _), _ = equation.params['dimension_numbers']
      left = equation.invars[0].aval.shape
      total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(
          left[axis] for axis in contracted)
    for inner in equation.params.values():
      inner = getattr(inner, 'jaxpr', inner)
      if hasattr(inner, 'eqns'):
        total += _dots(inner)
  return total


@pytest.mark.parametrize('modality', ['image', 'text'])
@pytest.mark.parametrize('name', [*CONFIGS, 'clip_l14_336', 'siglip_so400m_14'])
def test_products_of_the_traced_program(name, modality):
  config = (CONFIGS | presets.PRESETS)[name]
  embed, *shapes = _forward(config, modality)
  counted = getattr(flops, modality)(config)
  assert _dots(jax.make_jaxpr(embed)(*shapes).jaxpr) == _BATCH * counted


@pytest.mark.parametrize('name', CONFIGS)
def test_xla_counts_a_little_more(name):
  """Namely LayerNorms, softmax and activations, which we leave out."""
  config = CONFIGS[name]
  found = 0
  for modality in ('image', 'text'):
    embed, *shapes = _forward(config, modality)
    compiled = jax.jit(embed).lower(*shapes).compile(
        {'xla_backend_optimization_level': 0})
    found += compiled.cost_analysis()['flops'] / _BATCH
  assert 1 < found / flops.pair(config) < 1.04
