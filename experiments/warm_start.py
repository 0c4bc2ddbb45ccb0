"""Trains a config's warm start and writes the files that the package ships.

Example:

  python -m experiments.warm_start --name=colorswap

trains that of the default config (experiments/configs/colorswap.py) and writes
colorswap.npz and colorswap.json to mmal_jax/warm_starts.
"""

from collections.abc import Sequence
import os
import shlex
import sys

from absl import app
from absl import flags
import ml_collections
from ml_collections import config_flags

from experiments import build as build_lib
from experiments import cache
from experiments import check as check_lib
from experiments import datasets
from experiments import program
from mmal_jax.learn.gradient import shipped

_DEFAULT = 'experiments/configs/colorswap.py'
_CONFIG = config_flags.DEFINE_config_file(
    'config', os.path.join(os.path.dirname(__file__), 'configs',
                           'colorswap.py'),
    f'Whose dataset, model and warm start are taken. Default: {_DEFAULT}.')
_NAME = flags.DEFINE_string(
    'name', None, 'Of the two files, without an ending.', required=True)
_OUT = flags.DEFINE_string('out', str(shipped.FOLDER), 'Folder to write to.')
flags.adopt_module_key_flags(cache)  # --help tells of it, too.


def make(
    config: ml_collections.ConfigDict,
    path: str | os.PathLike[str],
    cache_dir: str,
    command: str,
) -> None:
  """Trains the warm start, whatever is shipped or cached, and writes it.

  Args:
    config: checked.
    path: of the two files, without an ending.
    cache_dir: of rendered datasets.
    command: to state in the description.

  Raises:
    ValueError: if the dataset has no pretrain split, among others.
  """
  data = datasets.load(config, cache_dir)
  if data.pretrain is None:
    raise ValueError(f'dataset {config.dataset.name!r} has no pretrain split, '
                     'which a warm start is trained on.')
  graphdef, params = build_lib.init_params(
      config, data, (config.get('warm_start') or {}).get('seed', 0))
  trained = build_lib.train_warm_start(config, data, graphdef, params)
  shipped.save(
      path, build_lib.made_of(config, data, params), trained, command)


def _work(arguments: Sequence[str]) -> str:
  config = _CONFIG.value
  check_lib.check(config)
  path = os.path.join(_OUT.value, _NAME.value)
  make(config, path, cache.CACHE_DIR.value,
       shlex.join(['python', '-m', 'experiments.warm_start', *arguments]))
  return f'Written to {path}.npz and {path}.json.'


def main(argv: Sequence[str]) -> None:
  program.call(lambda: _work(sys.argv[1:]), argv)


if __name__ == '__main__':
  app.run(main)
