"""The ledger of accepted answers: nothing in it is ever asked or changed again.
"""

from collections.abc import Iterable, Mapping, Sequence
import json
import pathlib
from typing import Any, NamedTuple
import zlib

from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import problems as problems_lib
from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import identity

_CHECKSUM = 'crc32'
_FIELDS = {'query', 'answer', 'annotators', 'sources', 'reasons', 'names'}


class Entry(NamedTuple):
  """An accepted answer.

  Attributes:
    row: item numbers, one a modality.
    votes: by annotator, what each had answered, as such a row.
    place: file and line.
    names: all names of each annotator, as they were known then.
    skipped: annotators who had only skipped the query.
  """

  row: tuple[int, ...]
  votes: dict[str, tuple[int, ...]]
  place: str
  names: tuple[tuple[str, ...], ...]
  skipped: tuple[str, ...]


def read(
    path: pathlib.Path, sizes: Mapping[str, int], pools: str
) -> dict[str, Entry]:
  """All entries, by query; a line that a crash cut off is not one yet.

  Args:
    path: of the ledger.
    sizes: by modality, the number of items, in the order of the columns.
    pools: marks the pools whose item numbers these are.

  Raises:
    ValueError: if a line is damaged, was changed, or is of other pools.
  """
  problems: list[str] = []
  entries = {}
  sealed = False
  for place, line in json_lines.read(
      durable.whole_lines(path), path.name, problems):
    # A version that writes checksums goes on with a ledger without, and no
    # earlier one comes after it.
    sealed |= isinstance(line, dict) and _CHECKSUM in line
    if not _is_as_written(line, pools, sealed):
      problems.append(
          f'{place} was changed after it was written, or is of another folder: '
          'its checksum does not fit. Restore the file from a copy of this '
          'very folder.')
      continue
    try:
      query, answer, people = (
          line[field] for field in ('query', 'answer', 'annotators'))
      wrong = [what for one in (answer, *people.values())
               for what in answers_lib.wrong_with(query, one, sizes)]
      if wrong:
        problems.append(f'{place}: damaged: {wrong[0]}.')
        continue
      names = line.get('names', {})
      entry = Entry(
          answers_lib.row_of(query, answer, sizes),
          {who: answers_lib.row_of(query, one, sizes)
           for who, one in people.items()},
          place, tuple((who, *names.get(who, ())) for who in people),
          tuple(who for who, reason in line.get('reasons', {}).items()
                if reason == answers_lib.SKIPPED))
      first = entries.setdefault(query, entry)
      if first.row != entry.row:
        problems.append(f'{place}: {query} has another answer in '
                        f'{first.place}.')
    except (AttributeError, KeyError, TypeError):
      problems.append(
          f'{place}: damaged: it must have query, answer and annotators, as '
          'the other lines have.')
  problems_lib.report(str(path), problems)
  return entries


def enter(
    path: pathlib.Path,
    accepted: Mapping[str, tuple[int, ...]],
    votes: Mapping[str, Sequence[answers_lib.Vote]],
    modalities: Iterable[str],
    pools: str,
) -> None:
  """Adds entries; they are on the disk when it returns.

  Args:
    path: of the ledger.
    accepted: by query, the row.
    votes: by query, what each person had answered.
    modalities: in the order of the columns.
    pools: marks the pools whose item numbers these are.
  """
  lines = []
  for query, row in accepted.items():
    reasons = {v.annotator: v.reason for v in votes[query] if v.reason}
    names = {v.annotator: v.aliases for v in votes[query] if v.aliases}
    agreed = next(v for v in votes[query] if v.row == row)
    line = {
        'query': query,
        'answer': answers_lib.named(agreed, modalities),
        'annotators': {v.annotator: answers_lib.named(v, modalities)
                       for v in votes[query]},
        'sources': [v.place for v in votes[query]],
    } | ({'reasons': reasons} if reasons else {}) | (
        {'names': names} if names else {})
    # As it will be read: no tuples.
    line = json.loads(json.dumps(line))
    lines.append(line | {_CHECKSUM: _checksum(line, pools)})
  if lines:
    durable.append(path, json_lines.dump(lines))


def _is_as_written(line: Mapping[str, Any], pools: str, sealed: bool) -> bool:
  """Whether a line's checksum fits; an earlier version wrote none.

  Args:
    line: that was read.
    pools: as for `read`.
    sealed: whether this or an earlier line has a checksum.
  """
  fields = {key: value for key, value in line.items() if key != _CHECKSUM}
  if _CHECKSUM not in line:
    return not sealed and fields.keys() <= _FIELDS
  return line[_CHECKSUM] == _checksum(fields, pools)


def _checksum(fields: Mapping[str, Any], pools: str) -> str:
  return f'{zlib.crc32(json.dumps([pools, fields]).encode()):08x}'


def known(
    entries: Mapping[str, Entry]
) -> list[tuple[identity.Person, ...]]:
  """The persons of all entries, each once, by all names they had."""
  return [tuple(map(_person, names)) for names in dict.fromkeys(
      names for entry in entries.values() for names in entry.names)]


def earlier_rows(
    entry: Entry, annotator: str, people: identity.People
) -> set[tuple[int, ...]]:
  """What a person had answered, not by a skip, when an answer was accepted."""
  return {row for name, row in entry.votes.items()
          if name not in entry.skipped
          and people.of(_person(name)) == annotator}


def check_unchanged(
    entries: Mapping[str, Entry],
    votes: Iterable[answers_lib.Vote],
    people: identity.People,
    modalities: Sequence[str],
    folder: pathlib.Path,
) -> None:
  """Refuses answers that their authors changed after they were accepted.

  Raises:
    ValueError: listing them.
  """
  problems = []
  for vote in votes:
    entry = entries.get(vote.query)
    before = entry and earlier_rows(entry, vote.annotator, people)
    if before and vote.row not in before:
      earlier = answers_lib.in_words(
          vote._replace(row=next(iter(before))), modalities)
      problems.append(
          f'{vote.place}: {vote.annotator} now answers {vote.query} by '
          f'{answers_lib.in_words(vote, modalities)}, but {entry.place}, holds '
          f'{earlier}: an accepted answer cannot be changed. Put the earlier '
          'answer back, or remove this one.')
  problems_lib.report(str(folder), problems)


def _person(name: str) -> identity.Person:
  return identity.parse(name) or identity.Person((('name', name),), name)
