"""The method without each of its stages."""

import ml_collections

from experiments.configs.paper import pool


def get_config() -> ml_collections.ConfigDict:
  return pool.base(
      ('mmal', 'mmal@random', 'mmal@alternate', 'mmal@image', 'mmal@text',
       'mmal_no_coreset', 'mmal_no_uncertainty', 'random'))
