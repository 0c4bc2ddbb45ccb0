"""The same comparison on every feature set of a folder, and one table of all.

Example:

  python -m experiments.feature_sets --sets=DIR --workdir=runs/sets

Every `.npz` of the folder is a set: arrays `image` and `text` of one row an
item, further modalities by their names, and `split`, `train` or `test` for each
row. The same command again goes on where it was stopped.
"""

from collections.abc import Sequence

from absl import flags

from experiments import common_flags
from experiments import program
from experiments.configs import features
from mmal_jax.experiment import feature_sets
from mmal_jax.terminal import messages

_WORKDIR, _CACHE_DIR = common_flags.take('workdir', 'cache_dir')
common_flags.take('compilation_cache')  # For `program.call`.
_SETS = common_flags.define_path('sets', None, 'Folder of .npz files.')
_NAMES = flags.DEFINE_list(
    'names', None, 'Of the sets to take. Default: all.')
_STRATEGIES = flags.DEFINE_list(
    'of', ['random', 'mmal', 'mmal_plus'], 'Strategies to compare.')
_NUM_SEEDS = flags.DEFINE_integer(
    'num_seeds', 20, 'Seeds, from 0 on.', lower_bound=1)
_NUM_ROUNDS = flags.DEFINE_integer(
    'num_rounds', 6, 'Rounds of queries.', lower_bound=1)
_SHARE = flags.DEFINE_float(
    'share', 0.05, 'Queries of a round, as a share of the pool.',
    lower_bound=0.0, upper_bound=1.0)
_LEARNER = flags.DEFINE_string(
    'learner', 'closed_form', 'Who learns: train.learner of the config.')
_WORLD = flags.DEFINE_bool(
    'world', True, 'Whether the closed form learns from a closed world.')
_MATCH = flags.DEFINE_bool(
    'match', False, 'Match what remains after the last round, and report how '
    'true the stated probabilities are.')

# Flags of `experiments.run`, and what stands for them here.
_NOT_OURS = {
    'strategies': 'use --of', 'seeds': 'use --num_seeds',
    'rounds': 'use --num_rounds', 'batch': 'use --share',
    'budget': 'use --share', 'config': None, 'init': None, 'model': None,
    'oracle': None, 'resume': None, 'overwrite': None, 'states': None,
    'mirror': None, 'profile': None, 'show_config': None}


def _work() -> str:
  common_flags.refuse(_NOT_OURS, 'feature sets')
  if _SETS.value is None:
    raise ValueError('give --sets, a folder of .npz files.')
  configs = {
      path: feature_sets.config_of(
          path, features.get_config, strategies=_STRATEGIES.value,
          num_seeds=_NUM_SEEDS.value, rounds=_NUM_ROUNDS.value,
          share=_SHARE.value, learner=_LEARNER.value, world=_WORLD.value,
          match=_MATCH.value)
      for path in feature_sets.find(_SETS.value, _NAMES.value)}
  return feature_sets.run(
      configs, _WORKDIR.value, _CACHE_DIR.value, report=messages.write,
      notify=messages.notify)


def main(argv: Sequence[str]) -> None:
  program.call(_work, argv)


if __name__ == '__main__':
  program.start(main)
