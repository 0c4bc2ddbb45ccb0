"""The journal of a run's answers: on the disk before anything is made of them.

A line a call of the oracle, `CRC {"call": ..., "round": ..., ...}`: the CRC-32
reveals a line that was damaged or cut off, the number of the call one that is
missing. The first line, `CRC {"run": {...}}`, says whose answers they are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import json
import os
import pathlib
from typing import Any, NamedTuple
import zlib

from absl import logging
import numpy as np

from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib
from mmal_jax.oracles import oracle as oracle_lib


class Record(NamedTuple):
  """A call of the oracle, and what it returned.

  Attributes:
    round: of the run, from 0 on.
    modality: of the items.
    numbers: of the items, q of them.
    answers: q rows of M item numbers, as of an `oracle.Oracle`.
  """

  round: int
  modality: str
  numbers: tuple[int, ...]
  answers: tuple[tuple[int, ...], ...]


class Journal:
  """An oracle whose answers are on the disk when it returns.

  A run that is resumed at any round, or computed anew, gets the answers that it
  got before: the same call in the same round returns the same answers, and
  what is known of an item is not asked again, whatever else differs. One
  program may use a journal at a time.
  """

  def __init__(
      self,
      path: str | os.PathLike[str],
      oracle: oracle_lib.Oracle | None,
      modalities: Sequence[str],
      run: Mapping[str, str | int] | None = None,
      written: Callable[[], None] | None = None,
  ):
    """Opens a journal; it need not exist.

    What a crash left of its last line is quarantined, and logged.

    Args:
      path: of the file.
      oracle: who answers what is not in it; None where all that it gets is
        handed to `enter`.
      modalities: in the order of the columns.
      run: that the answers are of, by names of its own; its first line holds
        it. None takes those of any run.
      written: called when answers are on the disk, before they are used: to
        copy them elsewhere. What it raises counts as a disk's error.

    Raises:
      ValueError: if a line is damaged that was written whole, or it is of other
        modalities, or of another run.
    """
    self._path = pathlib.Path(path)
    self._oracle, self._modalities = oracle, tuple(modalities)
    self._run = None if run is None else dict(run)
    there, self._records, rest = _parse(self._path)
    if self._records and run is not None and there != self._run:
      raise ValueError(
          f'{self._path} is the journal of {durable.run_in_words(there)}, not '
          f'of {durable.run_in_words(self._run)}: no answer of it is used. '
          'Restore the file from a copy of this very run.')
    problems_lib.report(self._path, [
        f'line {number} does not fit a run with the modalities '
        f'{", ".join(self._modalities)}.'
        for number, record in enumerate(
            self._records, 1 if there is None else 2)
        if not _fits(record, self._modalities)])
    if rest:
      _quarantine(self._path, rest)
    self._written = written or (lambda: None)
    self._broken: OSError | None = None
    self.begin(0)

  @property
  def records(self) -> tuple[Record, ...]:
    """All that is in it, in order."""
    return tuple(self._records)

  def begin(self, at_round: int) -> None:
    """Says of which round the next calls are."""
    self._round = at_round
    # Calls of this round that have not been made again yet.
    self._before = [r for r in self._records if r.round == at_round]

  def __call__(
      self,
      modality: str,
      numbers: np.ndarray,
      suggest: oracle_lib.Suggest | None = None,
  ) -> np.ndarray:
    """As `oracle.Oracle`.

    Raises:
      OSError: if the answers could not be written. They have not been used
        then, and the journal takes no more.
    """
    asked = tuple(np.asarray(numbers).tolist())
    for record in self._before:
      if (record.modality, record.numbers) == (modality, asked):
        self._before.remove(record)
        return _rows(record.answers, self._modalities)
    column = self._modalities.index(modality)
    known = {row[column]: row for r in self._records if r.modality == modality
             for row in r.answers if row[column] != oracle_lib.NONE}
    unanswered = (oracle_lib.NONE,) * len(self._modalities)
    answers = _rows([known.get(n, unanswered) for n in asked], self._modalities)
    fresh = np.array([n not in known for n in asked], bool)
    if fresh.any():
      answers[fresh] = self._oracle(
          modality, np.asarray(numbers)[fresh], suggest)
    self.enter([Record(
        self._round, modality, asked, tuple(map(tuple, answers.tolist())))])
    return answers

  def check_takes(self) -> None:
    """Refuses to go on after records could not be written.

    They may be on the disk all the same, which only who opens it anew can say.

    Raises:
      OSError: then.
    """
    if self._broken is not None:
      raise OSError(f'{self._path} takes no more answers: {self._broken}.')

  def enter(self, records: Sequence[Record]) -> None:
    """Adds records, which are on the disk when it returns.

    Raises:
      OSError: if they could not be written; the journal takes no more then.
    """
    self.check_takes()
    try:
      with durable.naming(self._path):
        with open(durable.open_own(
            self._path, os.O_WRONLY | os.O_APPEND), 'ab') as file:
          if not self._records and self._run is not None:
            file.truncate(0)  # Of a first line alone, before a crash.
            file.write(_sealed({'run': self._run}))
          for call, record in enumerate(records, len(self._records)):
            file.write(_line(call, record))
          file.flush()
          os.fsync(file.fileno())
        durable.sync_folder(self._path.parent)
      self._written()
    except OSError as e:
      # After a failed fsync the content of the disk is unknown.
      self._broken = e
      raise
    except BaseException:
      # As by Ctrl-C, after which a notebook goes on.
      self._broken = OSError('it was interrupted; open it anew')
      raise
    self._records += records


def read(path: str | os.PathLike[str]) -> list[Record]:
  """All records of a journal; none of a last line that was cut off.

  Raises:
    ValueError: if it is damaged anywhere else.
  """
  return _parse(pathlib.Path(path))[1]


def check_used(
    path: pathlib.Path, records: Iterable[Record],
    used: Mapping[tuple[str, int], tuple[int, ...]],
) -> None:
  """Refuses a journal that lacks answers, or holds others.

  Args:
    path: of the journal, for the error.
    records: of it.
    used: by modality and number of the item, the answers that a state of its
      run has used.

  Raises:
    ValueError: naming the first of them.
  """
  held = {(record.modality, number): row for record in records
          for number, row in zip(record.numbers, record.answers)
          if max(row, default=oracle_lib.NONE) != oracle_lib.NONE}
  wrong = [item for item, row in used.items() if held.get(item) != row]
  if wrong:
    modality, number = wrong[0]
    raise ValueError(
        f'{path} lacks {len(wrong)} of the {len(used)} answers that the last '
        f'state of its run has used, or holds others: for {modality} {number} '
        f'the state has {used[wrong[0]]}, the journal '
        f'{held.get(wrong[0], "none")}. Restore the file from a copy of this '
        'very run.')


def _parse(
    path: pathlib.Path
) -> tuple[dict[str, str | int] | None, list[Record], bytes]:
  """The run, records, and what there is of a line that was cut off."""
  try:
    content = durable.read(path, durable.MOST_OF_OURS)
  except FileNotFoundError:
    return None, [], b''
  *lines, rest = content.split(b'\n')
  # Of a line that had not been written whole when the power went, a disk may
  # hold the end, and nothing in place of the rest.
  if not rest and lines and b'\0' in lines[-1]:
    rest = lines.pop() + b'\n'
  problems, records = [], []
  run = _run_of(lines[0]) if lines else None
  expected = 0  # The number of the next call; None where that is not known.
  for number, line in enumerate(lines):
    if not number and run is not None:
      continue
    call, record = _record(line)
    if record is None or call != expected and not (
        expected is None and call in (number - 1, number)):
      problems.append(
          f'line {number + 1} is damaged, or one before it is missing.')
    if record is not None:
      records.append(record)
      expected = call + 1  # One that is missing is not missed again.
    elif number and expected is not None:
      expected += 1
    elif not number:
      expected = None  # It was the run's, or the first call's.
  problems_lib.report(path, problems)
  return run, records, rest


def _sealed(fields: Mapping[str, Any]) -> bytes:
  text = json.dumps(fields).encode()
  return b'%08x %b\n' % (zlib.crc32(text), text)


def _line(call: int, record: Record) -> bytes:
  return _sealed({'call': call, **record._asdict()})


def _fields(line: bytes) -> dict[str, Any] | None:
  """What a line holds; None if it is damaged."""
  crc, _, text = line.partition(b' ')
  if crc != b'%08x' % zlib.crc32(text):
    return None
  try:
    found = json_object.loads(text)
  except ValueError:
    return None
  return found if isinstance(found, dict) else None


def _run_of(line: bytes) -> dict[str, str | int] | None:
  """The run of a first line; None if that is of a call, or damaged."""
  found = _fields(line)
  if found is None or found.keys() != {'run'}:
    return None
  run = found['run']
  return run if isinstance(run, dict) and all(
      type(value) in (str, int) for value in run.values()) else None


def _record(line: bytes) -> tuple[int, Record | None]:
  """The number and record of a call; no record if the line is damaged."""
  fields = _fields(line)
  if fields is None:
    return 0, None
  try:
    call = fields['call']
    record = Record(
        fields['round'], fields['modality'], tuple(fields['numbers']),
        tuple(map(tuple, fields['answers'])))
  except (AttributeError, KeyError, TypeError, ValueError):
    return 0, None
  numbers = [n for row in record.answers for n in row]
  good = (
      isinstance(record.modality, str)
      and _are_whole([call, record.round, *record.numbers], 0)
      and _are_whole(numbers, oracle_lib.NONE)
      and len(record.answers) == len(record.numbers)
      and len(set(map(len, record.answers))) < 2)
  return (call, record) if good else (0, None)


def _are_whole(values: Sequence[object], least: int) -> bool:
  return all(type(value) is int and least <= value < 2**31 for value in values)


def _fits(record: Record, modalities: tuple[str, ...]) -> bool:
  """Whether each row is of these modalities, and of its own item or nothing."""
  if record.modality not in modalities:
    return False
  column = modalities.index(record.modality)
  unanswered = (oracle_lib.NONE,) * len(modalities)
  return all(
      len(row) == len(modalities) and (row == unanswered or row[column] ==
      number) for number, row in zip(record.numbers, record.answers))


def _quarantine(path: pathlib.Path, rest: bytes) -> None:
  """Moves the torn end of a journal to a file of its own."""
  aside = durable.unused(path.with_name(f'{path.name}.torn'))
  durable.write(aside, rest)
  with open(durable.open_own(path, os.O_RDWR), 'r+b') as file:
    file.truncate(path.stat().st_size - len(rest))
    os.fsync(file.fileno())
  logging.warning(
      '%s: the last line was not written whole (%d bytes, now in %s): its '
      'answers had not been used, and are asked for again.',
      path, len(rest), aside)


def _rows(rows, modalities) -> np.ndarray:
  return np.array(rows, np.int32).reshape(-1, len(modalities))
