"""Any config, complete: ml_collections reads it as `config_loader.py:SPEC`.

So every knob is a flag, also of a config file that states but a few values.
"""

import ml_collections

from experiments import config_file


def get_config(spec: str) -> ml_collections.ConfigDict:
  """The config of `FILE` or `FILE:ARGUMENT`."""
  return config_file.load(spec)
