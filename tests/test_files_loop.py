"""A run whose annotators answer through files."""

import json

import numpy as np

from mmal_jax.align import oracle as oracle_lib
from mmal_jax.align.people import files

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
