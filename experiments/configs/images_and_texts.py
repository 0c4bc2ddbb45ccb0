"""Images and texts in files: `images_and_texts.py:NAME`, of a loader.

By default `paired_folder`, a folder with a `pairs.jsonl` or a CSV: give
`--config.dataset.folder=DIR`. What is not given and needed is asked for.
"""

import ml_collections
from ml_collections import config_dict

from experiments.configs import common


def get_config(dataset: str = 'paired_folder') -> ml_collections.ConfigDict:
  return ml_collections.ConfigDict(common.asking() | {
      'dataset': common.images_and_texts(dataset, image_size=32),
      'text': {'vocab_size': 1024, 'max_tokens': 32},
      'model': {
          'name': 'transformers', 'width': 64, 'depth': 2, 'heads': 4,
          'patch': 8, 'embed_dim': 64},
      # Takes effect if rows of the table name `pretrain` as their split.
      'warm_start': {
          'seed': 0, 'steps': 600, 'batch_size': 128, 'peak_lr': 1e-3,
          'weight_decay': 1e-4, 'shift': 2},
      # `gradient`, `closed_form` or `fine_tune` (mmal_jax/learn/registry.py).
      'closed_form': common.closed_form(),
      'matches': common.matches(),
      'train': {
          'learner': 'gradient',
          'steps_per_round': 300, 'batch_size': 64, 'peak_lr': 3e-3,
          'weight_decay': 0.5, 'shift': 2, 'restart': True}
      | common.optional_training() | common.if_training_diverges(),
      'strategies': ('mmal', 'random'),
      'seeds': (0, 1),
      'rounds': 6,
      # Half of the pool over all rounds, but at most 100 a round.
      'batch': config_dict.placeholder(int),
  })
