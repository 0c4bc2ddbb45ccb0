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

from experiments import build as build_lib
from experiments import cache
from experiments import datasets
from experiments import program
from experiments import run as run_lib
from mmal_jax.learn.gradient import shipped

_NAME = flags.DEFINE_string(
    'name', None, 'Of the two files, without an ending.')
_OUT = flags.DEFINE_string('out', str(shipped.FOLDER), 'Folder to write to.')
flags.adopt_module_key_flags(cache)  # --help tells of them, too.
flags.adopt_module_key_flags(run_lib)


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
  config = run_lib.configure()
  if _NAME.value is None:
    raise ValueError('give --name, that of the files to write.')
  path = os.path.join(_OUT.value, _NAME.value)
  make(config, path, cache.CACHE_DIR.value,
       shlex.join(['python', '-m', 'experiments.warm_start', *arguments]))
  return f'Written to {path}.npz and {path}.json.'


def main(argv: Sequence[str]) -> None:
  program.call(lambda: _work(sys.argv[1:]), argv)


if __name__ == '__main__':
  app.run(main, flags_parser=run_lib.parse_flags)
