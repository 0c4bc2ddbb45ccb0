"""A config from Python, as `mmal_jax.config_of`."""

from collections.abc import Mapping
import copy
from typing import Any

import ml_collections

from mmal_jax.config import config as config_lib


def config_of(
    base: Mapping[str, Any] | ml_collections.ConfigDict | None = None,
    /,
    **changes: Any,
) -> ml_collections.ConfigDict:
  """A complete, checked config: the defaults, or another one, and changes.

  >>> config = config_of(
  ...     dataset={'name': 'features'}, model={'name': 'mlp'},
  ...     strategies=('random', 'mmal'), rounds=6)
  >>> config.seeds, config.train.peak_lr
  ((0,), 0.001)
  >>> other = config_of(config, **{'train.peak_lr': 0.01}, seeds=(0, 1))
  >>> other.seeds, other.train.peak_lr, config.seeds
  ((0, 1), 0.01, (0,))

  Args:
    base: a config, as `get_config()` of a file in `experiments/configs` gives
      it, which stays as it is; None for defaults alone.
    **changes: by name or dotted key, values; or sections, of which only what
      they name is changed.

  Returns:
    The config, for `mmal_jax.run`. Paths to data may be given later.

  Raises:
    ValueError: naming the key that is unknown or lacks, or whose value is
      refused, and what is allowed.
  """
  config = ml_collections.ConfigDict() if base is None else (
      ml_collections.ConfigDict(copy.deepcopy(base)))
  with config.unlocked(), config.ignore_type():
    for key, value in changes.items():
      _put(config, key, value)
  config = config_lib.complete(config)
  config_lib.check(config)
  return config


def _put(config: ml_collections.ConfigDict, key: str, value: Any) -> None:
  """Sets what is at a dotted key; of a section, each value that is given."""
  *sections, name = key.split('.')
  part = config
  for section in sections:
    if not isinstance(part.get(section), ml_collections.ConfigDict):
      part[section] = ml_collections.ConfigDict()
    part = part.get(section)
  if isinstance(value, Mapping | ml_collections.ConfigDict):
    if not isinstance(part.get(name), ml_collections.ConfigDict):
      part[name] = ml_collections.ConfigDict()
    for inner in value:
      _put(part.get(name), inner, value[inner])
  else:
    part[name] = value
