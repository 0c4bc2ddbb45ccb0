"""An experiment that was run before: `--config=.../saved.py:PATH`.

PATH is the `config.json` that it left in its workdir.
"""

import os

import ml_collections

from mmal_jax import durable
from mmal_jax.data import json_object


def get_config(path: str | os.PathLike[str]) -> ml_collections.ConfigDict:
  """The config; ValueError, naming the file, if it holds none."""
  fields = json_object.parse(durable.read(path), path)
  try:
    return ml_collections.ConfigDict(fields)
  except (AttributeError, KeyError, TypeError, ValueError) as e:
    raise ValueError(f'{path} holds no config: {e}') from e
