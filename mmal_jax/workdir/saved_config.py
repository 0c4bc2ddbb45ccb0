"""The config that an experiment left in its workdir, read back."""

from collections.abc import Mapping
import os
import pathlib
from typing import Any

import ml_collections

from mmal_jax.config import config as config_lib
from mmal_jax.config import paths
from mmal_jax.files import json_object
from mmal_jax.workdir import json_files


def get_config(path: str | os.PathLike[str]) -> ml_collections.ConfigDict:
  """The config, as a user would write it, of a file that an experiment left.

  Its paths are expanded where it is run, as those are that are given with it.

  Args:
    path: of the file, as the user wrote it.

  Raises:
    ValueError: as `read`.
  """
  config = read(paths.expand(path, 'config'), copied=True)
  paths.escape_all(config)
  return config


def read(
    path: str | os.PathLike[str], copied: bool = False
) -> ml_collections.ConfigDict:
  """The config as it was saved, with absolute paths, complete.

  Args:
    path: of the file.
    copied: as for `json_files.read`.

  Raises:
    ValueError: if there is no such file, or it holds no config, naming it.
  """
  path = os.fspath(path)
  if not os.path.isfile(path):
    raise ValueError(f'there is no file {path!r}, which an experiment leaves '
                     'in its workdir as config.json.')
  fields = json_files.read(pathlib.Path(path), copied)
  try:
    return of_fields(fields)
  except ValueError as e:
    raise ValueError(f'{path}: {e}') from e


def of_fields(fields: Mapping[str, Any]) -> ml_collections.ConfigDict:
  """The complete config of what its file holds; ValueError if that is none.

  What an earlier version did not save has its default, and what it saved
  otherwise is as it is now.
  """
  try:
    return config_lib.complete(
        ml_collections.ConfigDict(config_lib.renewed(fields)))
  except (AttributeError, KeyError, TypeError, ValueError) as e:
    raise ValueError(
        f'it is no config: {json_object.quote(str(e))}.') from e
