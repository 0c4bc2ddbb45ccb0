"""Likely slips: such answers remain open until an annotator confirms them."""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import answers as answers_lib

_NAMED = 3  # other queries of a counterpart
# By query and modality, the records of its candidates, best first.
Candidates = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]


def withhold(
    decision: answers_lib.Decision,
    votes: Mapping[str, Sequence[answers_lib.Vote]],
    before: Mapping[str, tuple[int, ...]],
    candidates: Candidates,
    modalities: Sequence[str],
    may_be_one: Callable[[str, str], bool] = lambda one, other: False,
) -> answers_lib.Decision:
  """Moves what is in doubt out of what is accepted.

  Two answers are: a number alone that is no candidate's, but the row of one;
  and a counterpart that another query of the same modality has, too, unless it
  is this query's likeliest candidate. An answer that is confirmed is not,
  and a counterpart that two people name is not for being another's.

  Args:
    decision: on some queries.
    votes: by query, each person's answer.
    before: by query, the rows that were accepted earlier.
    candidates: that were shown.
    modalities: of the columns.
    may_be_one: whether two names may be one person's.

  Returns:
    The decision, with the others in `doubtful`.
  """
  agreed = {query: [v for v in votes[query] if v.row == row]
            for query, row in decision.accepted.items()}
  agreed = {query: those for query, those in agreed.items()
            if not any(v.confirmed for v in those)}
  doubtful = {}
  for query, those in agreed.items():
    meant = _row_of_candidate(those, candidates.get(query, {}), modalities)
    if meant:
      doubtful[query] = meant
  rows = {**before, **{q: row for q, row in decision.accepted.items()
                       if q not in doubtful}}
  users = collections.defaultdict(list)  # of an item, by the asker's modality
  for query, row in rows.items():
    own = query.rpartition('-')[0]
    for modality, number in zip(modalities, row):
      if modality != own and number != oracle_lib.NONE:
        users[own, modality, number].append(query)
  for (_, modality, number), queries in users.items():
    if len(queries) < 2:
      continue
    for query in queries:
      if (query not in agreed or query in doubtful
          or _several([v.annotator for v in agreed[query]], may_be_one)
          or _likeliest(candidates.get(query, {}), modality) == number):
        continue
      # Of thousands that share an item, the first few are named.
      others = [other for other in queries[:_NAMED + 1] if other != query]
      more = len(queries) - 1 - _NAMED
      doubtful[query] = (f'{modality} {number} is the counterpart of '
                         f'{", ".join(others[:_NAMED])}'
                         f'{f" and {more} more" if more > 0 else ""}, too')
  return decision._replace(
      accepted={query: row for query, row in decision.accepted.items()
                if query not in doubtful},
      doubtful=doubtful)


def _row_of_candidate(votes, candidates, modalities) -> str | None:
  """Whether all give, in place of a candidate's number, its row."""
  for modality, number in zip(modalities, votes[0].row):
    shown = candidates.get(modality, ())
    if not all(modality in vote.bare for vote in votes) or any(
        one.get('item') == number for one in shown):
      continue
    for one in shown:
      if one.get('row') == number:
        return (f'is item {number} of {modality} meant, which is no candidate, '
                f'or row {number}, which is the candidate with the number '
                f'{one.get("item")}?')
  return None


def _several(names, may_be_one) -> bool:
  """Whether two of the names are of two people for sure."""
  return any(not may_be_one(one, other) for i, one in enumerate(names)
             for other in names[i + 1:])


def _likeliest(candidates, modality) -> int | None:
  shown = candidates.get(modality, ())
  return shown[0].get('item') if shown else None
