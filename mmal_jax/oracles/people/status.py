"""The status of a folder's queries: answered, open, in dispute; and why."""

import collections
from collections.abc import Iterable, Mapping, Sequence
import json
import pathlib
from typing import Any, NamedTuple

from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import plain_text
from mmal_jax.files import problems as problems_lib
from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import doubts
from mmal_jax.oracles.people import intake
from mmal_jax.oracles.people import ledger as ledger_lib
from mmal_jax.oracles.people import naming
from mmal_jax.oracles.people import rounds

LEDGER, CONFLICTS, ANSWERS, ANNOTATORS = (
    'ledger.jsonl', 'conflicts.jsonl', 'answers', 'annotators.jsonl')
_MOST = 10  # of a kind are named in a message
_LATE = 'accepted before'  # the state of a query that is open no more


class Rules(NamedTuple):
  """When a query counts as answered.

  Attributes:
    conflicts: as for `answers.decide`.
    people: as for `answers.decide`.
    skip_is_refusal: as for `label_studio_export.read`.
  """

  conflicts: str = 'ask'
  people: int = 1
  skip_is_refusal: bool = False


class Status(NamedTuple):
  """How far a folder's queries are answered.

  Attributes:
    entries: by query, what was accepted before.
    votes: by query, people's answers, accepted ones included.
    decision: on all others.
    late: queries that were accepted before and that another person answers
      otherwise now.
    notes: of the files of answers.
  """

  entries: dict[str, ledger_lib.Entry]
  votes: dict[str, list[answers_lib.Vote]]
  decision: answers_lib.Decision
  late: list[str]
  notes: list[str]


def find(
    folder: pathlib.Path, sizes: Mapping[str, int], asked: Iterable[str],
    pools: str, rules: Rules,
) -> Status:
  """Reads the answers and the ledger; writes nothing.

  Args:
    folder: of all rounds.
    sizes: by modality, the number of items, in the order of the columns.
    asked: ids of all queries so far.
    pools: as for `label_studio.task`.
    rules: of the run.

  Raises:
    ValueError: listing every problem of the answers, or of the ledger.
  """
  entries = ledger_lib.read(folder / LEDGER, sizes, pools)
  found = intake.read(
      folder / ANSWERS, sizes, asked, pools, rules.skip_is_refusal,
      naming.Items(folder),
      intake.stated_names(folder / ANNOTATORS), ledger_lib.known(entries))
  ledger_lib.check_unchanged(
      entries, found.votes, found.people, tuple(sizes), folder / ANSWERS)
  votes = collections.defaultdict(list)
  for vote in found.votes:
    votes[vote.query].append(vote)
  decision = answers_lib.decide(
      {q: v for q, v in votes.items() if q not in entries}, rules.conflicts,
      rules.people, found.people.may_be_one)
  if decision.accepted:
    decision = doubts.withhold(
        decision, votes, {q: e.row for q, e in entries.items()},
        rounds.candidates(folder), tuple(sizes), found.people.may_be_one)
  late = [q for q, v in votes.items() if q in entries and any(
      one.row != entries[q].row
      and not ledger_lib.earlier_rows(entries[q], one.annotator, found.people)
      for one in v)]
  return Status(entries, dict(votes), decision, late, found.notes)


def enter(
    folder: pathlib.Path, status: Status, modalities: Sequence[str],
    pools: str,
) -> None:
  """Puts what is accepted into the ledger, and disputes into their list."""
  _list_conflicts(folder / CONFLICTS, status, modalities)
  ledger_lib.enter(folder / LEDGER, status.decision.accepted,
                   status.votes, modalities, pools)


def in_words(
    folder: pathlib.Path, status: Status, modalities: Sequence[str],
    rules: Rules, open_queries: Sequence[str], accepted: str | None,
    entered: bool = True,
) -> str:
  """What has come in, in lines for the user of the program.

  Args:
    folder: of all rounds.
    status: of it.
    modalities: of the columns.
    rules: of the run.
    open_queries: that are waited for.
    accepted: the line about the number of answers that are new, if anything.
    entered: whether `enter` has listed the conflicts of this status.

  Returns:
    Lines; none if nothing has come.
  """
  _, votes, decision, late, notes = status
  lines = []
  everything = (f'all in {folder / CONFLICTS}' if entered else
                f'--resume lists all in {folder / CONFLICTS}')
  if decision.accepted and accepted:
    lines.append(accepted.format(len(decision.accepted)))
  if decision.conflicts:
    lines.append(
        f'Open, because people disagree ({len(decision.conflicts)}; '
        f'{everything}):')
    lines += _first(f'  {q}: ' + '; '.join(
        f'{answers_lib.in_words(v, modalities)} ({v.annotator})'
        for v in votes[q]) for q in decision.conflicts)
  if decision.same_person:
    lines.append(
        'Open, because two annotators may be one person '
        f'({len(decision.same_person)}):')
    lines += _first(
        f'  {q}: is {one} also {other}?' for q, (one, other)
        in decision.same_person.items())
    names = next(iter(decision.same_person.values()))
    both, one = (_to_copy({'names': given}) for given in (names, names[:1]))
    lines.append(
        f'  Say so in {folder / ANNOTATORS}, a line for each person with all '
        f'names: {both} if they are one, {one} if not. Or export all answers '
        'in one form.')
  if decision.doubtful:
    lines.append('Open, because the answer may be a slip '
                 f'({len(decision.doubtful)}; {everything}):')
    lines += _first(
        f'  {q}, {votes[q][0].place}: {why}'
        for q, why in decision.doubtful.items())
    lines.append('  Change it, or give the same answer again with "confirmed": '
                 'true (see README.txt).')
  more = [q for q in open_queries if q in votes
          and q not in decision.accepted and q not in decision.conflicts
          and q not in decision.same_person and q not in decision.doubtful
          and q not in status.entries]
  if more:
    lines.append(f'Open, because fewer than {rules.people} people have '
                 f'answered ({len(more)}): {_some(more)}.')
  if late:
    lines.append(
        'Accepted before another answer came, which is not used '
        f'({len(late)}; {everything}): {_some(late)}.')
  rows = {q: e.row for q, e in status.entries.items()} | decision.accepted
  same = answers_lib.same_counterparts(rows, decision.accepted, modalities)
  lines += _first(
      f'{modality} {number} is the counterpart of several: {_some(queries)}. '
      'Is one of them wrong?' for (modality, number), queries in same.items())
  if notes:
    lines.append(f'In {folder / ANSWERS}:')
    lines += _first(f'  {problems_lib.shortened(note)}' for note in notes)
  return '\n'.join(map(plain_text.for_terminal, lines))


def _to_copy(line: dict[str, Any]) -> str:
  """A line of JSON that a terminal prints unchanged."""
  text = json.dumps(line, ensure_ascii=False)
  return text if plain_text.for_terminal(text) == text else json.dumps(line)


def _first(lines: Iterable[str]) -> list[str]:
  lines = list(lines)
  hidden = len(lines) - _MOST
  return lines[:_MOST] + ([f'  ... and {hidden} more.'] if hidden > 0 else [])


def _some(queries: Sequence[str]) -> str:
  more = len(queries) - _MOST
  return ', '.join(queries[:_MOST]) + (f' and {more} more' if more > 0 else '')


def disputes(path: pathlib.Path) -> dict[str, str]:
  """The state of each query that such a list says is open.

  Args:
    path: of the list; it need not exist.
  """
  try:
    content = durable.read(path)
  except FileNotFoundError:
    return {}
  return {line['query']: line['state']
          for _, line in json_lines.read(content, None, [])
          if isinstance(line.get('query'), str)
          and line.get('state') not in (None, _LATE)}


def _list_conflicts(path, status, modalities) -> None:
  """Writes where people disagree, or removes the list if they do not."""
  decision = status.decision
  lines = [
      {'query': query, 'state': state,
       'answers': {v.annotator: answers_lib.named(v, modalities)
                   for v in status.votes[query]},
       'sources': [v.place for v in status.votes[query]]}
      | ({'why': decision.doubtful[query]} if state == 'in doubt' else {})
      for state, queries in (
          ('open', decision.conflicts),
          ('perhaps one person', decision.same_person),
          ('in doubt', decision.doubtful), (_LATE, status.late))
      for query in queries]
  if lines:
    durable.write(path, json_lines.dump(lines))
  else:
    path.unlink(missing_ok=True)
