"""Tiny experiments over all devices that there are; see `test_hosts.py`."""

import ml_collections

from experiments.configs import colorswap
from experiments.configs import features


def get_config(folder: str) -> ml_collections.ConfigDict:
  """On the features of a folder, or on pictures if it is none."""
  return _features(folder) if folder else _pictures()


def _pictures():
  config = colorswap.get_config()
  config.dataset.update(pretrain=40, pool=30, test=10, image_size=16)
  config.model.update(width=16, embed_dim=16, depth=1, heads=2)
  config.warm_start.steps = 3
  config.train.learner = 'fine_tune'
  config.train.steps_per_round = 3
  config.train.batch_size = 16
  config.mesh = {'data': -1, 'fsdp': 2}
  config.strategies, config.seeds = ('mmal',), (3,)
  config.rounds, config.batch = 4, 6
  config.whole_pool = False
  return config


def _features(folder):
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
