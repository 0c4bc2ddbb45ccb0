"""Dotted keys of a config, and what is near one that it does not have."""

from collections.abc import Sequence
import difflib
from typing import Any

import ml_collections

from mmal_jax.config import differences
from mmal_jax.files import plain_text


def check(config: ml_collections.ConfigDict, key: str) -> None:
  """Refuses a dotted key of which a config has no value.

  Raises:
    ValueError: naming those that it has, and the nearest.
  """
  part: Any = config
  names = key.split('.')
  for i, name in enumerate(names):
    if not isinstance(part, ml_collections.ConfigDict):
      shown = plain_text.for_terminal(key)
      raise ValueError(f'{shown} is no value of this config: '
                       f'{".".join(names[:i])} is no section.')
    if name not in part:
      raise ValueError(_unknown(config, part, key, names[:i]))
    part = part.get(name)


def _has(part: Any, names: Sequence[str]) -> bool:
  """Whether a section has a value at a path of names."""
  for name in names:
    if not isinstance(part, ml_collections.ConfigDict) or name not in part:
      return False
    part = part.get(name)
  return True


def _unknown(config, part, key, sections) -> str:
  name = key.split('.')[len(sections)]
  near = difflib.get_close_matches(name, list(part), 1)
  # `steps` of `steps_per_round`, or a value of another section.
  near += [known for known in part if name in known or known in name]
  prefix = ''.join(f'{section}.' for section in sections)
  rest = key.split('.')[len(sections) + 1:]
  near = [prefix + '.'.join([known, *rest]) if _has(part[known], rest)
          else prefix + known for known in near]
  if not near:
    every = dict(differences.flat(config.to_dict()))
    near = [known for known in every if known.split('.')[-1] == name]
  where = '.'.join(sections) or 'the config'
  hint = f' Did you mean {near[0]}?' if near else ''
  return plain_text.for_terminal(
      f'{key} is no value of this config; {where} has '
      f'{", ".join(sorted(part))}.{hint}')
