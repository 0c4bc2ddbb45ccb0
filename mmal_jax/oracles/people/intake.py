"""Votes from a folder of answers: checked, and one a query and person."""

from collections.abc import Container, Iterable, Mapping, Sequence
import pathlib
from typing import NamedTuple

from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib
from mmal_jax.oracles.people import answer_files
from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import identity
from mmal_jax.oracles.people import naming
from mmal_jax.oracles.people import records as records_lib

_quote = json_object.quote_json


class Read(NamedTuple):
  """What a folder of answers holds.

  Attributes:
    votes: one a query and person.
    people: who they are.
    notes: a sentence on each thing that is no answer, or is passed over.
  """

  votes: list[answers_lib.Vote]
  people: identity.People
  notes: list[str]


class _Named(NamedTuple):
  """A row, and the modalities whose counterpart is a number alone."""

  row: tuple[int, ...]
  bare: tuple[str, ...]


def read(
    folder: pathlib.Path,
    sizes: Mapping[str, int],
    asked: Container[str],
    pools: str,
    skip_is_refusal: bool,
    items: naming.Items,
    stated: Sequence[Sequence[identity.Person]] = (),
    known: Iterable[Sequence[identity.Person]] = (),
) -> Read:
  """Reads all files of a folder, or none.

  Where a person answers a query several times, the answer that was changed last
  holds, if the files say when that was; an answer holds against the skipping of
  the query where they do not. Other answers that differ are refused. What was
  taken back later than it was answered is no answer.

  Args:
    folder: of JSON lines, and of exports of Label Studio. Names that begin with
      a dot are passed over without a note. Links must not lead out of it.
    sizes: by modality, the number of items, in the order of the columns.
    asked: ids of all queries so far.
    pools: as for `label_studio.task`.
    skip_is_refusal: as for `label_studio_export.read`.
    items: of the folder of questions.
    stated: of each person in annotators.jsonl, all their names.
    known: names of one person each, from answers that were accepted before.

  Returns:
    The votes; who says the same twice is counted once.

  Raises:
    ValueError: listing every problem of every file.
  """
  notes: list[str] = []
  problems: list[str] = []
  found: list[tuple[answers_lib.Given, identity.Person, _Named]] = []
  for given in answer_files.read(
      folder, sizes, pools, skip_is_refusal, notes, problems):
    wrong, person, named = _check(given, sizes, asked, items)
    problems += [f'{given.place}: {what}.' for what in wrong]
    if not wrong:
      found.append((given, person, named))
  seen = [('ledger.jsonl', person, [mark]) for number, names in enumerate(known)
          for mark in [f'ledger {number}'] for person in names]
  people = identity.People(
      [*seen, *((given.place, person, given.marks)
                for given, person, _ in found)], stated)
  problems += people.problems
  by: dict[tuple[str, str], list[tuple[answers_lib.Given, answers_lib.Vote]]]
  by = {}
  for given, person, named in found:
    name, *aliases = people.names(person)
    vote = answers_lib.Vote(
        given.query, named.row, name, given.reason, given.place,
        tuple(aliases), named.bare, given.confirmed)
    by.setdefault((given.query, name), []).append((given, vote))
  standing = (_standing(several, notes) for several in by.values())
  votes = [_last(several, sizes, notes, problems)
           for several in standing if several]
  problems_lib.report(str(folder), problems)
  return Read(votes, people, notes)


def _check(
    given: answers_lib.Given, sizes: Mapping[str, int], asked: Container[str],
    items: naming.Items,
) -> tuple[list[str], identity.Person | None, _Named | None]:
  """What is wrong with an answer; its person and its row, if nothing is."""
  wrong = []
  person = identity.parse(given.person)
  if given.person is None:
    wrong.append('\'annotator\' is missing: who answers? Put a number, an '
                 'e-mail or a name there (in an export as \'completed_by\', '
                 'which a deleted account has lost)')
  elif person is None:
    wrong.append(f'\'annotator\' is {_quote(given.person)}, not a name, an '
                 'e-mail or a number of one person')
  if given.reason is not None and not _is_text(given.reason):
    wrong.append(f'\'reason\' is {_quote(given.reason)}, not a text')
  own = answers_lib.modality_of(given.query, sizes)
  if own is None:
    what = 'missing' if given.query is None else _quote(given.query)
    wrong.append(f'\'query\' is {what}, no id of any item')
  elif given.query not in asked:
    wrong.append(f'{given.query} was never asked')
  if wrong:
    return wrong, None, None
  others = [m for m in sizes if m != own]
  answer = given.answer
  if answer is None:
    answer = dict.fromkeys(others)
  elif not isinstance(answer, dict) or (
      naming.is_name(answer) and not answer.keys() & set(others)):
    if len(others) > 1:
      return [f'the answer is {_quote(answer)}, but must say which of '
              f'{", ".join(others)}'], None, None
    answer = {others[0]: answer}
  bare = tuple(m for m, n in answer.items() if isinstance(n, int))
  numbers, wrong = {}, []
  for other, value in answer.items():
    numbers[other], problem = items.number(
        other, value) if other in others else (value, None)
    wrong += [] if problem is None else [problem]
  wrong = wrong or answers_lib.wrong_with(given.query, numbers, sizes)
  if wrong:
    return wrong, None, None
  return [], person, _Named(
      answers_lib.row_of(given.query, numbers, sizes), bare)


def _standing(
    several: list[tuple[answers_lib.Given, answers_lib.Vote]],
    notes: list[str],
) -> list[tuple[answers_lib.Given, answers_lib.Vote]]:
  """Those answers of a person to a query that they have not taken back."""
  until = max((given.changed for given, _ in several if given.withdrawn),
              default=None)
  if until is None:
    return several
  left = [(given, vote) for given, vote in several if not given.withdrawn
          and (given.changed is None or given.changed > until)]
  if not left:
    vote = several[0][1]
    notes.append(f'{vote.place}: {vote.annotator} has taken back the answer to '
                 f'{vote.query}.')
  return left


def _last(
    several: list[tuple[answers_lib.Given, answers_lib.Vote]],
    sizes: Mapping[str, int], notes: list[str], problems: list[str],
) -> answers_lib.Vote:
  """The answer that holds of those that one person gave to one query."""
  def rows(some):
    return {vote.row for _, vote in some}

  (given, vote), *_ = several
  if len(rows(several)) == 1:
    return _together(several)
  left = several
  if all(one.changed is not None for one, _ in several):
    latest = max(one.changed for one, _ in several)
    left = [pair for pair in several if pair[0].changed == latest]
  else:
    left = [pair for pair in several if not pair[0].skipped] or several
  other = next((v for _, v in left[1:] if v.row != left[0][1].row), None)
  made = [(one.annotation, one.made) for one, _ in several if None not in (
      one.annotation, one.made)]
  if len({number for number, _ in made}) < len(set(made)):
    problems.append(
        f'{several[-1][1].place}: annotation {several[-1][0].annotation} was '
        f'made at another time than in {vote.place}, and answers {given.query} '
        f'otherwise: are these exports of two servers, on both of which '
        f'{vote.annotator} is another person? Export with e-mails, or write '
        'the answers into a .jsonl under names.')
  elif other is not None:
    first = left[0][1]
    problems.append(
        f'{other.place}: {other.annotator} answers {other.query} by '
        f'{answers_lib.in_words(other, sizes)}, but in {first.place} by '
        f'{answers_lib.in_words(first, sizes)}: remove one of the two.')
  else:
    given, vote = left[0]
    notes.append(
        f'{vote.place}: {vote.annotator} answers {vote.query} several times; '
        f'this answer holds ({answers_lib.in_words(vote, sizes)}), for it '
        f'{"is the latest" if given.changed is not None else "is no skip"}.')
    return _together([pair for pair in several if pair[1].row == vote.row])
  return vote


def _together(
    several: Sequence[tuple[answers_lib.Given, answers_lib.Vote]]
) -> answers_lib.Vote:
  """The first of the same answers of a person, as sure as the surest."""
  votes = [vote for _, vote in several]
  return votes[0]._replace(
      bare=tuple(m for m in votes[0].bare if all(m in v.bare for v in votes)),
      confirmed=any(v.confirmed for v in votes))


def _is_text(value: object) -> bool:
  """Whether it says something, and can be written down again."""
  return isinstance(value, str) and bool(value.strip()) and not any(
      '\ud800' <= letter <= '\udfff' for letter in value)


def stated_names(path: pathlib.Path) -> list[list[identity.Person]]:
  """Who has which names, of a file with a line `{"names": [...]}` a person.

  Args:
    path: of the file; it need not exist.

  Raises:
    ValueError: listing every problem of it.
  """
  try:
    content = durable.read(path)
  except FileNotFoundError:
    return []
  problems: list[str] = []
  stated: list[list[identity.Person]] = []
  first: dict[identity.Key, str] = {}
  for place, record in records_lib.read(
      content, path.name, '.jsonl', [], problems):
    names = record.get('names')
    people = [identity.parse(name) for name in names] if isinstance(
        names, list) else []
    if not people or None in people or record.keys() != {'names'}:
      problems.append(
          f'{place}: {{"names": [...]}} is needed, with the names, e-mails and '
          'numbers of one person.')
      continue
    for key in (key for person in people for key in person.keys):
      if first.setdefault(key, place) != place:
        problems.append(f'{place}: {_quote(key[1])} stands in {first[key]}, '
                        'too: put all names of a person on one line.')
    stated.append(people)
  problems_lib.report(str(path), problems)
  return stated
