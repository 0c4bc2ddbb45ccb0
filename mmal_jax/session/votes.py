"""Answers of several people: one vote each, and what is agreed upon."""

from collections.abc import Mapping
from typing import Any
import urllib.parse

from mmal_jax.acquire import arguments
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.session import state as state_lib

# By person and item, the last answer; nothing but `NONE` of who gave none.
Votes = Mapping[str, Mapping[state_lib.Item, state_lib.Row]]
LONGEST = 40  # letters of a name
_MOST_BYTES = 200  # of it as the name of a file


def person(name: Any) -> str:
  """A person's name, if it is one.

  Raises:
    TypeError: if it is no text.
    ValueError: if it is blank, too long, or begins or ends with a blank.
  """
  if not isinstance(name, str):
    raise TypeError(f'by={arguments.shown(name)} must be the name of a person.')
  if not name or name != name.strip() or not name.isprintable() or (
      len(name) > LONGEST or len(urllib.parse.quote(name)) > _MOST_BYTES):
    raise ValueError(f'by={arguments.shown(name)} must be a name of 1 to '
                     f'{LONGEST} letters, without blanks around it.')
  return name


def of_records(
    records: Mapping[str, tuple[journal_lib.Record, ...]]
) -> dict[str, dict[state_lib.Item, state_lib.Row]]:
  """The votes in the journals of people: of each item the last one counts."""
  return {
      who: {(record.modality, number): row for record in some
            for number, row in zip(record.numbers, record.answers)}
      for who, some in records.items()}


def agreed(
    votes: Votes, items: list[state_lib.Item], people: int
) -> dict[state_lib.Item, state_lib.Row]:
  """Items of which enough people say the same, and their answers.

  Args:
    votes: of all people.
    items: of the open questions.
    people: how many have to have answered; more than half have to agree.
  """
  by = {}
  for item in items:
    found = [
        answers_lib.Vote(answers_lib.query_id(*item), some[item], who, None, '')
        for who, some in votes.items()
        if max(some.get(item, (oracle_lib.NONE,))) != oracle_lib.NONE]
    if found:
      by[found[0].query] = found
  accepted = answers_lib.decide(by, 'majority', people).accepted
  return {item: accepted[query] for item in items
          if (query := answers_lib.query_id(*item)) in accepted}
