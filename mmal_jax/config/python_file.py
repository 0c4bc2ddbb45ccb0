"""A config that a Python file makes: `FILE`, or `FILE:ARGUMENT` for another.

Such a file has a function `get_config`, which takes the argument, if any.
Those of one folder have short names: `sound` is `FOLDER/sound.py`.
"""

from collections.abc import Callable
import difflib
import importlib.util
import inspect
import os
import pathlib
import re
import types

import ml_collections

from mmal_jax.config import config as config_lib
from mmal_jax.config import paths

_OWN = re.compile('^def get_config', re.M)


def expand(spec: str, folder: str | os.PathLike[str]) -> str:
  """`FILE:ARGUMENT`, with the path of the file where there is its short name.

  Args:
    spec: as a user wrote it.
    folder: of the files that have names.

  Raises:
    ValueError: as `paths.expand`.
  """
  path, colon, argument = spec.partition(':')
  path = paths.expand(path, 'config')
  named = pathlib.Path(folder) / f'{path}.py'
  if not os.path.isfile(path) and named.is_file():
    path = str(named)
  return f'{path}{colon}{argument}'


def load(
    spec: str, folder: str | os.PathLike[str]
) -> ml_collections.ConfigDict:
  """The complete config of `FILE` or `FILE:ARGUMENT`.

  Args:
    spec: as `expand` returns it.
    folder: of the files that have names, which a refusal lists.

  Raises:
    ValueError: if there is no such file, it holds no `get_config`, or that
      refuses its argument or fails.
  """
  path, colon, argument = spec.partition(':')
  if not os.path.isfile(path):
    raise ValueError(f'config={spec!r}: there is no file {path!r}, '
                     + _nearest(path, pathlib.Path(folder)))
  module, get_config = _read(spec, path)
  takes = inspect.signature(get_config).parameters.values()
  if colon and not takes:
    raise ValueError(f'config={spec!r}: {path} takes no argument: leave '
                     f'{colon + argument!r} out.')
  if not colon and any(p.default is p.empty for p in takes):
    about = ' '.join((module.__doc__ or '').split())
    raise ValueError(f'config={spec!r}: {path} needs an argument, '
                     f'{path}:ARGUMENT. {about}')
  try:
    config = get_config(*([argument] if colon else []))
  except Exception as e:
    message = f'{type(e).__name__}: ' * (not isinstance(e, ValueError)) + str(e)
    raise ValueError(f'config={spec!r}: {message}') from e
  if not isinstance(config, ml_collections.ConfigDict):
    raise ValueError(f'config={spec!r}: its get_config returns no ConfigDict.')
  return config_lib.complete(config)


def _nearest(path: str, folder: pathlib.Path) -> str:
  """Which names there are in place of a file that is not there."""
  known = sorted(p.stem for p in folder.glob('*.py')
                 if _OWN.search(p.read_text('utf-8')))
  near = difflib.get_close_matches(pathlib.Path(path).stem, known, 1)
  hint = f' Did you mean {folder / near[0]}.py?' if near else ''
  return ('and no config of that name; names are '
          f'{", ".join(known)}.{hint}')


def _read(spec: str, path: str) -> tuple[types.ModuleType, Callable]:
  """The module that a file is, and its `get_config`."""
  module_spec = importlib.util.spec_from_file_location('_config', path)
  if module_spec is None:
    raise ValueError(f'config={spec!r} is no Python file.')
  try:
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module, module.get_config
  except Exception as e:  # A config file is code, and can raise anything.
    raise ValueError(
        f'config={spec!r} cannot be read: {type(e).__name__}: {e}.') from e
