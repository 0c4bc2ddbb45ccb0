"""What every value of a config means, for `--show_config` and `--help`."""

import textwrap

import ml_collections

from mmal_jax.config import config as config_lib
from mmal_jax.config import differences
from mmal_jax.config import knobs
from mmal_jax.config import paths
from mmal_jax.files import plain_text


def allowed(config: ml_collections.ConfigDict, key: str) -> str:
  """What the value at a dotted key may be: `a number of at least 0`."""
  return _allowed(config, config_lib.knobs_of(config), key)


def refusal(config: ml_collections.ConfigDict, key: str, text: str) -> str:
  """What to say of a text that is no value for a key.

  Args:
    config: complete.
    key: dotted, of a value or of a section.
    text: as it was given.
  """
  part = config
  for name in key.split('.'):
    part = part.get(name)
  if isinstance(part, ml_collections.ConfigDict):
    return (f'{key}={text!r}: {key} is a section, with the values '
            f'{", ".join(f"{key}.{name}" for name in part)}.')
  may_be = allowed(config, key) or f'of the type {type(part).__name__}'
  return f'{key}={text!r} must be {may_be}; the config says {part!r}.'


def _knob(known: dict[str, knobs.Knob], key: str) -> knobs.Knob | None:
  """The knob at a dotted key, or the one that it is a part of."""
  while key not in known and '.' in key:  # dataset.others.sound
    key = key.rpartition('.')[0]
  return known.get(key)


def _allowed(config, known, key) -> str:
  dataset = config.get('dataset') or {}
  if differences.within(key, paths.keys(dataset.get('name'))):
    return 'a path'
  knob = _knob(known, key)
  return '' if knob is None else knob.allowed()


def table(config: ml_collections.ConfigDict) -> str:
  """All values of a config, what they mean and what else they may be."""
  lines, known = [], config_lib.knobs_of(config)
  for key, value in differences.flat(config.to_dict()):
    knob, may_be = _knob(known, key), _allowed(config, known, key)
    text = ' '.join(filter(None, (
        knob and knob.help, may_be and f'({may_be})')))
    lines += [f'  --config.{plain_text.for_terminal(key)}={value!r}',
              *textwrap.wrap(text, 72, initial_indent=' ' * 6,
                             subsequent_indent=' ' * 6)]
  return '\n'.join(lines)
