"""A config: completed by defaults, and checked knob by knob."""

from collections.abc import Iterable, Iterator, Mapping
import copy
from typing import Any

import ml_collections

from mmal_jax.config import knobs
from mmal_jax.config import sections
from mmal_jax.files import plain_text
from mmal_jax.models import registry as models_lib

_OF_OWN_MODELS = ('text.vocab_size', 'text.max_tokens')
_OF_CHECKPOINTS = ('text.folder',)
_MISSING = object()


def knobs_of(config: Mapping[str, Any]) -> dict[str, knobs.Knob]:
  """By dotted key, the knobs that a config can have.

  Args:
    config: complete or not; which dataset and which model it names decides.
  """
  found = {}
  for section in sections.names():
    found |= {f'{section}.{name}': knob for name, knob in sections.of(
        section, _kind(config, section)).items()}
  costs = config.get('costs')
  if _is_section(costs):
    found |= {f'costs.{name}': sections.COST for name in costs
              if f'costs.{name}' not in found}
  return found | sections.VALUES


def complete(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """The config with the defaults of all that it leaves out.

  A None is a value; where it means nothing, and where a section is no section,
  it is left for `check` to refuse.

  Args:
    config: as the user wrote it, or as an earlier version saved it.

  Returns:
    A copy; the config itself if it leaves nothing out.
  """
  missing = dict(_left_out(config))
  if not missing:
    return config
  result = copy.deepcopy(config)
  with result.unlocked():
    _fill(result, missing, ml_collections.ConfigDict, knobs.Knob.empty)
  return result


def completed(fields: Mapping[str, Any]) -> dict[str, Any]:
  """As `complete`, of what a file of JSON holds."""
  result = copy.deepcopy(renewed(fields))
  _fill(result, dict(_left_out(result)), dict, lambda knob: (
      list(knob.default) if isinstance(knob.default, tuple) else knob.default))
  return result


def renewed(fields: Mapping[str, Any]) -> dict[str, Any]:
  """A config that an earlier version saved, with values as they are now."""
  result = dict(fields)
  if result.get('matches', _MISSING) is None:  # Nothing is matched.
    result['matches'] = {'k': 0}
  return result


def _fill(config, missing, section, value_of) -> None:
  for key, knob in missing.items():
    *parts, name = key.split('.')
    part = config
    for step in parts:
      if step not in part:
        part[step] = section()
      part = part[step]
    part[name] = value_of(knob)


def _left_out(config) -> Iterator[tuple[str, knobs.Knob]]:
  """What a config lacks and has a default."""
  for key, knob in knobs_of(config).items():
    if knob.default is not knobs.REQUIRED and _applies(config, key) and (
        _fits(config, key) and _value(config, key) is _MISSING):
      yield key, knob


def _fits(config, key) -> bool:
  """Whether all sections that a key lies in are sections, or not there yet."""
  part = config
  for name in key.split('.')[:-1]:
    if name not in part:
      return True
    part = part.get(name)
    if not _is_section(part):
      return False
  return True


def _applies(config, key: str) -> bool:
  """Whether a config of this model has a use for a knob."""
  is_own = _kind(config, 'model') in models_lib.MODELS
  if key.startswith('warm_start.') or key in _OF_OWN_MODELS:
    return is_own
  return not is_own or key not in _OF_CHECKPOINTS


def _kind(config, section: str) -> str | None:
  """Which dataset, or model, a section is of."""
  name = _value(config, f'{section}.name')
  return name if isinstance(name, str) else None


def _is_section(part) -> bool:
  return isinstance(part, (ml_collections.ConfigDict, dict))


def _value(config, key: str) -> Any:
  """The value at a dotted key; `_MISSING` if there is none."""
  part = config
  for name in key.split('.'):
    if not _is_section(part) or name not in part:
      return _MISSING
    part = part.get(name)
  return part


def check(config: ml_collections.ConfigDict) -> None:
  """Refuses what is no config, whatever its values come to together.

  Args:
    config: complete.

  Raises:
    ValueError: naming the key, its value and what is allowed.
  """
  names = sections.names()
  _refuse_unknown('', config, (*names, *sections.VALUES))
  for section in names:
    value = config.get(section, _MISSING)
    if value is not _MISSING and not isinstance(
        value, ml_collections.ConfigDict):
      raise ValueError(
          f'{section}={knobs.shown(value)} must be a section of values.')
  known = knobs_of(config)
  for section in names:
    if sections.is_closed(section, _kind(config, section)):
      _check_names(section, config.get(section) or (), [
          key.partition('.')[2] for key in known
          if key.startswith(f'{section}.')])
  present = {}
  for key, knob in known.items():
    value = _value(config, key)
    of_loader = key.startswith('dataset.') and key != 'dataset.name'
    if not of_loader and (
        value is _MISSING and _applies(config, key)
        or value is None and not knob.optional):
      raise ValueError(f'the config lacks {key}.')
    if value is not _MISSING and value is not None:
      present[key] = value
  for key, value in present.items():
    # A loader may take several paths, or a pattern.
    if known[key].type != knobs.PATH or not key.startswith('dataset.'):
      known[key].check_type(key, value)
  for key, value in present.items():
    known[key].check_choice('oracle' if key == 'oracle.name' else key, value)


def _check_names(section: str, given, known: list[str]) -> None:
  """Refuses names that a section, or a part of it, does not know."""
  own = dict.fromkeys(name.partition('.')[0] for name in known)
  _refuse_unknown(f'{section}.', given, own)
  for name in own:
    within = [key.partition('.')[2] for key in known
              if key.startswith(f'{name}.')]
    if within and name in given:
      part = given.get(name)
      if not _is_section(part):
        raise ValueError(f'{section}.{name}={knobs.shown(part)} must be a '
                         'section of values.')
      _refuse_unknown(f'{section}.{name}.', part, within)


def _refuse_unknown(
    prefix: str, given: Iterable[str], known: Iterable[str]
) -> None:
  unknown = [key for key in given if key not in known]
  if unknown:
    raise ValueError(
        f'{prefix}{plain_text.for_terminal(str(unknown[0])[:100])} is unknown; '
        f'known are {", ".join(known)}.')
