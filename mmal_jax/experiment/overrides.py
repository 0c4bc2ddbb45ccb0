"""A config with some of its values replaced, ready to be run."""

from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from mmal_jax.config import create
from mmal_jax.config import paths
from mmal_jax.experiment import budget as budget_lib
from mmal_jax.experiment import check as check_lib


def override(
    config: ml_collections.ConfigDict,
    values: Mapping[str, Any],
    budget: int | None = None,
) -> ml_collections.ConfigDict:
  """Replaces values of a config.

  Args:
    config: complete or not; it is not changed.
    values: by dotted key; None leaves what the config says. Paths are not
      expanded any more.
    budget: annotations in all, in place of rounds.

  Returns:
    The config, complete, checked, and with absolute paths.

  Raises:
    ValueError: if a value is refused, or two contradict one another.
  """
  given = {key: value for key, value in values.items() if value is not None}
  config = create.config_of(config, **{
      key: paths.escape(value) if key in paths.OTHERS else value
      for key, value in given.items()})
  check_lib.check(config)
  if budget is not None:
    config.rounds = budget_lib.rounds(
        budget, config.batch, given.get('rounds'))
  paths.make_absolute(config)
  return config


def seeds(texts: Sequence[str] | None) -> tuple[int, ...] | None:
  """Seeds as a user wrote them; None where none are given.

  >>> seeds(['0', '7'])
  (0, 7)

  Raises:
    ValueError: if one is no integer from 0 on.
  """
  if texts is None:
    return None
  if not all(text.strip().isdecimal() for text in texts):
    raise ValueError(f'seeds={",".join(texts)!r} must be integers from 0 on, '
                     'with commas between them.')
  return tuple(map(int, texts))
