"""Tiny models of transformers with no parameter as it was initialised."""

import numpy as np
import torch
import transformers

IMAGE_SIZE, PATCH, LENGTH, VOCAB = 32, 8, 9, 60
_VISION = dict(
    hidden_size=24, intermediate_size=40, num_hidden_layers=2,
    num_attention_heads=3, image_size=IMAGE_SIZE, patch_size=PATCH)
_TEXT = dict(
    hidden_size=16, intermediate_size=36, num_hidden_layers=2,
    num_attention_heads=2, max_position_embeddings=LENGTH, vocab_size=VOCAB,
    bos_token_id=1)


def clip(activation='quick_gelu', end_id=2, vocab=VOCAB):
  """`end_id` 2 means the highest, as in the published ones."""
  act = {'hidden_act': activation}
  return _randomise(transformers.CLIPModel(transformers.CLIPConfig(
      vision_config=_VISION | act,
      text_config=_TEXT | act | {'eos_token_id': end_id, 'vocab_size': vocab},
      projection_dim=12)))


def siglip(width=24, vocab=VOCAB):
  """`width` of the text tower: 24 is the image tower's, as in most."""
  return _randomise(transformers.SiglipModel(transformers.SiglipConfig(
      vision_config=_VISION, text_config=_TEXT | {
          'hidden_size': width, 'vocab_size': vocab, 'eos_token_id': 1,
          'projection_size': 24})))


def _randomise(model):
  generator = torch.Generator().manual_seed(0)
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
      if 'norm' in name and name.endswith('weight') or name == 'logit_scale':
        parameter += 1
  return model.eval()


def images(n=6, size=IMAGE_SIZE):
  rng = np.random.default_rng(1)
  return rng.integers(256, size=(n, size, size, 3)).astype(np.uint8)


def tokens(end_id, n=6, vocab=VOCAB):
  """Random, with `end_id` once or repeated; 0, padding elsewhere, as well."""
  rng = np.random.default_rng(2)
  ids = rng.integers(0, vocab - 1, size=(n, LENGTH)).astype(np.int32)
  ids[ids == end_id] = 3
  for row, at in zip(ids, rng.integers(1, LENGTH, size=n)):
    row[at] = end_id
  ids[0, -1] = end_id
  return ids


def pixel_values(uint8, mean, std):
  """As transformers' image processors give them."""
  values = (uint8.astype(np.float64) / 255 - mean) / np.asarray(std)
  return torch.from_numpy(values.astype(np.float32).transpose(0, 3, 1, 2))
