"""Configs, value by value."""

from collections.abc import Container, Iterator, Mapping
from typing import Any

from mmal_jax.files import plain_text

_LONGEST = 500  # letters of a value in a message


def flat(config: Mapping[str, Any], prefix: str = '') -> (
    Iterator[tuple[str, Any]]):
  """The values of a config by dotted key.

  >>> dict(flat({'rounds': 2, 'train': {'shift': 0}}))
  {'rounds': 2, 'train.shift': 0}
  """
  for key, value in config.items():
    if isinstance(value, Mapping):
      yield from flat(value, f'{prefix}{key}.')
    else:
      yield prefix + key, value


def value(config: Mapping[str, Any], key: str) -> Any:
  """The value at a dotted key; None if there is none."""
  return dict(flat(config)).get(key)


def _short(text: str) -> str:
  return text if len(text) <= _LONGEST else f'{text[:_LONGEST]} ...'


def lines(
    there: Mapping[str, Any], now: Mapping[str, Any], but: Container[str] = ()
) -> list[str]:
  """A line for each value in which two configs differ.

  >>> lines({'rounds': 2, 'batch': 4}, {'rounds': 3, 'batch': 4})
  ['  rounds: 2 there, 3 now']
  >>> lines({'of_a_later_version': 2}, {})
  ['  of_a_later_version: 2 there, no such value now']

  Args:
    there: one config.
    now: the other.
    but: dotted keys that may differ, of values or of sections.
  """
  before, after = (dict(flat(value)) for value in (there, now))
  return [f'  {plain_text.for_terminal(_short(key))}: '
          f'{_short(repr(before.get(key)))} there, '
          f'{_short(repr(after[key])) if key in after else "no such value"} now'
          for key in keys(there, now) if not within(key, but)]


def keys(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
  """Dotted keys of the values in which two configs differ, in order."""
  before, after = (dict(flat(value)) for value in (there, now))
  return [key for key in sorted(before.keys() | after.keys())
          if before.get(key) != after.get(key)]


def within(key: str, keys_: Container[str]) -> bool:
  """Whether a dotted key, or a section that it is in, is one of some."""
  parts = key.split('.')
  return any('.'.join(parts[:i + 1]) in keys_ for i in range(len(parts)))


def as_text(value: Any) -> str:
  """A value of a config as labels show it: 1.0 is 1."""
  return f'{value:.7g}' if isinstance(value, float) else str(value)
