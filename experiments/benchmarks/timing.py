"""Seconds of functions, side by side."""

from collections.abc import Callable
import time
from typing import Any, NamedTuple

import jax

NOTE = ('Seconds are the best of the number of runs in parentheses, after a '
        'run to warm up.')
_MOST = 5
_BUDGET = 10.0


class Seconds(NamedTuple):
  """How long a function took.

  Attributes:
    best: the shortest run.
    all: every run after the one to warm up.
  """

  best: float
  all: list[float]


def side_by_side(
    functions: dict[str, Callable[[], Any]],
    warm_ups: dict[str, Callable[[], Any]] | None = None,
) -> dict[str, tuple[Seconds, Any]]:
  """Runs several functions in turn, so that all share the machine's moods.

  Args:
    functions: by name.
    warm_ups: what to run first in place of a function, for those that compile
      nothing and take long.

  Returns:
    `(seconds, what it returned)` by name. Of a function that takes long there
    are fewer runs, but at least one.
  """
  for name, function in (functions | (warm_ups or {})).items():
    jax.block_until_ready(function())
  seconds = {name: [] for name in functions}
  results = {}
  for _ in range(_MOST):
    for name, function in functions.items():
      if sum(seconds[name]) < _BUDGET:
        results[name] = None  # Or two results would be in memory at a time.
        start = time.perf_counter()
        results[name] = jax.block_until_ready(function())
        seconds[name].append(time.perf_counter() - start)
  return {name: (Seconds(min(seconds[name]), seconds[name]), results[name])
          for name in functions}


def alone(function: Callable[[], Any]) -> tuple[Seconds, Any]:
  """`(seconds, result)` of a single function."""
  return side_by_side({'': function})['']
