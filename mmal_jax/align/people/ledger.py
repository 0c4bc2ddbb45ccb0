"""The ledger of accepted answers: nothing in it is ever asked or changed again.
"""

from collections.abc import Iterable, Mapping, Sequence
import pathlib
from typing import NamedTuple

from mmal_jax import durable
from mmal_jax.align.people import answers as answers_lib
from mmal_jax.data import json_lines
from mmal_jax.data import problems as problems_lib


class Entry(NamedTuple):
  """An accepted answer.

  Attributes:
    row: item numbers, one a modality.
    votes: by annotator, what each had said, as such a row.
    place: file and line.
  """

  row: tuple[int, ...]
  votes: dict[str, tuple[int, ...]]
  place: str


def read(path: pathlib.Path, sizes: Mapping[str, int]) -> dict[str, Entry]:
  """All entries, by query; a line that a crash cut off is not one yet.

  Args:
    path: of the ledger.
    sizes: by modality, the number of items, in the order of the columns.

  Raises:
    ValueError: if a line is damaged.
  """
  problems: list[str] = []
  entries = {}
  for place, line in json_lines.read(
      durable.whole_lines(path), path.name, problems):
    try:
      query, answer, people = (
          line[field] for field in ('query', 'answer', 'annotators'))
      wrong = [what for said in (answer, *people.values())
               for what in answers_lib.wrong_with(query, said, sizes)]
      if wrong:
        problems.append(f'{place}: damaged: {wrong[0]}.')
        continue
      entry = Entry(
          answers_lib.row_of(query, answer, sizes),
          {who: answers_lib.row_of(query, said, sizes)
           for who, said in people.items()},
          place)
      first = entries.setdefault(query, entry)
      if first.row != entry.row:
        problems.append(f'{place}: {query} has another answer in '
                        f'{first.place}.')
    except (AttributeError, KeyError) as e:
      problems.append(f'{place}: damaged: {type(e).__name__} {e}.')
  problems_lib.report(str(path), problems)
  return entries


def enter(
    path: pathlib.Path,
    accepted: Mapping[str, tuple[int, ...]],
    votes: Mapping[str, Sequence[answers_lib.Vote]],
    modalities: Iterable[str],
) -> None:
  """Adds entries; they are on the disk when it returns.

  Args:
    path: of the ledger.
    accepted: by query, the row.
    votes: by query, what each person had said.
    modalities: in the order of the columns.
  """
  lines = []
  for query, row in accepted.items():
    reasons = {v.annotator: v.reason for v in votes[query] if v.reason}
    agreed = next(v for v in votes[query] if v.row == row)
    lines.append({
        'query': query,
        'answer': answers_lib.named(agreed, modalities),
        'annotators': {v.annotator: answers_lib.named(v, modalities)
                       for v in votes[query]},
        'sources': [v.place for v in votes[query]],
    } | ({'reasons': reasons} if reasons else {}))
  if lines:
    durable.append(path, json_lines.dump(lines))


def check_unchanged(
    entries: Mapping[str, Entry],
    votes: Iterable[answers_lib.Vote],
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
    before = entry and entry.votes.get(vote.annotator)
    if before and before != vote.row:
      said = answers_lib.named(vote._replace(row=before), modalities)
      problems.append(
          f'{vote.place}: {vote.annotator} now answers {vote.query} by '
          f'{answers_lib.named(vote, modalities)}, but {entry.place}, holds '
          f'{said}: an accepted answer cannot be changed.')
  problems_lib.report(str(folder), problems)
