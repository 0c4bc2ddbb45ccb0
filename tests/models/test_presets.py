"""Published configurations: the sizes that transformers' models have."""

import math

from flax import nnx
import numpy as np
import pytest
import torch
import transformers

from mmal_jax.models import dual_encoder
from mmal_jax.models.pretrained import families
from mmal_jax.models.pretrained import presets
from mmal_jax.models.pretrained import tensors


def _sides(preset):
  """The sides of the same model in transformers' words, by the book."""
  sizes = {'b': (768, 12, 12, 3072), 'l': (1024, 24, 16, 4096),
           'so400m': (1152, 27, 16, 4304), 'giant': (1536, 40, 16, 6144)}
  names = ('hidden_size', 'num_hidden_layers', 'num_attention_heads',
           'intermediate_size')
  kind, *rest = preset.split('_')
  if rest[0][0] in 'bl':
    size, patch = rest[0][0], int(rest[0][1:])
    rest = rest[1:]
  else:
    size, patch = rest[0], int(rest[1])
    rest = rest[2:]
  image = dict(zip(names, sizes[size]), patch_size=patch,
               image_size=int(rest[0]) if rest else 224)
  if kind in ('clip', 'openclip'):
    text = (512, 12, 8, 2048) if size == 'b' else (768, 12, 12, 3072)
    text = dict(zip(names, text), vocab_size=49408, max_position_embeddings=77)
  else:
    text = dict(
        zip(names, sizes['so400m' if size == 'giant' else size]),
        vocab_size=32000 if kind == 'siglip' else 256000,
        max_position_embeddings=16 if preset == 'siglip_so400m_14' else 64,
        projection_size=sizes[size][0])
  return kind, image, text


@pytest.mark.parametrize('name', presets.PRESETS)
def test_tensors_are_those_of_transformers(name):
  kind, image, text = _sides(name)
  with torch.device('meta'):
    if 'clip' in kind:
      model = transformers.CLIPModel(transformers.CLIPConfig(
          vision_config=image, text_config=text,
          projection_dim=text['hidden_size']))
    else:
      model = transformers.SiglipModel(transformers.SiglipConfig(
          vision_config=image, text_config=text))
  theirs = {k: tuple(v.shape) for k, v in model.named_parameters()}
  table = tensors.table(presets.PRESETS[name])
  assert {t.name: t.shape for t in table} == theirs


@pytest.mark.parametrize('name', [
    'clip_b32', 'openclip_l14', 'siglip_so400m_14_384', 'siglip2_giant_16_384'])
def test_tensors_hold_all_parameters_once(name):
  config = presets.PRESETS[name]
  params = tensors.by_name(nnx.state(dual_encoder.abstract(config), nnx.Param))
  table = tensors.table(config)
  named = [parameter for t in table for parameter in t.parameters]
  # CLIP's softmax loss takes no bias.
  assert sorted(named + ['logit_bias'] * ('clip' in name)) == sorted(params)
  for tensor in table:
    sizes = [params[parameter].size for parameter in tensor.parameters]
    assert [math.prod(tensor.shape) // len(sizes)] * len(sizes) == sizes


def test_what_sizes_do_not_tell():
  for name, preset in presets.PRESETS.items():
    clip = 'clip' in name
    assert families.of(preset) is (
        families.CLIP if clip else families.SIGLIP), name
    for stack in (preset.image.stack, preset.text.stack):
      assert stack.norm_eps == (1e-5 if clip else 1e-6), name
      assert stack.activation == (
          'gelu_tanh' if not clip else
          'gelu' if 'open' in name else 'quick_gelu'), name
    assert preset.text.end_id is None
    assert np.isclose(np.exp(preset.logit_scale), 1 / 0.07 if clip else 10)
    assert preset.logit_bias == (0 if clip else -10)
    assert (preset.image.mean[0] == 0.5) == (not clip), name
  assert presets.PRESETS['siglip_so400m_14_384'].image.grid == (27, 27)
