"""The streaming setting, at three sizes of the buffer and the same budget."""

import ml_collections

from experiments.configs.paper import pool


def get_config() -> ml_collections.ConfigDict:
  return pool.base(
      ('random', 'coreset', 'mmal', 'mmal_plus'),
      # Small buffers come often: 600 answers in all, and as many steps.
      ('stream.buffer+rounds+batch+train.steps_per_round='
       '250+12+50+67,500+6+100+133,1000+3+200+267',))
