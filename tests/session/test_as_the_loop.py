"""A session asks what a run asks, and learns what it learns."""

import numpy as np
import pytest

from mmal_jax import loop
from mmal_jax import remaining_matches
from mmal_jax import state as state_lib
from mmal_jax.acquire import registry
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.evaluate import evaluate
from mmal_jax.oracles import exact
from mmal_jax.session import learners
from tests.session import known
from tests.support import tiny

_ROUNDS, _BATCH = 3, 6


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


def _run(hidden, strategy, learner, values):
  """The states of the loop on the same features, with the same answers."""
  session = known.session(hidden)
  pools = session._given.pools
  made = learners.make(
      pools, learner, values, strategy, False, _ROUNDS * _BATCH, 3)
  test = encode.EncodedPairs(
      {m: items.take(np.arange(8)) for m, items in pools.items.items()},
      schema.no_groups(8))
  state = state_lib.initial_state(
      made.params, made.learner.init(made.params), pools.sizes,
      evaluate.metric_names(test), _ROUNDS, _BATCH, 3, made.restart)
  *_, last = loop.run_rounds(
      state, made.learner, registry.find(strategy),
      exact.exact(hidden.tuples, tuple(hidden.items)), pools, test, made.plan)
  return last, made


def _asked(state):
  return [[(state.modalities[c], n) for c, n in zip(columns, numbers)]
          for columns, numbers in zip(
              state.query_modalities.tolist(), state.queries.tolist())]


@pytest.mark.parametrize('strategy,learner,values,modalities', [
    ('mmal_plus', 'closed_form', {}, ('image', 'text')),
    ('mmal', 'closed_form', {'rank': 4}, ('image', 'text')),
    ('coreset@both', 'closed_form', {}, ('image', 'text')),
    ('mmal_plus', 'closed_form', {}, ('image', 'text', 'audio')),
    pytest.param(
        'mmal', 'gradient', {'steps_per_round': 5, 'batch_size': 8},
        ('image', 'text'), marks=pytest.mark.long)])
@pytest.mark.parametrize('budget', [None, _ROUNDS * _BATCH])
def test_the_same_questions_and_the_same_model(
    strategy, learner, values, modalities, budget):
  hidden = known.hidden(modalities=modalities)
  last, made = _run(hidden, strategy, learner, values)
  session = known.session(
      hidden, strategy=strategy, learner=learner, values=values, seed=3,
      budget=budget)
  asked = []
  for _ in range(_ROUNDS):
    questions = session.ask(_BATCH)
    asked.append(known.names(questions))
    # In another order than asked.
    for question in list(questions)[::-1]:
      session.tell({question: hidden.answer(question)})
  session.fit()
  assert asked == _asked(last)
  np.testing.assert_array_equal(
      session.known, last.aligned_rows)
  if budget is None:
    return  # Other sizes may round sums otherwise.
  tiny.assert_same(session._state.run.params, last.params)
  assert session._state.run.skills[_ROUNDS - 1] == pytest.approx(
      last.skills[-1], nan_ok=True)
  assert not session.ask(_BATCH)  # The budget is spent.
  if learner == 'closed_form':
    found = session.match(0.5)
    expected = remaining_matches.match(
        last, made.learner, made.pools, 5)[found.modalities]
    np.testing.assert_array_equal(
        found.ways[found.modalities].items, expected.items)


def test_a_match_may_miss_some_where_that_is_allowed():
  hidden = known.hidden()
  session = known.session(hidden)
  known.tell_all(hidden, session, session.ask(12))
  all_, some = session.match(0.5), session.match(0.5, recall=0.5)
  for way in all_.ways:
    assert all_.ways[way].recall is None and some.ways[way].recall > 0.5
    np.testing.assert_array_equal(all_.ways[way].items, some.ways[way].items)


def test_asking_again_gives_the_same_until_all_is_told():
  hidden = known.hidden()
  session = known.session(hidden)
  first = session.ask(4)
  again = session.ask(9)
  assert known.names(again) == known.names(first)
  assert [q.candidates for q in again] == [q.candidates for q in first]
  session.tell({first[1]: hidden.answer(first[1])})
  assert known.names(session.ask()) == [
      name for i, name in enumerate(known.names(first)) if i != 1]
  other = known.session(hidden)
  assert known.names(other.ask(4)) == known.names(first)
  assert known.names(known.session(hidden, seed=1).ask(4)) != (
      known.names(first))


def test_what_is_open_stays_open_while_others_are_learnt():
  hidden = known.hidden()
  session = known.session(hidden)
  first = session.ask(8)
  session.tell({q: hidden.answer(q) for q in first[:6]})
  assert session.fit()[:2] == (1, 6)
  assert session.fit()[:2] == (1, 6)  # There is nothing new.
  assert known.names(session.ask(3)) == known.names(first[6:])
  session.tell([hidden.answer(q) for q in first[6:]])
  more = session.ask(3)
  assert not {*known.names(more)} & {*known.names(first)}
  assert session.fit().answers == 8


def test_pairs_that_are_known_are_learnt_before_the_first_question():
  hidden = known.hidden()
  session = known.session(hidden, known_pairs=hidden.tuples[:12], budget=5)
  questions = session.ask(9)
  assert len(questions) == 5 and session.fit().answers == 12
  numbers = {m: set(hidden.tuples[:12, c].tolist())
             for c, m in enumerate(hidden.items)}
  assert not any(q.number in numbers[q.modality] for q in questions)
  assert len(session.match(0.0).rows) == 48


def test_what_is_put_aside_is_matched_and_not_asked_again():
  hidden = known.hidden()
  session = known.session(hidden)
  questions = session.ask(20)
  aside = questions[:2]
  session.tell(
      {aside[0]: 'skip', aside[1]: 'none of these'}
      | {q: hidden.answer(q) for q in questions[2:]})
  assert len(session.known) == 18
  asked = {*known.names(questions)}
  while more := session.ask(10):
    assert not {*known.names(more)} & asked
    asked |= {*known.names(more)}
    session.tell(['skip'] * len(more))
    if len(asked) > 30:
      break
  found = session.match(0.0)
  column = found.modalities.index(aside[0].modality)
  assert aside[0].number in found.rows[:, column]
  # Who thinks again may still answer it.
  session.tell({aside[0]: hidden.answer(aside[0])})
  assert len(session.known) == 19


def test_matches_are_right_and_calibrated():
  hidden = known.hidden(120)
  session = known.session(hidden, strategy='random')
  known.tell_all(hidden, session, session.ask(40))
  found = session.match(0.9)
  true = {tuple(row) for row in hidden.tuples.tolist()}
  order = [list(hidden.items).index(m) for m in found.modalities]
  right = [tuple(np.array(row)[order]) in true for row in found.rows.tolist()]
  assert len(right) > 60 and np.mean(right) > 0.9
  assert (np.diff(found.probabilities) <= 1e-9).all()
  assert found.probabilities.min() >= 0.9


def test_numbers_that_count_from_one_are_suspected():
  hidden = known.hidden()
  session = known.session(hidden, strategy='random')
  questions = session.ask(30)
  session.tell([(hidden.answer(q) + 1) % 60 for q in questions])
  with pytest.warns(UserWarning, match='numbered from 0'):
    session.match()


def test_all_can_be_asked():
  hidden = known.hidden(15)
  session, count = known.session(hidden), 0
  while questions := session.ask(4):
    count += len(questions)
    known.tell_all(hidden, session, questions)
  assert len(session.known) == 15 and count <= 30
