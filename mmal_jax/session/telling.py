"""What becomes of answers: which are new, and which are agreed upon."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmal_jax.oracles.people import spelling
from mmal_jax.session import answers as answers_lib
from mmal_jax.session import state as state_lib
from mmal_jax.session import votes as votes_lib


def open_for(
    state: state_lib.State, votes: votes_lib.Votes, by: str | None
) -> list[state_lib.Item]:
  """Items of the open questions that a person has not answered."""
  given = votes.get(by, {})
  return [item for item in state_lib.open_items(state) if item not in given]


def judged(
    state: state_lib.State,
    votes: votes_lib.Votes,
    answers: Any,
    sizes: Mapping[str, int],
    by: str | None,
) -> answers_lib.Said:
  """New answers, if none of them is a slip.

  Args:
    state: present.
    votes: of all people so far.
    answers: as told.
    sizes: by modality, the number of items.
    by: who tells them; None: nobody in particular.

  Raises:
    TypeError, ValueError: as `Session.tell`.
  """
  same = [who for who in votes if by is not None and who != by
          and _spelt(who) == _spelt(by)]
  if same:
    raise ValueError(f'by={by!r}: {same[0]!r} has answered, which is the same '
                     'name in another spelling. Use that, or another name.')
  said = answers_lib.parsed(answers, open_for(state, votes, by), sizes)
  known, asked = state_lib.answered(state), state_lib.asked(state)
  given = [*said.rows, *said.aside]
  wrong = [answers_lib.in_words(item) for item in given if item not in asked]
  if wrong:
    raise ValueError(f'{", ".join(wrong[:5])}: never asked about.')
  settled = [item for item in said.aside if item in known]
  if settled:
    raise ValueError(f'{answers_lib.in_words(settled[0])} is answered: it '
                     'cannot be put aside.')
  # A person may change their mind about a question as long as it is open.
  own = {item: row for item, row in votes.get(by, {}).items()
         if max(row) >= 0 and item not in said.rows}
  answers_lib.check_consistent(said.rows, own | known, tuple(sizes))
  return answers_lib.Said(
      {item: row for item, row in said.rows.items() if item not in known},
      said.aside)


def _spelt(name: str) -> str:
  return spelling.folded(spelling.normal(name))


def agreed(
    state: state_lib.State, votes: votes_lib.Votes, people: int,
    modalities: Sequence[str],
) -> dict[state_lib.Item, state_lib.Row]:
  """Answers that enough people give alike, and that contradict nothing.

  What would contradict another answer stays open until people agree on both.

  Args:
    state: present.
    votes: of all people.
    people: how many have to have answered.
    modalities: of the columns.
  """
  rows: dict[state_lib.Item, state_lib.Row] = {}
  for item, row in votes_lib.agreed(
      votes, state_lib.open_items(state), people).items():
    try:
      answers_lib.check_consistent(
          {item: row}, state_lib.answered(state) | rows, modalities)
    except ValueError:
      continue
    rows[item] = row
  return rows
