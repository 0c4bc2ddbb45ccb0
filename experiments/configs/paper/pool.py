"""The pool setting: all baselines, the paper's method, and the best of ours.

Each config of this folder is an experiment, for `experiments.sweep`. This one
is the default config, with all strategies, five seeds and five rounds of 200.
The others vary what may go wrong or be done otherwise; but for the one on three
modalities they are on the same data, with 600 answers instead of 1000, and 200
training steps a round instead of 300.
"""

from collections.abc import Sequence

import ml_collections

from experiments.configs import colorswap

BASELINES = (
    'random', 'coreset', 'margin', 'least_confidence', 'entropy', 'badge',
    'cluster_margin', 'typiclust', 'probcover', 'kmeans', 'similarity')


def get_config() -> ml_collections.ConfigDict:
  config = colorswap.get_config()
  config.strategies = BASELINES + ('mmal', 'facility', 'mmal_plus')
  config.seeds = (0, 1, 2, 3, 4)
  config.rounds, config.batch = 5, 200
  config.whole_pool = False  # Every cell would train it again.
  return config


def base(
    strategies: Sequence[str], sweep: Sequence[str] = ()
) -> ml_collections.ConfigDict:
  """The config that the other experiments of the paper start from.

  Args:
    strategies: to compare.
    sweep: settings, as for `experiments.sweep --set`.
  """
  config = colorswap.get_config()
  config.strategies = tuple(strategies)
  config.seeds = (0, 1, 2, 3, 4)
  config.rounds, config.batch = 4, 150
  config.whole_pool = False
  config.train.steps_per_round = 200
  config.sweep = tuple(sweep)
  return config
