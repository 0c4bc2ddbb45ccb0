"""Fine-tunes a published CLIP or SigLIP: give `--init=DIR`.

`pretrained.py:synthetic_colorswap` renders a ColorSwap at 224 pixels; another
name takes images and texts in files, as in `images_and_texts.py`:
`pretrained.py:paired_folder` your own (give `--config.dataset.folder=DIR`).
"""

import ml_collections
from ml_collections import config_dict

from experiments.configs import common

_COLORSWAP = {
    'name': 'synthetic_colorswap', 'seed': 0, 'pretrain': 1, 'pool': 700,
    'test': 300, 'image_size': 224, 'skew': 1.0}


def get_config(dataset: str = 'synthetic_colorswap') -> (
    ml_collections.ConfigDict):
  data = (_COLORSWAP if dataset == _COLORSWAP['name']
          else common.images_and_texts(dataset, image_size=None))
  return ml_collections.ConfigDict(common.asking() | {
      'dataset': data,
      'init': config_dict.placeholder(str),
      # `checkpoint`: whatever --init holds. On a GPU or a TPU take bfloat16.
      'model': {
          'name': 'checkpoint', 'dtype': 'float32', 'remat': False,
          'image_size': config_dict.placeholder(int)},
      # Of the tokenizer, where it does not lie with the weights.
      'text': {'folder': config_dict.placeholder(str)},
      # `gradient`, `closed_form` or `fine_tune` (mmal_jax/learn/registry.py).
      'closed_form': common.closed_form(),
      'matches': common.matches(),
      'train': {
          'learner': 'gradient',
          'steps_per_round': 100, 'batch_size': 64, 'peak_lr': 1e-5,
          'weight_decay': 0.1, 'shift': 0, 'restart': True,
          # sigmoid, sigmoid_chunked, sigmoid_ring or softmax; None takes the
          # one that the checkpoint was trained with.
          'loss': config_dict.placeholder(str),
          # none, lit, heads, last_N_blocks, or patterns on parameters' names
          # with commas between them.
          'freeze': 'none',
          'lr_factors': '',  # as *_tower.*=0.1,*.token.*=0
          'parts': 1, 'clip': 1.0, 'ema': 0.0, 'warmup_fraction': 0.1}
      | common.optional_training() | common.if_training_diverges(),
      # -1: all devices. Parameters are cut over `fsdp` of them.
      'mesh': {'data': -1, 'fsdp': 1},
      'strategies': ('mmal', 'random'),
      'seeds': (0, 1, 2),
      'rounds': 5,
      # Half of the pool over all rounds, but at most 100 a round.
      'batch': config_dict.placeholder(int),
  })
