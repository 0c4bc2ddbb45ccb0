"""Images and texts in files: `images_and_texts.py:NAME`, of a loader.

By default `paired_folder`, a folder with a `pairs.jsonl` or a CSV: give
`--config.dataset.folder=DIR`. What is not given and needed is asked for.
"""

import ml_collections

from experiments.configs import common


def get_config(dataset: str = 'paired_folder') -> ml_collections.ConfigDict:
  return common.config(
      dataset={**common.images_and_texts(dataset), 'image_size': 32},
      text={'vocab_size': 1024, 'max_tokens': 32},
      model={'name': 'transformers', 'width': 64},
      # Takes effect if rows of the table name `pretrain` as their split.
      warm_start={'shift': 2},
      train={'steps_per_round': 300, 'batch_size': 64, 'peak_lr': 3e-3,
             'shift': 2},
      strategies=('mmal', 'random'),
      seeds=(0, 1),
      rounds=6)
