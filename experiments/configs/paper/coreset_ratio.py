"""How many candidates stage 2 hands to stage 3: B_c / B."""

import ml_collections

from experiments.configs.paper import pool


def get_config() -> ml_collections.ConfigDict:
  return pool.base(
      ('mmal',), ('acquisition.coreset_ratio=1.0,1.5,2.0,4.0,8.0',))
