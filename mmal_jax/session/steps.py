"""What a session does step by step, beneath `mmal_jax.Session`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmal_jax import loop
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.session import annotation
from mmal_jax.session import answers as answers_lib
from mmal_jax.session import book
from mmal_jax.session import learners
from mmal_jax.session import likely
from mmal_jax.session import state as state_lib
from mmal_jax.session import store as store_lib
from mmal_jax.session import telling
from mmal_jax.session import votes as votes_lib


class Steps:
  """A state, the journals that it comes from, and what leads to the next one.
  """

  def _begin(self, given, settings) -> None:
    self._given, self._settings = given, settings
    self._made = learners.make(
        given.pools, settings.learner, settings.values, settings.strategy,
        settings.shared_space, settings.budget, settings.seed)
    self._state = state_lib.begin(self._made)
    self._store: Any = store_lib.Store()
    self._seen: tuple[int, loop.Seen] | None = None
    self._next: tuple[int, state_lib.State] | None = None

  @property
  def _apart(self) -> set[likely.Pair]:
    """Pairs that were rejected, and not answered since."""
    return likely.rejected(
        self._store.rejected, self._modalities, self._settings.people
    ) - likely.pairs_of(self.known, self._modalities)

  @property
  def _modalities(self) -> tuple[str, ...]:
    return tuple(self._given.shown)

  @property
  def _round(self) -> int:
    return int(self._state.run.round)

  def _check_open(self) -> None:
    """Refuses what is done after the session is over."""
    self._store.check_open()
    if self._next is not None:  # An interrupt came between journal and state.
      count, state = self._next
      if len(self._store.records) == count:
        self._state, self._seen = state, None
      self._next = None

  def _move(self, records: Sequence[journal_lib.Record], state) -> None:
    """Enters records, and the state that they lead to."""
    self._next = len(self._store.records) + len(records), state
    self._store.enter(records)
    self._state, self._next = state, None

  def _see(self) -> loop.Seen:
    """What the present round's questions are chosen by, found out once."""
    before = None
    if self._seen is not None:
      at_round, before = self._seen
      if at_round == self._round:
        return before
    self._seen = self._round, loop.see(
        self._state.run, self._made.learner, self._made.pools, self._made.plan,
        before)
    return self._seen[1]

  def _ask_anew(self, n) -> None:
    n = min(n, state_lib.most(self._made, self._state),
            *self._given.pools.sizes.values())
    if n < 1:
      return
    state = state_lib.with_questions(self._made, self._state, self._see(), n)
    rows = book.unanswered(state_lib.open_items(state), self._modalities)
    self._move(book.records_of(self._round, rows), state)

  def _tell_file(self, path, by) -> None:
    if by is not None:
      raise ValueError(f'by={by!r}: a file of answers says who gave them.')
    people = {telling.known_as(who, self._store.votes): answers
              for who, answers in annotation.answers_in(
                  path, self._given, state_lib.asked(self._state)).items()}
    for who, answers in people.items():  # All of them or none.
      self._judged(answers, who)
    for who, answers in people.items():
      self._enter(answers, self._judged(answers, who), who)

  def _judged(self, answers, by) -> answers_lib.Said:
    if by is not None:
      votes_lib.person(by)
    return telling.judged(
        self._state, self._store.votes, answers, self._given.pools.sizes, by)

  def _enter(self, answers, said, by) -> None:
    rejected = telling.rejected(
        self._state, self._store, answers, self._given.pools.sizes, by)
    self._store.reject(by, likely.records_of(
        self._round, rejected, self._modalities))
    if by is None:
      self._take(said)
    else:
      self._store.vote(by, book.records_of(
          self._round,
          said.rows | book.unanswered(said.aside, self._modalities)))
      self._agree()

  def _agree(self) -> None:
    """Takes what enough people say alike."""
    self._take(telling.agreed(
        self._state, self._store.votes, self._settings.people,
        self._modalities))

  def _take(self, said) -> None:
    """Enters what holds from here on."""
    nothing = book.unanswered(said.aside, self._modalities)
    after = state_lib.with_aside(
        state_lib.with_answers(self._state, said.rows), said.aside)
    if after.run is not self._state.run:
      self._seen = None  # It counts on answers that are taken back.
    self._move([record for some in (said.rows, nothing)
                for record in book.records_of(self._round, some)], after)

  def _show(self, shown) -> None:
    """Remembers which candidates people see."""
    before = likely.of_records(self._store.shown, self._modalities)
    new = {item: found for item, found in shown.items()
           if before.get(item, {}) != {m: n for m, n in found.items() if n}}
    self._store.show(likely.records_of(self._round, new, self._modalities))

  def _suggest(self, modality, numbers, other, k) -> np.ndarray:
    return likely.suggester(
        loop.suggester(self._state.run, self._see()), self._state,
        self._apart)(modality, numbers, other, k)
