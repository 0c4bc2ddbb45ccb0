"""Answers that people put into a folder: read, checked, agreed upon."""

import collections
from collections.abc import Container, Iterable, Mapping, Sequence
import pathlib
import re
from typing import Any, NamedTuple

from mmal_jax import durable
from mmal_jax.align import oracle as oracle_lib
from mmal_jax.align.people import label_studio
from mmal_jax.data import json_lines
from mmal_jax.data import json_object
from mmal_jax.data import problems as problems_lib

CONFLICTS = ('ask', 'majority')
_FIELDS = ('query', 'answer', 'annotator', 'reason')
_LONGEST_NAME = 200
_told = json_object.told


class Vote(NamedTuple):
  """What one person says to one query.

  Attributes:
    query: its id.
    row: item numbers, one a modality, or `oracle.NONE`; the query's own at its
      place.
    annotator: who.
    reason: why, for the record; may be None.
    place: file and line.
  """

  query: str
  row: tuple[int, ...]
  annotator: str
  reason: str | None
  place: str


class Decision(NamedTuple):
  """What came of the votes on some queries.

  Attributes:
    accepted: by query, its row.
    conflicts: queries that stay open because people disagree.
  """

  accepted: dict[str, tuple[int, ...]]
  conflicts: list[str]


def query_id(modality: str, number: int) -> str:
  """The name by which people know the query about an item."""
  return f'{modality}-{number}'


def read(
    folder: pathlib.Path,
    sizes: Mapping[str, int],
    asked: Container[str],
    pools: str,
    skip_is_refusal: bool,
) -> list[Vote]:
  """Reads all files of a folder, or none.

  Args:
    folder: of `.jsonl` files and of `.json` exports of Label Studio. Names that
      begin with a dot are passed over. Links must not lead out of it.
    sizes: by modality, the number of items, in the order of the columns.
    asked: ids of all queries so far.
    pools: as for `label_studio.task`.
    skip_is_refusal: as for `label_studio.read`.

  Returns:
    The votes, one a query and person; who says the same twice is counted once.

  Raises:
    ValueError: listing every problem of every file.
  """
  problems: list[str] = []
  votes: dict[tuple[str, str], Vote] = {}
  home = folder.resolve()
  for file in sorted(folder.iterdir()):
    if file.name.startswith('.'):
      continue
    if file.suffix not in ('.jsonl', '.json'):
      problems.append(f'{file.name}: neither .jsonl nor .json.')
      continue
    try:
      if not file.resolve().is_relative_to(home):
        problems.append(f'{file.name}: a link out of the folder.')
        continue
      content = durable.read(file)
    except (OSError, RuntimeError, ValueError) as e:
      problems.append(f'{file.name}: cannot be read: {e}.')
      continue
    if file.suffix == '.jsonl':
      found = json_lines.read(content, file.name, problems)
    else:
      found = label_studio.read(
          content, file.name, pools, skip_is_refusal, problems)
    for place, fields in found:
      wrong, vote = _check(place, fields, sizes, asked)
      problems += [f'{place}: {what}.' for what in wrong]
      if wrong:
        continue
      first = votes.setdefault((vote.query, vote.annotator), vote)
      if first.row != vote.row:
        problems.append(
            f'{place}: {vote.annotator} answers {vote.query} by '
            f'{named(vote, sizes)}, but in {first.place} by '
            f'{named(first, sizes)}.')
  problems_lib.report(str(folder), problems)
  return list(votes.values())


def named(vote: Vote, sizes: Iterable[str]) -> dict[str, int | None]:
  """A vote's counterparts by modality, as in an answers' file."""
  own = vote.query.rpartition('-')[0]
  return {m: None if number == oracle_lib.NONE else number
          for m, number in zip(sizes, vote.row) if m != own}


def row_of(
    query: str, answer: Mapping[str, int | None], sizes: Iterable[str]
) -> tuple[int, ...]:
  """The row of a query and its counterparts by modality."""
  own, _, number = query.rpartition('-')
  found = {m: oracle_lib.NONE if n is None else n for m, n in answer.items()}
  found[own] = int(number)
  return tuple(found[m] for m in sizes)


def wrong_with(
    query: object, answer: object, sizes: Mapping[str, int]
) -> list[str]:
  """What keeps `row_of` from making a row of them; nothing, if nothing does."""
  own = _modality(query, sizes)
  if own is None:
    return [f'\'query\' is {_told(query)}, no id of any item']
  others = [m for m in sizes if m != own]
  if not isinstance(answer, dict) or set(answer) != set(others):
    about = _told(list(answer) if isinstance(answer, dict) else answer)
    return [f'\'answer\' is about {about}; {query} needs {others}']
  wrong = []
  for other, number in answer.items():
    if number is None:
      continue
    if isinstance(number, bool) or not isinstance(number, int):
      wrong.append(f'{other} is {_told(number)}, not an integer')
    elif not 0 <= number < sizes[other]:
      wrong.append(f'{other} {_told(number)} does not exist; there are '
                   f'{sizes[other]}')
  return wrong


def decide(
    votes: Mapping[str, Sequence[Vote]], conflicts: str, people: int
) -> Decision:
  """Which queries are answered.

  Args:
    votes: by query, what each person says.
    conflicts: `ask`, that all agree is needed; `majority`, that more than half
      do.
    people: how many have to have answered.

  Returns:
    The decision. Queries in neither part await more people.
  """
  accepted, disputed = {}, []
  for query, all_votes in votes.items():
    (row, count), *others = collections.Counter(
        vote.row for vote in all_votes).most_common()
    if conflicts == 'ask' and others:
      disputed.append(query)
    elif len(all_votes) < people:
      continue
    elif 2 * count > len(all_votes):
      accepted[query] = row
    else:
      disputed.append(query)
  return Decision(accepted, disputed)


def _check(
    place: str, fields: dict[str, Any], sizes: Mapping[str, int],
    asked: Container[str],
) -> tuple[list[str], Vote | None]:
  """What is wrong with a record; the vote, if nothing is."""
  unknown = [k for k in fields if k not in _FIELDS]
  wrong = [f'unknown field {_told(k)}; known are {_FIELDS}'
           for k in unknown[:1]]
  query, who = fields.get('query'), fields.get('annotator')
  reason = fields.get('reason')
  if not _is_text(who) or len(who) > _LONGEST_NAME:
    wrong.append(f'\'annotator\' is {_told(who)}, not a name')
  if reason is not None and not _is_text(reason):
    wrong.append(f'\'reason\' is {_told(reason)}, not a text')
  own = _modality(query, sizes)
  if own is None:
    wrong.append(f'\'query\' is {_told(query)}, no id of any item')
  elif query not in asked:
    wrong.append(f'{query} was never asked')
  if 'answer' not in fields:
    wrong.append('\'answer\' is missing')
  if wrong:
    return wrong, None
  others = [m for m in sizes if m != own]
  answer = fields['answer']
  if answer is None:
    answer = dict.fromkeys(others)
  elif not isinstance(answer, dict):
    if len(others) > 1:
      return [f'\'answer\' is {_told(answer)}, but must say which of {others}'
              ], None
    answer = {others[0]: answer}
  wrong = wrong_with(query, answer, sizes)
  if wrong:
    return wrong, None
  # Blanks around a name make nobody another person, who would count again.
  return [], Vote(
      query, row_of(query, answer, sizes), who.strip(), reason, place)


def _is_text(value: object) -> bool:
  """Whether it says something, and can be written down again."""
  return isinstance(value, str) and bool(value.strip()) and not any(
      '\ud800' <= letter <= '\udfff' for letter in value)


def _modality(query: object, sizes: Mapping[str, int]) -> str | None:
  """The modality of an id, if there is such an item."""
  if not isinstance(query, str):
    return None
  own, _, number = query.rpartition('-')
  exists = own in sizes and re.fullmatch('0|[1-9][0-9]{0,9}', number) and (
      int(number) < sizes[own])
  return own if exists else None
