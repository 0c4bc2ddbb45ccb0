"""A share of the pairs has lost one of its items."""

import ml_collections

from experiments.configs.paper import pool


def get_config() -> ml_collections.ConfigDict:
  return pool.base(
      ('random', 'mmal', 'mmal_plus'), ('missing=0.1,0.3,0.5',))
