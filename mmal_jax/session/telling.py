"""What becomes of answers: which are new, and which are agreed upon."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import spelling
from mmal_jax.session import answers as answers_lib
from mmal_jax.session import likely
from mmal_jax.session import questions as questions_lib
from mmal_jax.session import state as state_lib
from mmal_jax.session import store as store_lib
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
  same = by if by is None else known_as(by, votes)
  if same != by:
    raise ValueError(f'by={by!r}: {same!r} has answered, which is the same '
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
                     'cannot be put aside. Another answer corrects it.')
  # Whoever gave an answer may give another in its place.
  corrected = {item for item, row in said.rows.items()
               if known.get(item, row) != row
               and _may_correct(_who_answered(votes, item), by, item)}
  own = {item: row for item, row in votes.get(by, {}).items()
         if max(row) >= 0 and item not in said.rows}
  rest = {item: row for item, row in known.items() if item not in corrected}
  answers_lib.check_consistent(said.rows, own | rest, tuple(sizes))
  return answers_lib.Said(
      {item: row for item, row in said.rows.items()
       if item not in known or item in corrected}, said.aside)


def _who_answered(votes, item) -> list[str]:
  return [who for who, some in votes.items()
          if max(some.get(item, (oracle_lib.NONE,))) != oracle_lib.NONE]


def _may_correct(people, by, item) -> bool:
  if by is None and people:
    raise ValueError(
        f'{answers_lib.in_words(item)} was answered by {", ".join(people)}: '
        'say by= who corrects it.')
  return by is None or by in people


def known_as(name: str, votes: votes_lib.Votes) -> str:
  """How somebody who has answered before was spelt; else the name itself."""
  return next((who for who in votes if who == name),
              next((who for who in votes if _spelt(who) == _spelt(name)), name))


def _spelt(name: str) -> str:
  return spelling.folded(spelling.normal(name))


def rejected(
    state: state_lib.State, store: store_lib.Store, answers: Any,
    sizes: Mapping[str, int], by: str | None,
) -> dict[state_lib.Item, likely.Candidates]:
  """By item, the candidates of which an answer says that none is right.

  Those of the question, where it was given; else those that were shown last.

  Args:
    state: present.
    store: with what was shown.
    answers: as told, after `judged`.
    sizes: by modality, the number of items.
    by: who tells them.
  """
  shown = likely.of_records(store.shown, tuple(sizes))
  if isinstance(answers, Mapping):
    shown |= {(key.modality, key.number): key.candidates for key in answers
              if isinstance(key, questions_lib.Question)}
  return {item: shown.get(item, {}) for item in answers_lib.none_of_these(
      answers, open_for(state, store.votes, by), sizes)}


def agreed(
    state: state_lib.State, votes: votes_lib.Votes, people: int,
    modalities: Sequence[str],
) -> answers_lib.Said:
  """What becomes of questions by what people say of them.

  An answer that enough people give alike is taken, unless it contradicts
  another: then its question stays open until people agree on both. One on which
  they agree no more, since somebody has corrected theirs, is taken back, by a
  row of nothing but `NONE`. What enough people have seen and none has answered
  is put aside.

  Args:
    state: present.
    votes: of all people.
    people: how many have to have answered.
    modalities: of the columns.
  """
  known = state_lib.answered(state)
  voted = [item for item in known if _who_answered(votes, item)]
  found = votes_lib.agreed(
      votes, [*state_lib.unanswered(state), *voted], people)
  nothing = (oracle_lib.NONE,) * len(modalities)
  rows: dict[state_lib.Item, state_lib.Row] = {
      item: nothing for item in voted if found.get(item) != known[item]}
  rest = {item: row for item, row in known.items() if item not in rows}
  for item, row in found.items():
    if item in rest:
      continue
    try:
      answers_lib.check_consistent({item: row}, rest, modalities)
    except ValueError:
      continue
    rows[item] = rest[item] = row
  return answers_lib.Said(rows, [
      item for item in state_lib.open_items(state) if item not in rows
      and not _who_answered(votes, item)
      and sum(item in some for some in votes.values()) >= people])
