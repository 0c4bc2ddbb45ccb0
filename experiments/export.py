"""Takes a run's model home, in the format that its checkpoint came in.

Example:

  python -m experiments.export --workdir=runs/mine --strategy=mmal --seed=0 \
      --export=my_model

writes a folder that `transformers` loads: parameters, configuration, tokenizer
and image preprocessing.
"""

from collections.abc import Sequence
import pathlib

from absl import flags

from experiments import common_flags
from experiments import hosts
from experiments import program
from mmal_jax.experiment import export
from mmal_jax.parallel import processes

_WORKDIR, _STRATEGY, _SEED, _INIT, _MOVED = common_flags.take(
    'workdir', 'strategy', 'seed', 'init', 'moved')
common_flags.take('compilation_cache')  # For `program.call`.
_EXPORT = common_flags.define_path(
    'export', None, 'Folder to write; there must be none yet.')
flags.adopt_module_key_flags(hosts)


def _work() -> str:
  if _EXPORT.value is None:
    raise ValueError('give --export, the folder to write.')
  export.export(
      pathlib.Path(_WORKDIR.value), _STRATEGY.value, _SEED.value,
      pathlib.Path(_EXPORT.value), _INIT.value, _MOVED.value)
  if not processes.is_primary():
    return ''
  return (f'The model of {_STRATEGY.value}, seed {_SEED.value}, is written to '
          f'{_EXPORT.value}.')


def main(argv: Sequence[str]) -> None:
  with hosts.joined():
    program.call(_work, argv)


if __name__ == '__main__':
  program.start(main)
