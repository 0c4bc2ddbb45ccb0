"""Trains a config's warm start and writes the files that the package ships.

Example:

  python -m experiments.warm_start --name=colorswap

trains that of experiments/configs/colorswap.py and writes colorswap.npz and
colorswap.json to mmal_jax/warm_starts, or to the folder --out.
"""

from collections.abc import Sequence
import importlib
import os
import shlex
import sys

from absl import flags
import ml_collections

from experiments import common_flags
from experiments import configs
from experiments import program
from mmal_jax.experiment import build as build_lib
from mmal_jax.experiment import check as check_lib
from mmal_jax.experiment import datasets
from mmal_jax.learn.gradient import shipped

_CACHE_DIR, _OUT = common_flags.take('cache_dir', 'out')
_NAME = flags.DEFINE_string(
    'name', 'colorswap', 'Of the config in experiments/configs whose dataset, '
    'model and warm start are taken, and of the two files.')


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
      config, data, config.warm_start.seed)
  trained = build_lib.train_warm_start(config, data, graphdef, params)
  shipped.save(
      path, build_lib.made_of(config, data, params), trained, command)


def _work(arguments: Sequence[str]) -> str:
  name = _NAME.value
  try:
    config = importlib.import_module(
        f'{configs.__name__}.{name}').get_config()
  except ImportError as e:
    raise ValueError(f'name={name!r} is no config: {e}.') from e
  check_lib.check(config)
  out = _OUT.value or shipped.FOLDER
  os.makedirs(out, exist_ok=True)  # Not after the training.
  path = os.path.join(out, name)
  make(config, path, _CACHE_DIR.value,
       shlex.join(['python', '-m', 'experiments.warm_start', *arguments]))
  return f'Written to {path}.npz and {path}.json.'


def main(argv: Sequence[str]) -> None:
  program.call(lambda: _work(sys.argv[1:]), argv)


if __name__ == '__main__':
  program.start(main)
