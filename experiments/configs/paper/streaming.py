"""The streaming setting, at three sizes of the buffer and the same budget."""

import ml_collections

from experiments.configs.paper import pool


def get_config() -> ml_collections.ConfigDict:
  return pool.base(
      ('random', 'coreset', 'mmal', 'mmal_plus'),
      # Small buffers come often: 600 answers in all. Every round trains anew,
      # by as many steps whatever the buffer: the last model's must not differ.
      ('stream.buffer+rounds+batch=250+12+50,500+6+100,1000+3+200',))
