"""The pool setting: all baselines, the paper's method, and the best of ours.

Each config of this folder is an experiment, for `experiments.sweep`. This one
has all strategies, five seeds and five rounds of 200. The others vary what may
go wrong or be done otherwise; but for the one on three modalities they are on
the same data, with 600 answers instead of 1000, and 200 training steps a round
instead of 300. All have the shorter warm start, the training and the smaller
test set that the tables of RESULTS.md were made with. The default config learns
several times as much from an answer.
"""

from collections.abc import Sequence

import ml_collections

from experiments.configs import colorswap

BASELINES = (
    'random', 'coreset', 'margin', 'least_confidence', 'entropy', 'badge',
    'cluster_margin', 'typiclust', 'probcover', 'kmeans', 'similarity')


def get_config() -> ml_collections.ConfigDict:
  config = _config()
  config.strategies = BASELINES + ('mmal', 'facility', 'mmal_plus')
  config.rounds, config.batch = 5, 200
  return config


def base(
    strategies: Sequence[str], sweep: Sequence[str] = ()
) -> ml_collections.ConfigDict:
  """The config that the other experiments of the paper start from.

  Args:
    strategies: to compare.
    sweep: settings, as for `experiments.sweep --set`.
  """
  config = _config()
  config.strategies = tuple(strategies)
  config.rounds, config.batch = 4, 150
  config.train.steps_per_round = 200
  config.sweep = tuple(sweep)
  return config


def _config():
  config = colorswap.get_config()
  config.dataset.test, config.warm_start.steps = 300, 600
  config.train.update(
      steps_per_round=300, loss='sigmoid', optimizer='adamw', peak_lr=3e-3,
      twins=0.0, replay=0.0)
  config.seeds = (0, 1, 2, 3, 4)
  return config
