"""A text costs three times what an image costs, and items differ."""

import ml_collections

from experiments.configs.paper import pool


def get_config() -> ml_collections.ConfigDict:
  config = pool.base((
      'random', 'random@cheapest', 'mmal', 'mmal_plus', 'mmal_plus_by_cost',
      'mmal_plus_by_cost@cheapest'))
  config.costs.update({'image': 1.0, 'text': 3.0, 'spread': 0.5,
                       'budget': 700.0})
  # A round may spend 175, which seldom is as many queries.
  config.batch = 200
  return config
