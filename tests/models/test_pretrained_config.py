"""config.json of transformers: what is read, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
import transformers

from mmal_jax.models.pretrained import huggingface
from mmal_jax.models.pretrained import presets
from tests.support import torch_models


@pytest.fixture
def siglip(tmp_path):
  """Of a whole model, in a folder that transformers wrote."""
  torch_models.siglip().config.save_pretrained(tmp_path / 'siglip')
  return tmp_path / 'siglip'


def _reconfigure(folder, change):
  path = folder / 'config.json'
  fields = json.loads(path.read_text())
  change(fields)
  path.write_text(json.dumps(fields))


def _refuses(message, call, *args, error=ValueError):
  with pytest.raises(error, match=f'(?s){message}'):
    call(*args)


@pytest.mark.parametrize('text,message', [
    (b'', 'is empty'), (b'{"a":', 'is not JSON'), (b'\xff{}', 'is not JSON'),
    (b'[' * 100_000, 'is not JSON'), (b'[]', 'holds no JSON object'),
    (b'{}', 'names no model_type'),
    (b'{"model_type": "siglip2"}', 'NaFlex'),
    (b'{"model_type": ["clip"]}', 'model_type.* is not supported'),
    (b'{"model_type": "bert"}', "model_type='bert' is not supported; clip,"),
])
def test_damaged_config(siglip, text, message):
  (siglip / 'config.json').write_bytes(text)
  _refuses(f'siglip.config.json:? .*{message}', huggingface.read_config, siglip)


@pytest.mark.parametrize('side,change,message', [
    ('vision', {'vision_use_head': False}, 'vision_use_head'),
    ('vision', {'hidden_act': 'relu'}, "vision_config.hidden_act='relu'"),
    ('vision', {'hidden_act': {}}, 'vision_config.hidden_act={}'),
    ('text', {'attention_dropout': 0.1}, 'text_config.attention_dropout=0.1'),
    ('vision', {'image_size': [32, 16]}, r'image_size=\[32, 16\].*square'),
    ('vision', {'patch_size': [8, 4]}, r'patch_size=\[8, 4\].*square'),
    ('vision', {'num_channels': 1}, 'num_channels=1'),
    ('vision', {'hidden_size': '24'}, "hidden_size='24' must be a whole"),
    ('vision', {'hidden_size': None}, 'hidden_size=None must be a whole'),
    ('vision', {'num_attention_heads': 5}, 'heads=5 must divide'),
    ('vision', {'patch_size': 64}, 'patch=64 is larger'),
    ('text', {'num_hidden_layers': 0}, 'depth=0 must be at least 1'),
    ('text', {'hidden_size': True}, 'hidden_size=True must be a whole'),
    ('text', {'layer_norm_eps': float('nan')}, 'layer_norm_eps=nan'),
    ('text', {'projection_size': 8}, 'embed_dim=8 must be'),
])
def test_configurations_that_are_none_of_ours(siglip, side, change, message):
  _reconfigure(siglip, lambda fields: fields[f'{side}_config'].update(change))
  _refuses(f'siglip.config.json: .*{message}', huggingface.read_config, siglip)


def test_sizes_as_lists(siglip):
  before = huggingface.read_config(siglip)
  _reconfigure(siglip, lambda fields: fields['vision_config'].update(
      image_size=[32, 32], patch_size=[8, 8]))
  assert huggingface.read_config(siglip) == before


def test_published_files_leave_out_defaults(tmp_path):
  path = tmp_path / 'config.json'
  # What google/siglip-base-patch16-224 has.
  path.write_text(json.dumps({
      'architectures': ['SiglipModel'], 'initializer_factor': 1.0,
      'model_type': 'siglip',
      'text_config': {'model_type': 'siglip_text_model'},
      'vision_config': {'model_type': 'siglip_vision_model'}}))
  assert huggingface.read_config(tmp_path) == presets.PRESETS['siglip_b16']
  path.write_text('{"model_type": "clip"}')
  config = huggingface.read_config(tmp_path)
  assert config.text.end_id == 49407  # transformers' default, not OpenAI's
  text = dataclasses.replace(config.text, end_id=None)
  assert np.isclose(config.logit_scale, np.log(1 / 0.07), atol=1e-4)
  assert dataclasses.replace(
      config, text=text, logit_scale=presets.PRESETS['clip_b32'].logit_scale
  ) == presets.PRESETS['clip_b32']


@pytest.mark.parametrize('old,given', [
    # As in openai/clip-vit-large-patch14, and where the two contradict.
    ({'hidden_size': 32, 'num_attention_heads': 4}, {'hidden_size': 32}),
    ({'hidden_size': 32}, {'hidden_size': 48, 'eos_token_id': 2,
                           'num_hidden_layers': 3}),
    (None, {'hidden_size': 32, 'eos_token_id': 2}),
])
def test_configs_of_old_clips(tmp_path, old, given):
  fields = {'model_type': 'clip', 'projection_dim': 12, 'text_config': given,
            'text_config_dict': old, 'vision_config_dict': {'patch_size': 16}}
  (tmp_path / 'config.json').write_text(json.dumps(fields))
  ours = huggingface.read_config(tmp_path)
  theirs = transformers.CLIPConfig.from_pretrained(tmp_path)
  text = theirs.text_config
  assert (ours.text.stack.width, ours.text.stack.depth, ours.text.stack.heads
          ) == (text.hidden_size, text.num_hidden_layers,
                text.num_attention_heads)
  assert ours.text.end_id == (
      None if text.eos_token_id == 2 else text.eos_token_id)
  assert ours.image.patch == theirs.vision_config.patch_size == 16


def test_pixels(siglip):
  assert huggingface.read_config(siglip).image.mean == (0.5, 0.5, 0.5)
  mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
  transformers.SiglipImageProcessorPil(
      image_mean=mean, image_std=std).save_pretrained(siglip)
  image = huggingface.read_config(siglip).image
  assert (image.mean, image.std) == (tuple(mean), tuple(std))
