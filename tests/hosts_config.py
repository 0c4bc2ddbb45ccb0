"""A tiny experiment over all devices that there are; see `test_hosts.py`."""

import ml_collections

from experiments.configs import features


def get_config(folder: str) -> ml_collections.ConfigDict:
  config = features.get_config()
  config.dataset.images = f'{folder}/image.npy'
  config.dataset.texts = f'{folder}/text.npy'
  config.model.width = config.model.embed_dim = 16
  config.train.learner = 'gradient'
  config.train.steps_per_round = 3
  config.train.batch_size = 16
  # Parameters are cut over devices of one process, batches over all.
  config.mesh = {'data': -1, 'fsdp': 4}
  config.strategies, config.seeds = ('mmal',), (3,)
  config.rounds, config.batch = 4, 4
  return config
