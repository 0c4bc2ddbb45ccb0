"""Emoji as two vendors draw them: which drawings are of the same one?

Fixed features of colours and edges stand for the drawings, and linear heads in
closed form learn from the answers how one style corresponds to the other. That
drawings which look alike in both styles may be of the same emoji is not used:
with `--config.model.shared=True` it is.
"""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
  return ml_collections.ConfigDict(common.asking(('noto', 'twemoji')) | {
      'dataset': {'name': 'emoji', 'test_fraction': 0.2, 'seed': 0},
      'model': {'name': 'hog', 'cells': 4, 'bins': 9, 'shared': False},
      'closed_form': common.closed_form(),
      'matches': common.matches(),
      'train': {
          'learner': 'closed_form',
          # Of training by gradient, for which there is nothing here.
          'steps_per_round': 100, 'batch_size': 256, 'peak_lr': 1e-3,
          'weight_decay': 0.5, 'shift': 0, 'restart': True}
      | common.if_training_diverges(),
      'strategies': ('random', 'mmal', 'mmal_plus'),
      'seeds': (0, 1, 2, 3, 4),
      'rounds': 6,
      # Thirty answers in all: with more there is little left to learn.
      'batch': 5,
      # For each seed once more, with all pairs of the pool.
      'whole_pool': True,
  })
