"""An experiment that was run before: `--config=.../saved.py:PATH`.

PATH is the `config.json` that it left in its workdir.
"""

from collections.abc import Mapping
import os
import pathlib
from typing import Any

import ml_collections

from experiments import json_files
from experiments import paths
from mmal_jax.data import json_object


def get_config(path: str | os.PathLike[str]) -> ml_collections.ConfigDict:
  """The config; ValueError, naming the file, if it holds none."""
  path = paths.expand(path, 'config')
  if not os.path.isfile(path):
    raise ValueError(f'there is no file {path!r}, which an experiment leaves '
                     'in its workdir as config.json.')
  fields = json_files.read(pathlib.Path(path))
  try:
    return of_fields(fields)
  except ValueError as e:
    raise ValueError(f'{path}: {e}') from e


def of_fields(fields: Mapping[str, Any]) -> ml_collections.ConfigDict:
  """The config of what its file holds; ValueError if that is none."""
  try:
    return ml_collections.ConfigDict(fields)
  except (AttributeError, KeyError, TypeError, ValueError) as e:
    raise ValueError(
        f'it is no config: {json_object.told(str(e))}.') from e
