"""Pictures, captions and sounds of the same scenes."""

import ml_collections

from experiments.configs import trio


def get_config() -> ml_collections.ConfigDict:
  config = trio.get_config()
  config.strategies = ('random', 'coreset', 'margin', 'mmal', 'mmal_plus')
  return config
