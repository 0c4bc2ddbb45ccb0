"""The default: synthetic ColorSwap, a tiny ViT and a tiny text transformer."""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
  return common.config(
      # Fields of `synthetic_colorswap.ColorswapConfig` may be added here.
      dataset={
          'name': 'synthetic_colorswap', 'seed': 0, 'pretrain': 3000,
          'pool': 1500, 'test': 1000, 'image_size': 32, 'skew': 1.0},
      model={'name': 'transformers', 'width': 64},
      # One warm start for all seeds, as one would start from one checkpoint. It
      # comes with the package (`experiments.warm_start` made it); with another
      # value here, another is trained.
      warm_start={'steps': 3000, 'shift': 2},
      train={
          # Chosen on random pairs alone, seeds 100 and 101.
          'steps_per_round': 250, 'batch_size': 64, 'peak_lr': 0.02, 'shift': 2,
          'loss': 'sigmoid', 'optimizer': 'muon', 'twins': 0.5,
          'replay': 200.0},
      strategies=('random', 'mmal', 'coreset'),
      rounds=4,
      batch=250,
      # For each seed once more, with all pairs of the pool: how far answers can
      # lead. Left out of streams, and where people are asked.
      whole_pool=True)
