"""A session in its journal: what was asked, answered and put aside, by round.

An item's first record is its question, be it without an answer yet; its last
row that is no `NONE` is its answer. A later row of nothing but `NONE` takes
that back, and of a question without an answer says that it was put aside.
"""

from collections.abc import Iterable, Mapping, Sequence
import itertools
from typing import NamedTuple

from absl import logging

from mmal_jax import loop
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.session import state as state_lib


class Memory:
  """A journal of a session without a folder."""

  def __init__(self):
    self.records: tuple[journal_lib.Record, ...] = ()

  def enter(self, records: Sequence[journal_lib.Record]) -> None:
    self.records += tuple(records)


class Round(NamedTuple):
  """What a journal has of a round.

  Attributes:
    items: that were asked about in it, in order.
    told: answers that came in it, of which a row of nothing but `NONE` takes an
      earlier one back.
    aside: items of questions that were put aside in it.
  """

  items: list[state_lib.Item]
  told: dict[state_lib.Item, state_lib.Row]
  aside: set[state_lib.Item]


def records_of(
    at_round: int, rows: Mapping[state_lib.Item, state_lib.Row]
) -> list[journal_lib.Record]:
  """Records of answers, in their order: one for each run of a modality."""
  return [
      journal_lib.Record(
          at_round, modality, tuple(item[1] for item in items),
          tuple(rows[item] for item in items))
      for modality, items in (
          (m, list(group)) for m, group in itertools.groupby(
              rows, lambda item: item[0]))]


def unanswered(
    items: Iterable[state_lib.Item], modalities: Sequence[str]
) -> dict[state_lib.Item, state_lib.Row]:
  """Rows of questions without an answer."""
  return dict.fromkeys(items, (oracle_lib.NONE,) * len(modalities))


def rounds(records: Iterable[journal_lib.Record]) -> list[Round]:
  """By number, the rounds of a journal."""
  found: list[Round] = []
  asked: set[state_lib.Item] = set()
  told: set[state_lib.Item] = set()
  for record in records:
    while len(found) <= record.round:
      found.append(Round([], {}, set()))
    at = found[record.round]
    for number, row in zip(record.numbers, record.answers):
      item = record.modality, number
      if max(row) != oracle_lib.NONE:
        at.told[item] = row
        told.add(item)
        at.aside.discard(item)
      elif item in told:
        at.told[item] = row
        told.discard(item)
      elif item in asked:
        at.aside.add(item)
      if item not in asked:
        at.items.append(item)
        asked.add(item)
  return found


def replayed(
    made: state_lib.Made,
    records: Sequence[journal_lib.Record],
    learnt: state_lib.Learnt | None,
) -> state_lib.State:
  """The state that a journal leads to.

  Args:
    made: the session.
    records: of its journal.
    learnt: what a round's learning has left; the rounds after it, all of them
      if it is None, are learnt again.

  Raises:
    ValueError: if the journal lacks answers that were learnt from.
  """
  state = state_lib.begin(made)
  done = 0 if learnt is None else int(learnt.round)
  found = rounds(records)
  found += [Round([], {}, set())] * (done + 1 - len(found))
  for number, at in enumerate(found):
    if number == done and learnt is not None:
      state = state_lib.with_learnt(state, learnt)
      if state_lib.learnt(state).answers != learnt.answers:
        raise ValueError(
            f'the journal holds other answers than those that round {done} has '
            'learnt from: it lacks some, or is another session\'s. Restore it '
            'from a copy of this very session.')
    if at.items:
      state = state_lib.with_items(made, state, at.items)
    # Whatever came in its place, an earlier answer was taken back for it.
    state = state_lib.with_answers(state, unanswered(
        at.told.keys() & state_lib.answered(state).keys(),
        state.run.modalities))
    state = state_lib.with_aside(
        state_lib.with_answers(state, at.told), at.aside)
    if number < done:
      state = state_lib.without_learning(made, state)
    elif number < len(found) - 1:
      logging.info('round %d of the session is learnt again.', number)
      state = state_lib.fitted(made, state, loop.see(
          state.run, made.learner, made.pools, made.plan))
  return state
