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

from experiments import common_flags
from experiments import configs
from experiments import program
from mmal_jax.experiment import check
from mmal_jax.experiment import ship_warm_start
from mmal_jax.learn.gradient import shipped

_CACHE_DIR, _OUT = common_flags.take('cache_dir', 'out')
common_flags.take('compilation_cache')  # For `program.call`.
_NAME = flags.DEFINE_string(
    'name', 'colorswap', 'Of the config in experiments/configs whose dataset, '
    'model and warm start are taken, and of the two files.')


def _work() -> str:
  name = _NAME.value
  try:
    config = importlib.import_module(
        f'{configs.__name__}.{name}').get_config()
  except ImportError as e:
    raise ValueError(f'name={name!r} is no config: {e}.') from e
  check.check(config)
  out = _OUT.value or shipped.FOLDER
  os.makedirs(out, exist_ok=True)  # Not after the training.
  path = os.path.join(out, name)
  ship_warm_start.make(
      config, path, _CACHE_DIR.value,
      shlex.join(['python', '-m', 'experiments.warm_start', *sys.argv[1:]]))
  return f'Written to {path}.npz and {path}.json.'


def main(argv: Sequence[str]) -> None:
  program.call(_work, argv)


if __name__ == '__main__':
  program.start(main)
