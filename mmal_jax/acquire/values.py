"""A strategy's own values: default, type, bound and help, each given once.

They are the keyword-only arguments of its selector: what a value may be is in
the annotation, what it means in the docstring.
"""

from collections.abc import Callable, Iterable
import dataclasses
import inspect
import numbers
import re
import types
import typing
from typing import Annotated, Any, NamedTuple


@dataclasses.dataclass(frozen=True)
class AtLeast:
  """A bound that a number may equal."""

  least: float

  def allows(self, value: Any) -> bool:
    return value >= self.least

  def __str__(self) -> str:
    return f'at least {self.least}'


@dataclasses.dataclass(frozen=True)
class Above:
  """A bound that a number may not equal."""

  bound: float

  def allows(self, value: Any) -> bool:
    return value > self.bound

  def __str__(self) -> str:
    return f'above {self.bound}'


class OneOf:
  """Names to choose from."""

  def __init__(self, names: Iterable[str]):
    self.names = tuple(names)

  def allows(self, value: Any) -> bool:
    return value in self.names

  def __str__(self) -> str:
    return f'one of {", ".join(self.names)}'


Bound = AtLeast | Above | OneOf
Count = Annotated[int, AtLeast(1)]
Positive = Annotated[float, Above(0)]


class Value(NamedTuple):
  """One value of a strategy.

  Attributes:
    default: where it is not set.
    types: that it may be of: `bool`, `int`, `float`, `str`, `NoneType`.
    bound: of a value that is not None; None where there is no bound.
    help: what it means, from the selector's docstring.
  """

  default: Any
  types: tuple[type, ...]
  bound: Bound | None
  help: str


# In words, and what else than the type itself counts as it.
_TYPES = {
    bool: ('True or False', bool), int: ('an integer', numbers.Integral),
    float: ('a number', numbers.Real), str: ('a text', str),
    types.NoneType: ('None', types.NoneType)}


def read(selector: Callable[..., Any]) -> dict[str, Value]:
  """The values that a selector takes.

  Args:
    selector: its keyword-only arguments are annotated by a type, one or None,
      or `Annotated[TYPE, BOUND]`.

  Returns:
    By name.

  Raises:
    TypeError: for one without a default, or of a type that no config has, and
      for an argument with a default that is not keyword-only.
    ValueError: for a default that is out of its own bounds.
  """
  helps = _helps(selector)
  found = {}
  signature = inspect.signature(selector, eval_str=True)
  for name, parameter in signature.parameters.items():
    if parameter.kind is not parameter.KEYWORD_ONLY:
      if parameter.default is not parameter.empty:
        raise TypeError(
            f'{selector.__name__}: {name} has a default, but is no value of '
            f'the strategy, as it is not keyword-only: put it behind a *, as '
            f'in `(view, others, k, key, *, {name}=...)`.')
      continue
    kind, bound = parameter.annotation, None
    if typing.get_origin(kind) is Annotated:
      kind, bound = typing.get_args(kind)
    kinds = typing.get_args(kind) or (kind,)
    if parameter.default is parameter.empty or not {*kinds} <= {*_TYPES}:
      raise TypeError(
          f'{selector.__name__}: {name} is a value of the strategy, and must '
          'have a default and be annotated as bool, int, float or str, or one '
          'of them and None, as in `ridge: float = 1.0`.')
    found[name] = Value(parameter.default, kinds, bound, helps.get(name, ''))
    check(f'{selector.__name__}: the default {name}', parameter.default,
          found[name])
  return found


def check(name: str, given: Any, value: Value) -> None:
  """Refuses what a value cannot be.

  Args:
    name: of the value.
    given: for it.
    value: as it was declared.

  Raises:
    TypeError: for another type.
    ValueError: for what is out of bounds.
  """
  if given is None and types.NoneType in value.types:
    return
  # True is an integer to Python, but hardly what was meant.
  fits = any(
      isinstance(given, _TYPES[t][1]) for t in value.types
      if t is bool or not isinstance(given, bool))
  if not fits:
    wanted = ' or '.join(_TYPES[t][0] for t in value.types)
    raise TypeError(f'{name}={given!r} must be {wanted}.')
  if value.bound is not None and not value.bound.allows(given):
    raise ValueError(f'{name}={given!r} must be {value.bound}.')


def _helps(function) -> dict[str, str]:
  """What a docstring says of each argument, on one line."""
  _, _, rest = (inspect.getdoc(function) or '').partition('\nArgs:\n')
  lines = re.split(r'\n(?=\S)', rest, maxsplit=1)[0]
  entries = re.findall(r'^  (\w+): (.*(?:\n    .*)*)', lines, re.MULTILINE)
  return {name: ' '.join(text.split()) for name, text in entries}
