"""Where journals of a session, and what it has learnt, are kept."""

from collections.abc import Sequence
import os
import pathlib
from typing import Any
import uuid

from mmal_jax.oracles import journal as journal_lib
from mmal_jax.session import book
from mmal_jax.session import folder as folder_lib
from mmal_jax.session import held
from mmal_jax.session import state as state_lib
from mmal_jax.session import votes as votes_lib

_NO_ONE = ''  # Of whom it is not said who answers.


class Store:
  """The journals of a session and of its people, in memory.

  Attributes:
    id: that no other session has.
  """

  def __init__(self):
    self.id = uuid.uuid4().hex
    self._journal: Any = book.Memory()
    self._shown: Any = book.Memory()
    self._people: dict[str, Any] = {}
    self._rejected: dict[str, Any] = {}

  @property
  def records(self) -> tuple[journal_lib.Record, ...]:
    """Of the session's journal."""
    return self._journal.records

  @property
  def shown(self) -> tuple[journal_lib.Record, ...]:
    """What was shown as counterparts."""
    return self._shown.records

  @property
  def votes(self) -> votes_lib.Votes:
    """Of all people."""
    return votes_lib.of_records(
        {who: journal.records for who, journal in self._people.items()})

  @property
  def rejected(self) -> list[tuple[journal_lib.Record, ...]]:
    """By person, the counterparts of which none was right."""
    return [journal.records for journal in self._rejected.values()]

  def enter(self, records: Sequence[journal_lib.Record]) -> None:
    """Adds to the session's journal."""
    if records:
      self._journal.enter(records)

  def show(self, records: Sequence[journal_lib.Record]) -> None:
    """Adds to what was shown."""
    if records:
      self._shown.enter(records)

  def vote(self, person: str, records: Sequence[journal_lib.Record]) -> None:
    """Adds to a person's journal."""
    if person not in self._people:
      self._people[person] = self._new(person, folder_lib.PEOPLE)
    if records:
      self._people[person].enter(records)

  def reject(
      self, person: str | None, records: Sequence[journal_lib.Record]
  ) -> None:
    """Adds to what a person has rejected."""
    person = person or _NO_ONE
    if records:
      if person not in self._rejected:
        self._rejected[person] = self._new(person, folder_lib.REJECTED)
      self._rejected[person].enter(records)

  def keep(self, state: state_lib.State) -> None:
    """Keeps what the last round has left."""

  def close(self) -> None:
    """Frees what is held."""

  def is_in(self, folder: str | os.PathLike[str]) -> bool:
    """Whether that is its folder."""
    return False

  def check_open(self) -> None:
    """Refuses what is done after the session is over."""

  def check_takes(self) -> None:
    """Refuses to go on after an error, or an interrupt, of what was entered."""

  def copy_to(self, other: 'Store') -> None:
    """Enters all that is in the journals into those of another one."""
    other.enter(self.records)
    other.show(self.shown)
    for who, journal in self._people.items():
      other.vote(who, journal.records)
    for who, journal in self._rejected.items():
      other.reject(who, journal.records)

  def _new(self, person: str, of: str) -> Any:
    del person, of
    return book.Memory()


class InFolder(Store):
  """The same on the disk: what is entered is there when that returns."""

  def __init__(
      self, folder: pathlib.Path, session: str, hold: held.Hold,
      modalities: Sequence[str],
  ):
    """Opens what lies there.

    Args:
      folder: of the session.
      session: its id.
      hold: of the folder.
      modalities: of the session.

    Raises:
      ValueError: if a journal is damaged, or another session's.
    """
    super().__init__()
    self.id, self._folder, self._hold = session, folder, hold
    self._modalities = tuple(modalities)
    self._journal = folder_lib.journal(folder, session, self._modalities)
    self._shown = folder_lib.journal(
        folder, session, self._modalities, folder_lib.SHOWN)
    for of, journals in ((folder_lib.PEOPLE, self._people),
                         (folder_lib.REJECTED, self._rejected)):
      for person in folder_lib.people(folder, of):
        journals[person] = self._new(person, of)
    self._kept = folder_lib.checkpoints(folder, session)

  def learnt(self, made: state_lib.Made) -> state_lib.Learnt | None:
    """What the last sealed round has left; None of none."""
    return folder_lib.newest_learnt(self._kept, made)

  def keep(self, state: state_lib.State) -> None:
    found = state_lib.learnt(state)
    if found.round:
      try:
        self._kept.save(int(found.round), found)
        # Whoever opens the folder next must not find it being written.
        self._kept.wait()
      except BaseException:
        self._kept.wait()  # Not after Ctrl-C, either.
        raise

  def close(self) -> None:
    self._hold.release()

  def is_in(self, folder: str | os.PathLike[str]) -> bool:
    return os.path.exists(folder) and os.path.samefile(folder, self._folder)

  def check_open(self) -> None:
    if not self._hold.is_held:
      raise ValueError(
          'this session is over: it was closed, or another one has its folder '
          f'{str(self._folder)!r}. Session.load goes on.')

  def check_takes(self) -> None:
    for journal in (self._journal, self._shown, *self._people.values(),
                    *self._rejected.values()):
      journal.check_takes()

  def _new(self, person: str, of: str) -> Any:
    return folder_lib.journal_of(
        self._folder, self.id, self._modalities, person, of)
