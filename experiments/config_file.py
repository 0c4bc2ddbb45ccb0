"""The config that `--config=FILE:ARGUMENT` names, and flags on its values.

In place of FILE there may be a name: `--config=features:sound` is
`--config=experiments/configs/features.py:sound`.

ml_collections applies `--config.KEY=VALUE`; what it would refuse in its own
words, or Python's, is found here before, and reported in the config's.
"""

from collections.abc import Callable, Sequence
import difflib
import importlib.util
import inspect
import os
import pathlib
import re
import sys

from absl import flags
import ml_collections
from ml_collections import config_flags

from experiments import program
from mmal_jax.config import config as config_lib
from mmal_jax.config import differences
from mmal_jax.config import explain
from mmal_jax.config import keys
from mmal_jax.config import paths

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
  return _with_specs(argv, _expanded)


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


def _expanded(spec: str) -> str:
  path, colon, of_file = spec.partition(':')  # It may expand that, too.
  path = paths.expand(path, 'config')
  named = FOLDER / f'{path}.py'
  if not os.path.isfile(path) and named.is_file():
    path = str(named)
  return f'{path}{colon}{of_file}'


def path_of(argv: Sequence[str]) -> str | None:
  """What follows `--config` on a command line, or None."""
  for i, argument in enumerate(argv):
    if _CONFIG.fullmatch(argument):
      value = argument.partition('=')[2] if '=' in argument else (
          argv[i + 1:] or [''])[0]
      return value
  return None


def load(spec: str) -> ml_collections.ConfigDict:
  """The complete config of `FILE` or `FILE:ARGUMENT`.

  Raises:
    ValueError: if there is no such file, it holds no `get_config`, or that
      refuses its argument or fails.
  """
  path, colon, argument = spec.partition(':')
  if not os.path.isfile(path):
    known = sorted(p.stem for p in FOLDER.glob('*.py')
                   if p.stem not in ('__init__', 'common', 'saved'))
    near = difflib.get_close_matches(pathlib.Path(path).stem, known, 1)
    hint = f' Did you mean {FOLDER / near[0]}.py?' if near else ''
    raise ValueError(
        f'config={spec!r}: there is no file {path!r}, and no config of that '
        f'name; names are {", ".join(known)}.{hint}')
  module_spec = importlib.util.spec_from_file_location('_config', path)
  if module_spec is None:
    raise ValueError(f'config={spec!r} is no Python file.')
  try:
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    get_config = module.get_config
  except Exception as e:  # A config file is code, and can raise anything.
    raise ValueError(
        f'config={spec!r} cannot be read: {type(e).__name__}: {e}.') from e
  takes = inspect.signature(get_config).parameters.values()
  if colon and not takes:
    raise ValueError(f'config={spec!r}: {path} takes no argument: leave '
                     f'{colon + argument!r} out.')
  if not colon and any(p.default is p.empty for p in takes):
    raise ValueError(f'config={spec!r}: {path} needs an argument, '
                     f'{path}:ARGUMENT. {_about(module)}')
  try:
    config = get_config(*([argument] if colon else []))
  except Exception as e:
    message = f'{type(e).__name__}: ' * (not isinstance(e, ValueError)) + str(e)
    raise ValueError(f'config={spec!r}: {message}') from e
  if not isinstance(config, ml_collections.ConfigDict):
    raise ValueError(f'config={spec!r}: its get_config returns no ConfigDict.')
  return config_lib.complete(config)


def _about(module) -> str:
  """A module's docstring in one line."""
  return ' '.join((module.__doc__ or '').split())


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
  if found is None:
    return program.in_words(error)
  key, value = found.groups()
  may_be = explain.allowed(config, key)
  now = dict(differences.flat(config.to_dict())).get(key)
  part = config
  for name in key.split('.'):
    part = part.get(name)
  if isinstance(part, ml_collections.ConfigDict):
    return (f'{key}={value!r}: {key} is a section, with the values '
            f'{", ".join(f"{key}.{name}" for name in part)}.')
  may_be = may_be or f'of the type {type(now).__name__}'
  return f'{key}={value!r} must be {may_be}; the config says {now!r}.'
