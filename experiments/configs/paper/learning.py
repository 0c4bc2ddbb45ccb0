"""What the two terms that learn from unaligned items add."""

import ml_collections

from experiments.configs.paper import pool


def get_config() -> ml_collections.ConfigDict:
  return pool.base(
      ('random', 'mmal', 'mmal_plus'),
      ('train.pseudo_pairs+train.unaligned=0.0+0.0,1.0+0.0,0.0+0.1',))
