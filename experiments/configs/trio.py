"""Three modalities: pictures, captions and sounds of synthetic scenes."""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
  return common.config(
      modalities=('image', 'text', 'sound'),
      dataset={'name': 'synthetic_trio'},
      model={'name': 'transformers', 'width': 64},
      warm_start={'steps': 400},
      train={
          # Sounds must not be shifted: their pitch is what they say.
          'shift': 0,
          'steps_per_round': 200, 'batch_size': 64, 'peak_lr': 3e-3},
      strategies=('mmal', 'random'),
      seeds=(0, 1, 2, 3, 4),
      rounds=4,
      batch=100)
