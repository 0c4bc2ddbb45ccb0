"""Answers that are likely slips, against a plain reading of the rules."""

import numpy as np
import pytest

from mmal_jax.oracles.people import answers as answers_lib
from mmal_jax.oracles.people import doubts

_MODALITIES = ('image', 'text', 'sound')


def _vote(query, row, person, bare=(), confirmed=False):
  return answers_lib.Vote(query, row, person, None, 'a.jsonl, line 1', (),
                          bare, confirmed)


def _may_be_one(one, other):
  """Whether two names may be one person's: of one letter."""
  return one[0] == other[0]


def _plain(accepted, votes, before, candidates):
  """Why each query is in doubt: every query is compared with every other."""
  agreed = {q: [v for v in votes[q] if v.row == row]
            for q, row in accepted.items()}
  found = {}
  for q, row in accepted.items():
    bare = [m for m in _MODALITIES if all(m in v.bare for v in agreed[q])]
    for m, number in zip(_MODALITIES, row):
      shown = candidates.get(q, {}).get(m, [])
      meant = [c['item'] for c in shown if c['row'] == number]
      if m in bare and meant and number not in [c['item'] for c in shown]:
        found.setdefault(q, f'is item {number} of {m} meant, which is no '
                         f'candidate, or row {number}, which is the candidate '
                         f'with the number {meant[0]}?')
    if any(v.confirmed for v in agreed[q]):
      found.pop(q, None)
  rows = before | {q: row for q, row in accepted.items() if q not in found}
  slips = {}
  for i, m in enumerate(_MODALITIES):
    for q in rows:
      own = q.split('-')[0]
      sure = q not in accepted or q in found or own == m or rows[q][i] == -1
      if sure or any(v.confirmed for v in agreed[q]):
        continue
      others = [other for other in rows if other != q and
                other.split('-')[0] == own and rows[other][i] == rows[q][i]]
      names = [v.annotator for v in agreed[q]]
      two = any(a[0] != b[0] for a in names for b in names)
      best = candidates.get(q, {}).get(m, [])[:1]
      if others and not two and [c['item'] for c in best] != [rows[q][i]]:
        more = f' and {len(others) - 3} more' if len(others) > 3 else ''
        slips.setdefault(q, set()).add(
            f'{m} {rows[q][i]} is the counterpart of '
            f'{", ".join(others[:3])}{more}, too')
  return found, slips


@pytest.mark.parametrize('seed', range(40))
def test_against_every_query_with_every_other(seed):
  rng = np.random.default_rng(seed)
  n = int(rng.integers(1, 30))
  few = int(rng.integers(1, 6))
  accepted, votes, before, candidates = {}, {}, {}, {}
  for own in range(3):
    for number in rng.permutation(40)[:n].tolist():
      query = f'{_MODALITIES[own]}-{number}'
      row = [int(rng.integers(-1, few)) for _ in _MODALITIES]
      row[own] = number
      row = tuple(row)
      if rng.random() < 0.3:
        before[query] = row
        continue
      accepted[query] = row
      votes[query] = [_vote(
          query, row if rng.random() < 0.8 or not i else (-1, -1, -1),
          str(rng.choice(['ann', 'al', 'bob'])),
          tuple(m for m in _MODALITIES if rng.random() < 0.5),
          rng.random() < 0.1) for i in range(int(rng.integers(1, 4)))]
      candidates[query] = {
          m: [{'item': int(i), 'row': int(rng.integers(few))}
              for i in rng.permutation(few + 3)[:2]]
          for m in _MODALITIES if m != _MODALITIES[own]}
  decision = answers_lib.Decision(dict(accepted), [], {}, {})
  found = doubts.withhold(
      decision, votes, before, candidates, _MODALITIES, _may_be_one)
  meant, slips = _plain(accepted, votes, before, candidates)
  assert found.doubtful.keys() == meant.keys() | slips.keys()
  for query, why in found.doubtful.items():
    assert why == meant[query] if query in meant else why in slips[query]
  assert found.accepted == {q: row for q, row in accepted.items()
                            if q not in found.doubtful}


class _Counted(str):
  """A query that counts how often it is compared."""

  compared = 0
  __hash__ = str.__hash__

  def __eq__(self, other):
    _Counted.compared += 1
    return str.__eq__(self, other)

  def __ne__(self, other):
    _Counted.compared += 1
    return str.__ne__(self, other)


@pytest.mark.parametrize('n', [1, 2, 4, 5, 500])
def test_many_queries_of_one_counterpart_are_each_compared_with_few(n):
  queries = [_Counted(f'image-{i}') for i in range(n)]
  rows = {query: (i, 7) for i, query in enumerate(queries)}
  votes = {query: [_vote(query, row, 'ann')] for query, row in rows.items()}
  _Counted.compared = 0
  found = doubts.withhold(answers_lib.Decision(rows, [], {}, {}), votes, {}, {},
                      ('image', 'text'))
  assert _Counted.compared < 20 * n
  assert len(found.doubtful) == (n if n > 1 else 0)
  if n > 1:
    others = [query for query in queries[:4] if query != 'image-1'][:3]
    assert found.doubtful['image-1'] == (
        f'text 7 is the counterpart of {", ".join(others)}'
        f'{f" and {n - 4} more" if n > 4 else ""}, too')
