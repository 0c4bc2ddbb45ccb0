"""A small published model, and photos with captions to run it on."""

import json

import numpy as np
from PIL import Image
import tokenizers
import transformers

from tests.support import torch_models


def publish(model, folder, processor, vocab=300):
  """Beside a model its tokenizer and preprocessing, as one downloads them."""
  model.save_pretrained(folder)
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
  tokenizer.train_from_iterator(['a red cat and a blue dog'] * 3,
                                tokenizers.trainers.BpeTrainer(
      vocab_size=vocab, special_tokens=['<pad>', '<eos>'], show_progress=False,
      initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
  transformers.PreTrainedTokenizerFast(
      tokenizer_object=tokenizer, pad_token='<pad>', eos_token='<eos>'
  ).save_pretrained(folder)
  size = torch_models.IMAGE_SIZE
  (folder / 'preprocessor_config.json').write_text(json.dumps({
      'image_processor_type': processor, 'resample': 3,
      'do_center_crop': False, 'size': {'height': size, 'width': size},
      'image_mean': [0.5, 0.4, 0.3], 'image_std': [0.5, 0.25, 0.3]}))
  return folder


def photos(folder):
  """24 noisy pictures of many sizes, in pairs, with a table of captions."""
  rng = np.random.default_rng(0)
  lines = []
  for i in range(24):
    shape = (int(rng.integers(20, 60)), int(rng.integers(20, 60)), 3)
    Image.fromarray(rng.integers(256, size=shape).astype(np.uint8)).save(
        folder / f'{i}.png')
    lines.append({'image': f'{i}.png', 'text': f'a red cat number {i}',
                  'group': i // 2})
  (folder / 'pairs.jsonl').write_text('\n'.join(map(json.dumps, lines)))
  return folder
