"""A run whose annotators answer through files."""

import json

import numpy as np
import pytest

from mmal_jax.oracles import journal as journal_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import files
from tests.support import tiny

MODALITIES = ('image', 'text')


def _annotate(folder, tuples, every=1):
  """Answers, of all queries that are open, the first of each `every`."""
  asked = [json.loads(line) for path in sorted(folder.glob('round_*'))
           for line in (path / 'queries.jsonl').read_text().splitlines()]
  file = folder / 'answers' / 'ann.jsonl'
  given = file.read_text() if file.exists() else ''
  left = [q for q in asked if f'"{q["query"]}"' not in given]
  for query in left[::every]:
    own = MODALITIES.index(query['modality'])
    row, = tuples[tuples[:, own] == query['item']]
    given += json.dumps({'query': query['query'], 'annotator': 'ann',
                         'answer': int(row[1 - own])}) + '\n'
  file.write_text(given)
  return asked


def test_a_run_that_waits_and_is_started_anew_is_the_oracle_s(
    tiny_run, tmp_path):
  *_, exact = tiny_run.rounds('coreset')
  shown = {m: tiny_run.pools.items[m].values for m in MODALITIES}
  state, waits = None, 0
  while state is None or state.round < len(state.queries):
    oracle = files.files(tmp_path, shown, candidates=5)
    try:
      for state in tiny_run.rounds('coreset', state, oracle=oracle):
        pass
    except oracle_lib.Waiting:
      waits += 1
      _annotate(tmp_path, tiny_run.hidden.tuples)
  assert waits >= 4
  np.testing.assert_array_equal(state.aligned, exact.aligned)
  np.testing.assert_array_equal(state.queries, exact.queries)


def test_late_answers_come_into_the_run(tiny_run, tmp_path):
  shown = {m: tiny_run.pools.items[m].values for m in MODALITIES}
  truth = {tuple(row) for row in tiny_run.hidden.tuples.tolist()}
  now = [0.0]

  def sleep(seconds):
    now[0] += seconds
    _annotate(tmp_path, tiny_run.hidden.tuples, every=2)

  oracle = files.files(tmp_path, shown, candidates=5, enough=0.5,
                       wait_seconds=60, sleep=sleep, clock=lambda: now[0])
  counts = []
  for state in tiny_run.rounds('mmal', oracle=oracle):
    counts.append(int(state.num_aligned))
  asked = _annotate(tmp_path, tiny_run.hidden.tuples)
  assert len({q['query'] for q in asked}) == len(asked) == 16
  rows = [tuple(row) for row in state.aligned[:counts[-1]].tolist()]
  assert truth >= set(rows) and len(set(rows)) == len(rows)
  assert counts[1] == 2 and 2 < counts[2] < 8 and counts[-1] > 8
  ledger = (tmp_path / 'ledger.jsonl').read_text().splitlines()
  assert len(ledger) >= counts[-1]


def _annotate_in_part(folder, tuples):
  """Answers the first half of the newest round, and all that came before."""
  paths = sorted(folder.glob('round_*'))
  asked = [[json.loads(line) for line in (
      path / 'queries.jsonl').read_text().splitlines()] for path in paths]
  before = np.cumsum([0] + [len(queries) for queries in asked])
  newest = (before[-1] - 1) // tiny.BATCH
  for path, queries, first in zip(paths, asked, before):
    late = first // tiny.BATCH < newest
    with (folder / 'answers' / f'{path.name}.jsonl').open('w') as file:
      for query in queries[:None if late else -(-len(queries) // 2)]:
        own = MODALITIES.index(query['modality'])
        row, = tuples[tuples[:, own] == query['item']]
        file.write(json.dumps({
            'query': query['query'], 'annotator': 'ann',
            'answer': int(row[1 - own])}) + '\n')


def _journaled(tiny_run, oracle, path):
  """The last state of a run, computed from its first round on."""
  journal = journal_lib.Journal(path, oracle, MODALITIES)
  for state in tiny_run.rounds('mmal', oracle=journal):
    journal.begin(int(state.round))
  return state


@pytest.mark.parametrize('idle', [0, 1])
def test_a_run_computed_anew_after_every_wait_is_the_uninterrupted_one(
    tiny_run, tmp_path, idle):
  shown = {m: tiny_run.pools.items[m].values for m in MODALITIES}
  tuples = tiny_run.hidden.tuples
  now, there = [0.0], tmp_path / 'there'

  def sleep(seconds):
    now[0] += seconds
    _annotate_in_part(there, tuples)

  oracle = files.files(there, shown, candidates=5, enough=0.5,
                       wait_seconds=60, sleep=sleep, clock=lambda: now[0])
  whole = _journaled(tiny_run, oracle, tmp_path / 'there.journal')
  # Of the last round a half, of those before it all.
  assert whole.annotations == 4 + 4 + 4 + 2
  here, starts, done = tmp_path / 'here', 0, False
  while not done:
    oracle = files.files(here, shown, candidates=5, enough=0.5)
    try:
      state = _journaled(tiny_run, oracle, tmp_path / 'here.journal')
      done = True
    except oracle_lib.Waiting:
      if starts % (idle + 1) == idle:
        _annotate_in_part(here, tuples)
    starts += 1
  assert starts == tiny.ROUNDS * (idle + 1) + 1
  for folder in (there, here):
    asked = [line for path in folder.glob('round_*')
             for line in (path / 'queries.jsonl').read_text().splitlines()]
    assert len(asked) == tiny.ROUNDS * tiny.BATCH
  for name in ('queries', 'query_modalities', 'answers', 'aligned', 'losses'):
    np.testing.assert_array_equal(getattr(state, name), getattr(whole, name))
  assert (tmp_path / 'here.journal').read_text() == (
      tmp_path / 'there.journal').read_text()
  # All that came before the last round, and of the last one half.
  used = {tuple(row) for row in state.aligned.tolist()}
  place = {(state.modalities[c], int(n)): t for t in range(tiny.ROUNDS)
           for c, n in zip(state.query_modalities[t], state.queries[t])}
  for line in (here / 'ledger.jsonl').read_text().splitlines():
    modality, number = json.loads(line)['query'].split('-')
    row, = tuples[tuples[:, MODALITIES.index(modality)] == int(number)]
    if place[modality, int(number)] < tiny.ROUNDS - 1:
      assert tuple(row.tolist()) in used
  # And computed anew once it is over, it is the same without a question.
  _annotate_in_part(here, tuples)
  again = _journaled(
      tiny_run, files.files(here, shown), tmp_path / 'here.journal')
  np.testing.assert_array_equal(again.aligned, whole.aligned)
