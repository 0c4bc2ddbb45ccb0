"""Answers that people gave: what they name, and what is agreed upon."""

import collections
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
import re
from typing import Any, NamedTuple

from mmal_jax.files import json_object
from mmal_jax.oracles import oracle as oracle_lib

CONFLICTS = ('ask', 'majority')
SKIPPED = 'skipped'  # The reason given by skipping a query.
_quote = json_object.quote_json


class Given(NamedTuple):
  """An answer as a file gives it; nothing of it is checked.

  Attributes:
    place: file and line, or file, task and annotation.
    query: its id.
    answer: a counterpart's number, or these by modality, or None for none.
    person: who, as `identity.parse` takes it.
    reason: why, for the record.
    skipped: whether the person skipped the query.
    annotation: number of it in the tool that it comes from.
    unique: what no other annotation of any tool has.
    made: when it was first given, in seconds, if that is known.
    changed: when it was last changed, likewise.
    confirmed: whether the person says that it is no slip.
    withdrawn: whether it only takes back what the person answered before.
  """

  place: str
  query: Any
  answer: Any
  person: Any
  reason: Any = None
  skipped: bool = False
  annotation: str | None = None
  unique: str | None = None
  made: float | None = None
  changed: float | None = None
  confirmed: bool = False
  withdrawn: bool = False

  @property
  def marks(self) -> list[str]:
    """What two forms of this answer have in common, and no other answer."""
    found = [] if self.unique is None else [f'unique {self.unique}']
    if self.annotation is not None and self.made is not None:
      found.append(f'{self.query} {self.annotation} {self.made}')
    return found


class Vote(NamedTuple):
  """One person's answer to one query.

  Attributes:
    query: its id.
    row: item numbers, one a modality, or `oracle.NONE`; the query's own at its
      place.
    annotator: the one name of the person.
    reason: why, for the record; may be None.
    place: file and line.
    aliases: other names of the person.
    bare: modalities whose counterpart is given by a number alone.
    confirmed: whether the person says that it is no slip.
  """

  query: str
  row: tuple[int, ...]
  annotator: str
  reason: str | None
  place: str
  aliases: tuple[str, ...] = ()
  bare: tuple[str, ...] = ()
  confirmed: bool = False


class Decision(NamedTuple):
  """What came of the votes on some queries.

  Attributes:
    accepted: by query, its row.
    conflicts: queries that remain open because people disagree.
    same_person: queries that remain open because two names, which are given,
      may be one person's, whose answer would count twice.
    doubtful: queries that remain open because the answer is likely a slip; and
      why it is.
  """

  accepted: dict[str, tuple[int, ...]]
  conflicts: list[str]
  same_person: dict[str, tuple[str, str]]
  doubtful: dict[str, str]


def query_id(modality: str, number: int) -> str:
  """The name by which people know the query about an item."""
  return f'{modality}-{number}'


def modality_of(query: object, sizes: Mapping[str, int]) -> str | None:
  """The modality of an id, if there is such an item."""
  if not isinstance(query, str):
    return None
  own, _, number = query.rpartition('-')
  exists = own in sizes and re.fullmatch('0|[1-9][0-9]{0,9}', number) and (
      int(number) < sizes[own])
  return own if exists else None


def named(vote: Vote, sizes: Iterable[str]) -> dict[str, int | None]:
  """A vote's counterparts by modality, as in an answers' file."""
  own = vote.query.rpartition('-')[0]
  return {m: None if number == oracle_lib.NONE else number
          for m, number in zip(sizes, vote.row) if m != own}


def in_words(vote: Vote, sizes: Iterable[str]) -> str:
  """A vote in words, for messages.

  >>> vote = Vote('image-5', (5, 7, -1), 'ann', None, 'a.jsonl, line 1')
  >>> in_words(vote, ('image', 'text', 'sound'))
  'text 7, no sound'
  """
  return ', '.join(f'no {m}' if number is None else f'{m} {number}'
                   for m, number in named(vote, sizes).items())


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
  own = modality_of(query, sizes)
  if own is None:
    return [f'\'query\' is {_quote(query)}, no id of any item']
  others = [m for m in sizes if m != own]
  if not isinstance(answer, dict) or set(answer) != set(others):
    about = ', '.join(map(_quote, answer)) if isinstance(answer, dict) else (
        _quote(answer))
    return [f'the answer is about {about or "nothing"}; {query} needs one '
            f'about {" and ".join(others)}']
  wrong = []
  for other, number in answer.items():
    if number is None:
      continue
    if isinstance(number, bool) or not isinstance(number, int):
      wrong.append(f'{other} is {_quote(number)}, not an integer')
    elif not 0 <= number < sizes[other]:
      wrong.append(f'{other} {_quote(number)} does not exist; there are '
                   f'{sizes[other]}')
  return wrong


def decide(
    votes: Mapping[str, Sequence[Vote]],
    conflicts: str,
    people: int,
    may_be_one: Callable[[str, str], bool] = lambda one, other: False,
) -> Decision:
  """Which queries are answered.

  Args:
    votes: by query, each person's answer.
    conflicts: `ask`, that all agree is needed; `majority`, that more than half
      do.
    people: how many have to have answered.
    may_be_one: whether two names may be one person's. What would not be
      decided if they were is not decided.

  Returns:
    The decision. Queries in no part await more people.
  """
  accepted, disputed, same_person = {}, [], {}
  for query, all_votes in votes.items():
    (row, count), *others = collections.Counter(
        vote.row for vote in all_votes).most_common()
    if conflicts == 'ask' and others:
      disputed.append(query)
    elif len(all_votes) < people:
      continue
    elif 2 * count <= len(all_votes):
      disputed.append(query)
    else:
      doubtful = _doubtful([vote.annotator for vote in all_votes], may_be_one)
      # Each person less takes two names. At worst all are of the majority.
      less = min(len(doubtful), len(set(sum(doubtful, ()))) // 2)
      fewest = len(all_votes) - less
      if fewest < people or others and 2 * (count - less) <= fewest:
        same_person[query] = doubtful[0]
      else:
        accepted[query] = row
  return Decision(accepted, disputed, same_person, {})


def same_counterparts(
    rows: Mapping[str, tuple[int, ...]], of: Container[str],
    modalities: Sequence[str],
) -> dict[tuple[str, int], list[str]]:
  """Items that several queries name as their counterpart.

  >>> rows = {'image-1': (1, 7), 'image-2': (2, 7), 'text-7': (1, 7)}
  >>> same_counterparts(rows, {'image-2'}, ('image', 'text'))
  {('text', 7): ['image-1', 'image-2']}

  Args:
    rows: by query, the item numbers.
    of: queries of which at least one must be among them.
    modalities: of the columns.

  Returns:
    By modality and number, the queries.
  """
  found = collections.defaultdict(list)
  for query, row in rows.items():
    own = query.rpartition('-')[0]
    for modality, number in zip(modalities, row):
      if modality != own and number != oracle_lib.NONE:
        found[modality, number].append(query)
  return {item: queries for item, queries in found.items()
          if _modalities_twice(queries) and any(q in of for q in queries)}


def _modalities_twice(queries: Sequence[str]) -> bool:
  """Whether two of them are of one modality: of two items of it, that is."""
  own = [query.rpartition('-')[0] for query in queries]
  return len(set(own)) < len(own)


def _doubtful(
    names: Sequence[str], may_be_one: Callable[[str, str], bool]
) -> list[tuple[str, str]]:
  """Pairs of names that may be one person's."""
  return [(one, other) for i, one in enumerate(names)
          for other in names[i + 1:] if may_be_one(one, other)]
