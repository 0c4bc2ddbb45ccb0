"""The log of a run's calls: started anew, it hears again what it heard before.

Answers come whenever people give them. A run that is computed anew must not be
told in its first rounds what came in its later ones: it would train on other
pairs, ask for other items, and never use what has been answered already.
"""

from collections.abc import Sequence
import pathlib
from typing import NamedTuple
import urllib.parse

from mmal_jax import durable
from mmal_jax.data import json_lines
from mmal_jax.data import json_object
from mmal_jax.data import problems as problems_lib

# What each field of a line holds.
_FIELDS = {
    'call': lambda value: type(value) is int,
    'modality': lambda value: isinstance(value, str),
    'numbers': lambda value: isinstance(value, list) and all(
        type(number) is int for number in value),
    'new': lambda value: isinstance(value, bool),
    'answered': lambda value: isinstance(value, list) and all(
        isinstance(query, str) and len(query) < 200 for query in value)}


class Call(NamedTuple):
  """What an oracle is asked.

  Attributes:
    modality: of the items.
    numbers: of the items, in order.
    new: whether the questions may go out; else they were open before.
  """

  modality: str
  numbers: tuple[int, ...]
  new: bool


def path_of(folder: pathlib.Path, run: str) -> pathlib.Path:
  """The log of a run of that name, which may hold any characters."""
  return folder / f'calls_{urllib.parse.quote(run, safe="")}.jsonl'


def replay(path: pathlib.Path, number: int, call: Call) -> list[str] | None:
  """What the same call returned before.

  If another call was made then, this is another run from here on: what is
  logged from there is dropped.

  Args:
    path: of the log; it need not exist.
    number: of calls that have returned since the run was started.
    call: the one after these.

  Returns:
    Ids of the queries whose answers were returned; None if it is a fresh call.

  Raises:
    ValueError: if a line is damaged.
  """
  logged = _read(path)
  if number >= len(logged):
    return None
  before, answered = logged[number]
  if before == call:
    return answered
  durable.write(path, json_lines.dump(
      _line(i, *one) for i, one in enumerate(logged[:number])))
  return None


def enter(
    path: pathlib.Path, number: int, call: Call, answered: Sequence[str]
) -> None:
  """Adds a call that is about to return; it is on the disk then.

  Args:
    path: of the log.
    number: of calls before it, all of which are logged.
    call: not logged yet.
    answered: ids of the queries whose answers it returns.
  """
  durable.append(path, json_lines.dump([_line(number, call, answered)]))


def _line(number, call, answered) -> dict[str, object]:
  return {'call': number, **call._asdict(), 'answered': answered}


def _read(path: pathlib.Path) -> list[tuple[Call, list[str]]]:
  """All calls with what they returned; none from a line that was cut off."""
  problems: list[str] = []
  logged = []
  for place, line in json_lines.read(
      durable.whole_lines(path), path.name, problems):
    wrong = [name for name, fits in _FIELDS.items()
             if name not in line or not fits(line[name])]
    if wrong:
      problems.append(f'{place}: damaged: {wrong[0]} is '
                      f'{json_object.told(line.get(wrong[0]))}.')
    elif line['call'] != len(logged):
      problems.append(f'{place}: call {json_object.told(line["call"])} stands '
                      f'where {len(logged)} should.')
    else:
      logged.append((
          Call(line['modality'], tuple(line['numbers']), line['new']),
          line['answered']))
  problems_lib.report(path, problems)
  return logged
