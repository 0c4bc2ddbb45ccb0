"""Annotators refuse to answer for a share of the items."""

import ml_collections

from experiments.configs.paper import pool


def get_config() -> ml_collections.ConfigDict:
  return pool.base(
      ('random', 'mmal', 'mmal_plus'), ('oracle.refuse=0.1,0.3,0.5',))
