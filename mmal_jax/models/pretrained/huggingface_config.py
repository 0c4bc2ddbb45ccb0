"""`config.json` of transformers' CLIP and SigLIP, read and written."""

from collections.abc import Mapping
import dataclasses
import math
import os
import pathlib
from typing import Any

from mmal_jax.data.images import preprocess
from mmal_jax.files import downloads
from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.models import config as config_lib
from mmal_jax.models.pretrained import families

FILE = 'config.json'
_ACTIVATIONS = {'gelu': 'gelu', 'gelu_pytorch_tanh': 'gelu_tanh',
                'quick_gelu': 'quick_gelu'}
# Of `Stack`, in transformers' words.
_STACK = {'hidden_size': 'width', 'num_hidden_layers': 'depth',
          'num_attention_heads': 'heads', 'intermediate_size': 'mlp_width'}
_BASE = {'hidden_size': 768, 'intermediate_size': 3072, 'num_hidden_layers': 12,
         'num_attention_heads': 12, 'attention_dropout': 0.0}
_CLIP = {'hidden_act': 'quick_gelu', 'layer_norm_eps': 1e-5}
_SIGLIP = {'hidden_act': 'gelu_pytorch_tanh', 'layer_norm_eps': 1e-6}
_IMAGE = {'image_size': 224, 'num_channels': 3}
# Published files leave out what is transformers' default.
_DEFAULTS = {
    'clip': {
        'vision_config': _BASE | _CLIP | _IMAGE | {'patch_size': 32},
        'text_config': _BASE | _CLIP | {
            'hidden_size': 512, 'intermediate_size': 2048,
            'num_attention_heads': 8, 'vocab_size': 49408,
            'max_position_embeddings': 77, 'eos_token_id': 49407}},
    'siglip': {
        'vision_config': _BASE | _SIGLIP | _IMAGE | {
            'patch_size': 16, 'vision_use_head': True},
        'text_config': _BASE | _SIGLIP | {
            'vocab_size': 32000, 'max_position_embeddings': 64,
            'projection_size': None}},
}
# What the first CLIPs say. It is none of their tokens, and makes transformers
# take the first token of the highest id instead.
_HIGHEST = 2
_END = 2**31  # No size, and no number of a token, is as large.
_quote = json_object.quote


def read_config(folder: str | os.PathLike[str]) -> config_lib.DualEncoder:
  """The configuration of a published CLIP or SigLIP.

  Args:
    folder: holds `config.json`, of `model_type` clip or siglip (SigLIP 2 of
      fixed resolution is one), and maybe what `preprocess.load` reads: the mean
      and standard deviation of pixels, else those of the family.

  Returns:
    Its configuration, for float32. `logit_bias` of a CLIP is 0, or what
    `huggingface.save` wrote.

  Raises:
    FileNotFoundError: if there is no `config.json`.
    ValueError: if a file cannot be read, or the model is none of ours.
  """
  path = pathlib.Path(folder) / FILE
  fields = read_json(path)
  try:
    config = _parse(fields)
  except ValueError as e:
    raise ValueError(f'{path}: {e}') from e
  try:
    pixels = preprocess.load(folder)
  except FileNotFoundError:
    return config
  return dataclasses.replace(config, image=dataclasses.replace(
      config.image, mean=pixels.mean, std=pixels.std))


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """The object that a file holds.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it holds something else.
  """
  if not downloads.is_there(path):
    raise FileNotFoundError(f'{path} does not exist.')
  return json_object.parse(durable.read(path), path)


def to_fields(
    config: config_lib.DualEncoder, logit_bias: float
) -> dict[str, Any]:
  """What to write to `config.json`, the inverse of `read_config`.

  Raises:
    ValueError: if the configuration cannot be expressed there.
  """
  family = families.of(config)
  image, text, dim = config.image, config.text, config.embed_dim
  if image.size[0] != image.size[1]:
    raise ValueError(f'image.size={image.size} is not square.')
  fields: dict[str, Any] = {
      'vision_config': _to_stack(image.stack) | {
          'model_type': f'{family.name}_vision_model',
          'image_size': image.size[0], 'patch_size': image.patch},
      'text_config': _to_stack(text.stack) | {
          'model_type': f'{family.name}_text_model',
          'vocab_size': text.vocab_size,
          'max_position_embeddings': text.length},
      'model_type': family.name}
  if family is families.SIGLIP:
    fields['text_config']['projection_size'] = dim
    return fields | {'architectures': ['SiglipModel']}
  if text.end_id == _HIGHEST:
    raise ValueError(f'text.end_id={_HIGHEST} means "the highest of a '
                     'text" to transformers, and cannot be exported.')
  fields['text_config']['eos_token_id'] = (
      _HIGHEST if text.end_id is None else text.end_id)
  for side in ('vision_config', 'text_config'):
    fields[side]['projection_dim'] = dim
  return fields | {
      'architectures': ['CLIPModel'], 'projection_dim': dim,
      'logit_scale_init_value': config.logit_scale,
      **({'mmal_jax': {'logit_bias': logit_bias}} if logit_bias else {})}


def _to_stack(stack):
  names = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}
  return {theirs: getattr(stack, ours) for theirs, ours in _STACK.items()} | {
      'hidden_act': names[stack.activation], 'layer_norm_eps': stack.norm_eps}


def _parse(fields: Mapping[str, Any]) -> config_lib.DualEncoder:
  kind = fields.get('model_type')
  if kind is None:
    raise ValueError('it names no model_type, as those of transformers do; '
                     f'{", ".join(_DEFAULTS)} are supported.')
  if kind == 'siglip2':
    raise ValueError(
        'model_type=siglip2 is a NaFlex model, for images of any proportions, '
        'and not supported. SigLIP 2 of fixed resolution is, which is of '
        'model_type siglip.')
  if kind not in tuple(_DEFAULTS):
    raise ValueError(f'model_type={_quote(kind)} is not supported; '
                     f'{", ".join(_DEFAULTS)} are.')
  vision, text = (_section(fields, kind, f'{side}_config')
                  for side in ('vision', 'text'))
  if vision['num_channels'] != 3:
    raise ValueError(
        f'num_channels={_quote(vision["num_channels"])} must be 3.')
  if vision.get('vision_use_head') is False:
    raise ValueError('vision_use_head=False: without its pooling the image '
                     'tower embeds no image.')
  size, patch = (_side(vision, f'{name}_size') for name in ('image', 'patch'))
  image_fields = {
      'stack': _stack(vision), 'size': (size, size), 'patch': patch}
  text_fields = {
      'stack': _stack(text), 'vocab_size': _whole(text, 'vocab_size'),
      'length': _whole(text, 'max_position_embeddings')}
  if kind == 'siglip':
    dim = text_fields['stack'].width
    if text['projection_size'] is not None:
      dim = _whole(text, 'projection_size')
    return families.SIGLIP.build(image_fields, text_fields, dim)
  end = _whole(text, 'eos_token_id')
  text_fields['end_id'] = None if end == _HIGHEST else end
  own = _object(fields, 'mmal_jax')
  return families.CLIP.build(
      image_fields, text_fields,
      _whole({'projection_dim': 512, **fields}, 'projection_dim'),
      logit_scale=_number(
          {'logit_scale_init_value': 2.6592, **fields},
          'logit_scale_init_value'),
      logit_bias=_number({'logit_bias': 0.0, **own}, 'logit_bias'))


def _section(fields, kind, name):
  """One tower's, with defaults filled in as transformers does."""
  defaults = _DEFAULTS[kind][name]
  given = _object(fields, name)
  # In old CLIPs this one counts, with its own defaults.
  old = f'{name}_dict'
  if kind == 'clip' and fields.get(old) is not None:
    given = given | defaults | _object(fields, old)
  section = defaults | given
  if section['attention_dropout'] != 0:
    raise ValueError(f'{name}.attention_dropout='
                     f'{_quote(section["attention_dropout"])} is not '
                     'supported.')
  if section['hidden_act'] not in tuple(_ACTIVATIONS):
    raise ValueError(f'{name}.hidden_act={_quote(section["hidden_act"])} is not'
                     f' supported; {", ".join(_ACTIVATIONS)} are.')
  return section


def _stack(section):
  return config_lib.Stack(
      **{ours: _whole(section, theirs) for theirs, ours in _STACK.items()},
      activation=_ACTIVATIONS[section['hidden_act']],
      norm_eps=_number(section, 'layer_norm_eps', least=0))


def _object(fields, name):
  value = fields.get(name)
  if value is not None and not isinstance(value, dict):
    raise ValueError(f'{name}={_quote(value)} must be an object.')
  return value or {}


def _side(fields, name):
  value = fields[name]
  if isinstance(value, list):
    if len(value) != 2 or value[0] != value[1]:
      raise ValueError(f'{name}={_quote(value)} must be square.')
    fields = {name: value[0]}
  return _whole(fields, name)


def _whole(fields, name):
  value = fields[name]
  if type(value) is not int or not 0 <= value < _END:
    raise ValueError(
        f'{name}={_quote(value)} must be a whole number within [0, {_END}).')
  return value


def _number(fields, name, least=-math.inf):
  value = fields[name]
  # What is compared with a float first may be an integer beyond all floats.
  if type(value) not in (int, float) or not (
      least <= value and abs(value) < _END):
    raise ValueError(f'{name}={_quote(value)} must be a finite number'
                     + f', at least {least}.' * (least > -math.inf))
  return float(value)
