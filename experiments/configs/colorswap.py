"""The default: synthetic ColorSwap, a tiny ViT and a tiny text transformer."""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
  return ml_collections.ConfigDict(common.asking() | {
      # Fields of `synthetic_colorswap.ColorswapConfig` may be added here.
      'dataset': {
          'name': 'synthetic_colorswap', 'seed': 0, 'pretrain': 3000,
          'pool': 1500, 'test': 1000, 'image_size': 32, 'skew': 1.0},
      'text': {'vocab_size': 512, 'max_tokens': 64},
      'model': {
          'name': 'transformers', 'width': 64, 'depth': 2, 'heads': 4,
          'patch': 8, 'embed_dim': 64},
      # One warm start for all seeds, as one would start from one checkpoint. It
      # comes with the package (`experiments.warm_start` made it); with another
      # value here, another is trained.
      'warm_start': {
          'seed': 0, 'steps': 3000, 'batch_size': 128, 'peak_lr': 1e-3,
          'weight_decay': 1e-4, 'shift': 2},
      # `gradient`, `closed_form` or `fine_tune` (mmal_jax/learn/registry.py).
      'closed_form': common.closed_form(),
      'matches': common.matches(),
      'train': {
          'learner': 'gradient',
          # Chosen on random pairs alone, seeds 100 and 101.
          'steps_per_round': 250, 'batch_size': 64,
          'peak_lr': 0.02, 'weight_decay': 0.5, 'shift': 2, 'loss': 'sigmoid',
          # Every round trains the warm start anew on all pairs aligned so far.
          'restart': True}
      | common.optional_training() | common.if_training_diverges()
      | {'optimizer': 'muon', 'twins': 0.5, 'replay': 200.0},
      'strategies': ('random', 'mmal', 'coreset'),
      'seeds': (0,),
      'rounds': 4,
      'batch': 250,
      # For each seed once more, with all pairs of the pool: how far answers can
      # lead. Left out of streams, and where people are asked.
      'whole_pool': True,
  })
