"""A share of the answers is wrong: names any item, or one that is alike."""

import ml_collections

from experiments.configs.paper import pool


def get_config() -> ml_collections.ConfigDict:
  return pool.base(
      ('random', 'mmal', 'mmal_plus'),
      ('oracle.wrong=0.05,0.1,0.2', 'oracle.mistake=uniform,near'))
