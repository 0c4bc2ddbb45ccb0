"""Three modalities: pictures, captions and sounds of synthetic scenes."""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
  return ml_collections.ConfigDict(common.asking(('image', 'text', 'sound')) | {
      # Arguments of `synthetic_trio.load`.
      'dataset': {
          'name': 'synthetic_trio', 'seed': 0, 'pretrain': 2000, 'pool': 600,
          'test': 150, 'image_size': 32, 'skew': 1.0},
      'text': {'vocab_size': 512, 'max_tokens': 64},
      'model': {
          'name': 'transformers', 'width': 64, 'depth': 2, 'heads': 4,
          'patch': 8, 'embed_dim': 64},
      'warm_start': {
          'seed': 0, 'steps': 400, 'batch_size': 128, 'peak_lr': 1e-3,
          'weight_decay': 1e-4, 'shift': 0},
      # `gradient`, `closed_form` or `fine_tune` (mmal_jax/learn/registry.py).
      'closed_form': common.closed_form(),
      'matches': common.matches(),
      'train': {
          'learner': 'gradient',
          # Sounds must not be shifted: their pitch is what they say.
          'steps_per_round': 200, 'batch_size': 64, 'peak_lr': 3e-3,
          'weight_decay': 0.5, 'shift': 0, 'restart': True}
      | common.optional_training() | common.if_training_diverges(),
      'strategies': ('mmal', 'random'),
      'seeds': (0, 1, 2, 3, 4),
      'rounds': 4,
      'batch': 100,
  })
