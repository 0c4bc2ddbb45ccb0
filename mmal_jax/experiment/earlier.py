"""The config of an experiment that was run before, and where its data lie now.
"""

from collections.abc import Sequence
import os
import pathlib

import ml_collections

from mmal_jax.config import paths
from mmal_jax.experiment import check as check_lib
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import saved_config


def config_of(
    folder: str | os.PathLike[str], moved: Sequence[str] = ()
) -> ml_collections.ConfigDict:
  """The checked config of an experiment's folder.

  Args:
    folder: of the experiment.
    moved: `KEY=PATH` each: where its data or checkpoint lie now.

  Raises:
    ValueError: if there is none, or it cannot be run.
  """
  path = pathlib.Path(folder) / workdir_lib.CONFIG
  if not path.exists():
    raise ValueError(
        f'workdir={str(folder)!r} holds no experiment: there is no '
        f'{workdir_lib.CONFIG}.')
  config = saved_config.read(path)
  try:
    return prepared(config, moved)
  except ValueError as e:
    raise ValueError(f'{path}: {e}') from e


def check_data(config: ml_collections.ConfigDict) -> None:
  """Refuses data that are where they were no more, before they are read.

  Raises:
    ValueError: naming them, and the flag that says where they are.
  """
  try:
    paths.check_exist(config)
  except ValueError as e:
    raise ValueError(f'{e} Say where they lie now: --moved=KEY=PATH.') from e
  init = config.init
  if init is not None and os.path.isabs(init) and not os.path.exists(init):
    raise ValueError(f'init={init!r} does not exist. Say where it lies now: '
                     '--moved=init=PATH.')


def prepared(
    config: ml_collections.ConfigDict, moved: Sequence[str] = ()
) -> ml_collections.ConfigDict:
  """A saved config with its paths where they lie now, checked."""
  paths.move(config, moved)
  check_lib.check(config)
  return config
