"""The default: synthetic ColorSwap, a tiny ViT and a tiny text transformer."""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
  return ml_collections.ConfigDict(common.asking() | {
      # Fields of `synthetic_colorswap.ColorswapConfig` may be added here.
      'dataset': {
          'name': 'synthetic_colorswap', 'seed': 0, 'pretrain': 3000,
          'pool': 1500, 'test': 300, 'image_size': 32, 'skew': 1.0},
      'text': {'vocab_size': 512, 'max_tokens': 64},
      'model': {
          'name': 'transformers', 'width': 64, 'depth': 2, 'heads': 4,
          'patch': 8, 'embed_dim': 64},
      # One warm start for all seeds, as one would start from one checkpoint.
      'warm_start': {
          'seed': 0, 'steps': 600, 'batch_size': 128, 'peak_lr': 1e-3,
          'weight_decay': 1e-4, 'shift': 2},
      # `gradient` or `closed_form` (mmal_jax/learn/registry.py).
      'closed_form': common.closed_form(),
      'matches': common.matches(),
      'train': {
          'learner': 'gradient',
          # Chosen on random pairs alone, before any strategy was compared.
          'steps_per_round': 300, 'batch_size': 64, 'peak_lr': 3e-3,
          'weight_decay': 0.5, 'shift': 2,
          # Every round trains the warm start anew on all pairs aligned so far.
          'restart': True}
      | common.learning_from_the_unaligned() | common.if_training_diverges(),
      'strategies': ('mmal', 'random'),
      'seeds': (0, 1),
      'rounds': 5,
      'batch': 200,
  })
