"""What configs are made of: defaults, and what differs from them."""

from collections.abc import Mapping, Sequence
import inspect
from typing import Any

import ml_collections
from ml_collections import config_dict

from mmal_jax.config import config as config_lib
from mmal_jax.data import registry as datasets_lib


def config(
    modalities: Sequence[str] = ('image', 'text'), **differences: Any
) -> ml_collections.ConfigDict:
  """A config of all defaults (`mmal_jax/config/sections.py`) but some values.

  Args:
    modalities: names, of which each may have costs of its own.
    **differences: what differs: a section, of which the rest is left as it is,
      or a value of no section.
  """
  costs = {m: config_dict.placeholder(float) for m in modalities}
  return config_lib.complete(ml_collections.ConfigDict(
      {'costs': costs} | differences))


def images_and_texts(name: str) -> Mapping[str, Any]:
  """The section of a dataset of images and texts that lie in files.

  Args:
    name: of the dataset.

  Raises:
    ValueError: if there is none of that name.
  """
  known = [name for name, load in datasets_lib.DATASETS.items()
           if 'preprocess' in inspect.signature(load).parameters]
  if name not in known:
    raise ValueError(f'dataset {name!r} is unknown; known are {known}.')
  return {'name': name}
