"""A knob: one value of a config, with its type, bounds and help."""

from collections.abc import Callable, Collection, Iterable
import dataclasses
import inspect
import math
import re
import sys
import types
import typing
from typing import Any

from ml_collections import config_dict

from mmal_jax.files import json_object

PATH = 'path'  # The type of a text that is a path.
REQUIRED = object()  # In place of a default: the config has to set it.
_MOST_INTEGER = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Knob:
  """What a value of a config is, and what it may be.

  Attributes:
    type: bool, int, float, str or `PATH`; None leaves it to who reads it.
    default: of a config that leaves it out; `REQUIRED` of one that must.
    least: of a number.
    most: of a number.
    choices: names that a text is one of; a function, for one that reads a
      registry, is called anew whenever they are needed.
    help: what it means, in a sentence.
    optional: whether None means something.
    read_with: dotted key of the value without which, or with 0, nothing reads
      this one; None: it is read by itself.
  """

  type: type | str | None
  default: Any = REQUIRED
  least: float | None = None
  most: float | None = None
  choices: Collection[str] | Callable[[], Iterable[str]] | None = None
  help: str = ''
  optional: bool = False
  read_with: str | None = None

  def names(self) -> tuple[str, ...]:
    """The choices; () where there are none."""
    found = self.choices() if callable(self.choices) else self.choices
    return tuple(found or ())

  def empty(self) -> Any:
    """The default as a config holds it: None knows which type may follow."""
    if self.default is None and self.type is not None:
      return config_dict.placeholder(str if self.type == PATH else self.type)
    return self.default

  def allowed(self) -> str:
    """What it may be, in words; '' where who reads it decides."""
    if self.choices is not None:
      return f'one of {", ".join(self.names())}'
    if self.type is bool:
      return 'True or False'
    if self.type in (str, PATH):
      return 'a path' if self.type == PATH else 'a text'
    if self.type is None:
      return ''
    kind = 'an integer' if self.type is int else 'a number'
    bounds = [f'at {word} {bound}' for word, bound in (
        ('least', self.least), ('most', self.most)) if bound is not None]
    return f'{kind} of {" and ".join(bounds)}' if bounds else kind

  def check_type(self, key: str, value: Any) -> None:
    """Refuses a value, other than None, of another type or out of bounds.

    Raises:
      ValueError: naming the key, the value and what is allowed.
    """
    if self.type in (str, PATH) and not isinstance(value, str):
      raise ValueError(f'{key}={shown(value)} must be a text.')
    if self.type is bool and not isinstance(value, bool):
      raise ValueError(f'{key}={shown(value)} must be True or False.')
    if self.type in (int, float):
      self._check_number(key, value)

  def check_choice(self, key: str, value: Any) -> None:
    """Refuses a text that is none of the choices.

    Raises:
      ValueError: listing them.
    """
    if self.choices is not None and value not in self.names():
      raise ValueError(f'{key}={value!r} is unknown; known are '
                       f'{", ".join(sorted(self.names()))}.')

  def _check_number(self, key, value):
    kind = int if self.type is int else (int, float)
    least = -math.inf if self.least is None else self.least
    if isinstance(value, bool) or not isinstance(value, kind) or not (
        least <= value < math.inf) or value == -math.inf:
      at_least = '' if self.least is None else f' of at least {self.least}'
      raise ValueError(
          f'{key}={shown(value)} must be a finite number{at_least}.')
    most = self.most
    if most is None:  # An integer may be beyond all floats.
      most = _MOST_INTEGER if kind is int else sys.float_info.max
    if value > most:
      raise ValueError(f'{key}={shown(value)} must be at most {most}.')


def shown(value: Any) -> str:
  """A value of a config as messages show it."""
  if isinstance(value, config_dict.ConfigDict):
    value = value.to_dict()
  return json_object.quote(value)


def of_function(
    function: Callable[..., Any], given: Collection[str] = (),
    keyword_only: bool = False,
) -> dict[str, Knob]:
  """The knobs that the arguments of a function are.

  Defaults and types are those of its signature, help is its docstring's.

  Args:
    function: with annotations. What takes a function is no knob.
    given: names of arguments that no config sets.
    keyword_only: leave out all that may be given by position.
  """
  text = inspect.getdoc(function) or ''
  found = {}
  for name, parameter in inspect.signature(function).parameters.items():
    if name in given or parameter.kind in (
        parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or (
            keyword_only and parameter.kind is not parameter.KEYWORD_ONLY):
      continue
    type_, optional = _type(parameter.annotation)
    if type_ is not Callable:
      default = (REQUIRED if parameter.default is parameter.empty
                 else parameter.default)
      found[name] = Knob(
          type_, default, help=argument_help(text, name),
          optional=optional or default is None)
  return found


def argument_help(text: str, name: str) -> str:
  """What a docstring says of an argument, in one line; '' if nothing.

  >>> argument_help('Adds.\\n\\nArgs:\\n  n: how many (`count`).', 'n')
  'How many.'
  """
  found = re.search(
      rf'^  {re.escape(name)}: (.*(?:\n    .*)*)', text.partition('Args:')[2],
      re.M)
  if found is None:
    return ''
  # Names of functions are of use to readers of the code alone.
  text = re.sub(r' \(`[\w.]+`\)', '', ' '.join(found[1].split()))
  return text[:1].upper() + text[1:]


def _type(annotation: Any) -> tuple[Any, bool]:
  """The type of a knob, and whether None may stand for it."""
  options = (typing.get_args(annotation) if isinstance(
      annotation, types.UnionType) or typing.get_origin(annotation) is (
          typing.Union) else (annotation,))
  others = [option for option in options if option is not type(None)]
  optional = len(others) < len(options)
  if any('Callable' in str(option) for option in others):
    return Callable, optional
  if any('PathLike' in str(option) for option in others):
    return (PATH if others[0] is str else None), optional
  known = others[0] if len(others) == 1 else None
  return (known if known in (bool, int, float, str) else None), optional
