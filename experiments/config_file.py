"""The flag `--config=FILE:ARGUMENT`, and flags on the values of that config.

In place of FILE there may be a name: `--config=features:sound` is
`--config=experiments/configs/features.py:sound`.

ml_collections applies `--config.KEY=VALUE`; what it would refuse in its own
words, or Python's, is found here before, and reported in the config's.
"""

from collections.abc import Callable, Sequence
import pathlib
import re
import sys

from absl import flags
import ml_collections
from ml_collections import config_flags

from experiments import program
from mmal_jax.config import explain
from mmal_jax.config import keys
from mmal_jax.config import python_file

FOLDER = pathlib.Path(__file__).parent / 'configs'
_LOADER = pathlib.Path(__file__).with_name('config_loader.py')
_OVERRIDE = re.compile(r'--?(no)?config\.([^=]+)(=.*)?', re.S)
_CONFIG = re.compile(r'--?config(=.*)?', re.S)


def define(text: str) -> flags.FlagHolder:
  """The flag `--config`, with its help."""
  argv = sys.argv
  # Where it is defined, ml_collections reads the files of flags already; what
  # cannot be read is refused in words when flags are parsed.
  sys.argv = argv[:1]
  try:
    return config_flags.DEFINE_config_file('config', None, text)
  finally:
    sys.argv = argv


flags.disclaim_key_flags()  # It is of the module that defines it.


def expand(argv: Sequence[str]) -> list[str]:
  """The command line with FILE of `--config=FILE:ARGUMENT` expanded."""
  return _with_specs(argv, lambda spec: python_file.expand(spec, FOLDER))


def load(spec: str) -> ml_collections.ConfigDict:
  """The complete config of `FILE` or `FILE:ARGUMENT`, as `expand` left it."""
  return python_file.load(spec, FOLDER)


def loaded(argv: Sequence[str]) -> list[str]:
  """The command line by which ml_collections gets complete configs."""
  return _with_specs(argv, lambda spec: f'{_LOADER}:{spec}')


def _with_specs(
    argv: Sequence[str], change: Callable[[str], str]
) -> list[str]:
  """A command line with what follows `--config` changed."""
  changed = list(argv)
  for i, argument in enumerate(argv):
    if _CONFIG.fullmatch(argument):
      flag, equals, spec = argument.partition('=')
      if equals:
        changed[i] = f'{flag}={change(spec)}'
      elif i + 1 < len(argv):
        changed[i + 1] = change(argv[i + 1])
  return changed


def path_of(argv: Sequence[str]) -> str | None:
  """What follows `--config` on a command line, or None."""
  for i, argument in enumerate(argv):
    if _CONFIG.fullmatch(argument):
      value = argument.partition('=')[2] if '=' in argument else (
          argv[i + 1:] or [''])[0]
      return value
  return None


def check_overrides(
    argv: Sequence[str], config: ml_collections.ConfigDict
) -> None:
  """Refuses flags on values that the config does not have.

  Raises:
    ValueError: naming those that it has, and the nearest.
  """
  for argument in argv[1:]:
    found = _OVERRIDE.fullmatch(argument)
    if found:
      keys.check(config, found[2])


def in_words(error: Exception, config: ml_collections.ConfigDict) -> str:
  """What a refused `--config.KEY=VALUE`, or other flag, must be."""
  found = re.match(r'flag --config\.([\w.]+)=(.*?): ', str(error), re.S)
  return (program.in_words(error) if found is None
          else explain.refusal(config, *found.groups()))
