"""Emoji as two vendors draw them: which drawings are of the same one?

Fixed features of colours and edges stand for the drawings, and linear heads in
closed form learn from the answers how one style corresponds to the other. That
drawings which look alike in both styles may be of the same emoji is not used:
with `--config.model.shared=True` it is.
"""

import ml_collections

from experiments.configs import common


def get_config() -> ml_collections.ConfigDict:
  return common.config(
      modalities=('noto', 'twemoji'),
      dataset={'name': 'emoji'},
      model={'name': 'hog'},
      train={'learner': 'closed_form'},
      strategies=('random', 'mmal', 'mmal_plus'),
      seeds=(0, 1, 2, 3, 4),
      rounds=6,
      # Thirty answers in all: with more there is little left to learn.
      batch=5,
      # For each seed once more, with all pairs of the pool.
      whole_pool=True)
