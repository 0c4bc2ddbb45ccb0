"""Answers that are corrected, candidates that are rejected, disputes."""

import numpy as np
import pytest

from mmal_jax.learn import pseudo
from mmal_jax.session import book
from mmal_jax.session import likely
from mmal_jax.session import session as session_lib
from mmal_jax.session import state as state_lib
from tests.session import known

load = session_lib.Session.load


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


def _wrong(hidden, questions):
  """A counterpart that belongs to none of the questions."""
  taken = {hidden.answer(q) for q in questions}
  return next(n for n in range(60) if n not in taken)


def _model(session):
  return np.asarray(session.embeddings('image'))


@pytest.mark.parametrize('learnt', [False, True])
def test_a_corrected_answer_holds_and_the_first_one_leaves_no_trace(
    tmp_path, learnt):
  hidden = known.hidden()
  session, right = known.session(hidden, folder=tmp_path / 's'), (
      known.session(hidden))
  questions = session.ask(8)
  answers = [hidden.answer(q) for q in right.ask(8)]
  wrong = _wrong(hidden, questions)
  session.tell([wrong, *answers[1:]])
  if learnt:
    session.fit()
  session.tell({questions[0]: answers[0]})
  right.tell(answers)
  np.testing.assert_array_equal(
      sorted(session.known.tolist()), sorted(right.known.tolist()))
  assert session.fit()[:2] == (1 + learnt, 8) and right.fit().answers == 8
  if not learnt:  # Else it is another round, of other draws.
    np.testing.assert_array_equal(_model(session), _model(right))
  loaded = load(tmp_path / 's')
  np.testing.assert_array_equal(loaded.known, session.known)
  np.testing.assert_array_equal(_model(loaded), _model(session))
  assert known.names(loaded.ask(4))
  # What was corrected is free for another item.
  assert wrong not in loaded.known[:, list(hidden.items).index(
      next(m for m in hidden.items if m != questions[0].modality))]


def test_a_correction_that_a_crash_left_unlearnt_is_learnt(tmp_path):
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's')
  questions = session.ask(8)
  session.tell([_wrong(hidden, questions),
                *(hidden.answer(q) for q in questions[1:])])
  session.fit()
  session.tell({questions[0]: hidden.answer(questions[0])})
  loaded = load(tmp_path / 's')
  assert loaded.fit()[:2] == (2, 8)
  again = load(tmp_path / 's')
  np.testing.assert_array_equal(_model(again), _model(loaded))
  true = {tuple(row) for row in hidden.tuples.tolist()}
  assert {tuple(row) for row in again.known.tolist()} <= true


def test_a_correction_that_is_taken_back_is_loaded_alike(tmp_path):
  """The order of what is known is that of telling, also for what is learnt."""
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's')
  questions = session.ask(8)
  answers = [hidden.answer(q) for q in questions]
  session.tell(answers)
  session.fit()
  session.tell({questions[0]: _wrong(hidden, questions)})
  session.tell({questions[0]: answers[0]})
  before = session._state.run.aligned_rows
  loaded = load(tmp_path / 's')
  np.testing.assert_array_equal(loaded._state.run.aligned_rows, before)
  assert len(before) == 7 and len(loaded.known) == 8
  assert loaded._state.is_stale and loaded.fit().answers == 8


def test_two_answers_change_places():
  hidden = known.hidden()
  session = known.session(hidden)
  questions = session.ask(2)
  one, other = (hidden.answer(q) for q in questions)
  session.tell({questions[0]: other, questions[1]: one})
  with pytest.raises(ValueError, match='is known to go otherwise'):
    session.tell({questions[0]: one})
  session.tell({questions[0]: one, questions[1]: other})
  true = {tuple(row) for row in hidden.tuples.tolist()}
  assert {tuple(row) for row in session.known.tolist()} <= true


def test_who_answered_may_correct_it_and_nobody_else():
  hidden = known.hidden()
  session = known.session(hidden)
  question, = session.ask(1)
  good = hidden.answer(question)
  session.tell({question: (good + 1) % 60}, by='Ann')
  with pytest.raises(ValueError, match='was answered by Ann: say by='):
    session.tell({question: good})
  with pytest.raises(ValueError, match='is known to go otherwise'):
    session.tell({question: good}, by='Bob')
  session.tell({question: good}, by='Ann')
  assert session.known.tolist() in [[[question.number, good]],
                                    [[good, question.number]]]


def test_who_changes_their_mind_opens_the_question_again(tmp_path):
  hidden = known.hidden()
  session = known.session(hidden, people=2, folder=tmp_path / 's')
  questions = session.ask(6)
  answers = [hidden.answer(q) for q in questions]
  for who in ('Ann', 'Bob'):
    session.tell(answers, by=who)
  session.fit()
  wrong = _wrong(hidden, questions)
  session.tell({questions[0]: wrong}, by='Ann')
  for _ in range(2):
    assert known.names(session.ask()) == known.names(questions[:1])
    assert len(session.known) == 5
    session = load(tmp_path / 's')
  session.tell({questions[0]: wrong}, by='Bob')
  assert len(session.known) == 6 and session.fit().answers == 6
  asked = known.names(session.ask(3))
  assert asked == known.names(load(tmp_path / 's').ask(3))


def test_one_answer_of_two_that_say_the_same_is_corrected():
  """From either side: what one of them says remains known."""
  modalities = ('image', 'text')
  before = {('image', 3): (3, 4), ('text', 4): (3, 4)}
  records = [*book.records_of(0, book.unanswered(before, modalities)),
             *book.records_of(0, before)]
  hidden = known.hidden()
  session = known.session(hidden)
  state = book.replayed(session._made, records, None)
  state = state_lib.without_learning(session._made, state)
  left = state_lib.with_answers(state, {('image', 3): (-1, -1)})
  assert left.run.aligned_rows.tolist() == [[3, 4]] and left.is_stale
  none = state_lib.with_answers(left, {('text', 4): (-1, -1)})
  assert not len(none.run.aligned_rows)
  assert state_lib.open_items(none) == list(before)


@pytest.mark.parametrize('people', [1, 2])
def test_who_skips_first_may_answer_later(people):
  """An answer of one who had put the question aside was lost."""
  hidden = known.hidden()
  session = known.session(hidden, people=people)
  question, = session.ask(1)
  for who in ('Ann', 'Bob')[:people]:
    session.tell({question: 'skip'}, by=who)
  assert question.number not in [q.number for q in session.ask(1)]
  for who in ('Ann', 'Bob')[:people]:
    assert not len(session.known)
    session.tell({question: hidden.answer(question)}, by=who)
  assert len(session.known) == 1


def test_a_dispute_is_put_aside():
  hidden = known.hidden()
  session = known.session(hidden, people=2)
  questions = session.ask(2)
  answers = [hidden.answer(q) for q in questions]
  session.tell(answers, by='Ann')
  session.tell([_wrong(hidden, questions), answers[1]], by='Bob')
  assert known.names(session.ask(1)) == known.names(questions[:1])
  with pytest.raises(ValueError, match='is answered'):
    session.put_aside(questions)
  session.put_aside(questions[:1])
  assert not {*known.names(session.ask(1))} & {*known.names(questions)}
  session.tell({questions[0]: answers[0]}, by='Cy')
  assert len(session.known) == 2


def test_candidates_that_were_rejected_are_named_no_more(tmp_path):
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's', candidates=3)
  questions = session.ask(12)
  first, skipped = questions[:2]
  (other, rejected), = first.candidates.items()
  session.tell({(first.modality, first.number): 'none of these',
                skipped: 'skip'} | {
                    q: hidden.answer(q) for q in questions[2:]})
  for is_loaded in (False, True):
    one = load(tmp_path / 's') if is_loaded else session
    one.fit()
    named = one.candidates(first.modality, first.number, other, 48)
    assert not {*named} & {*rejected} and len(named) > 40
    assert {*one.candidates(skipped.modality, skipped.number, other, 48)} & {
        *skipped.candidates[other]}
    for number in rejected:  # Nor the other way round.
      assert first.number not in one.candidates(
          other, number, first.modality, 48)
    found = one.match(0.0)
    for way, counterpart in found.ways.items():
      pairs = [(item, n) for item, some in zip(
          counterpart.items.tolist(), counterpart.counterparts.tolist())
               for n in some]
      mine = [(first.number, n) for n in rejected]
      assert not {*pairs} & {*(mine if way == (first.modality, other) else
                               [pair[::-1] for pair in mine])}
    session = one
  # Who finds it all the same may say so.
  session.tell({first: rejected[0]})
  assert len(session.known) == 11


@pytest.mark.long
def test_what_was_rejected_is_no_pseudo_pair(monkeypatch):
  hidden, found = known.hidden(), []
  session = known.session(
      hidden, learner='gradient', candidates=20, values={
          'steps_per_round': 2, 'batch_size': 8, 'pseudo_pairs': 3.0})
  pairs = pseudo.pairs

  def recorded(*args):
    found.append(pairs(*args))
    return found[-1]

  monkeypatch.setattr(pseudo, 'pairs', recorded)
  rejected = set()
  for _ in range(3):
    questions = session.ask(8)
    for question in questions[:4]:
      rejected |= {frozenset({(question.modality, question.number), (m, n)})
                   for m, some in question.candidates.items() for n in some}
    session.tell(['none of these'] * 4 + [
        hidden.answer(q) for q in questions[4:]])
    session.fit()
  taken = np.concatenate(found)
  assert len(taken) > 10 and len(rejected) == 240
  assert not likely.pairs_of(taken, tuple(hidden.items)) & rejected


def test_what_two_people_reject_is_rejected_and_not_what_one_does():
  hidden = known.hidden()
  session = known.session(hidden, people=2)
  question, = session.ask(1)
  (other, rejected), = question.candidates.items()

  def named():
    return {*session.candidates(question.modality, question.number, other, 60)}

  session.tell({question: 'none of these'}, by='Ann')
  session.tell({question: 'none of these'}, by='Ann')
  assert {*rejected} <= named()
  session.tell({question: 'none of these'}, by='Bob')
  assert not {*rejected} & named()


def test_candidates_are_none_that_an_answer_names_already():
  hidden = known.hidden()
  session = known.session(hidden)
  questions = session.ask(5)
  (other, likely), = questions[1].candidates.items()
  session.tell({questions[0]: likely[0]})
  for question in session.ask():
    assert likely[0] not in question.candidates[other]
    assert len(question.candidates[other]) == 5


def test_the_place_of_a_question_is_no_item():
  """`{0: 17}` was taken for item 0, if that had been asked about."""
  hidden = known.hidden()
  session = known.session(hidden)
  question, = session.ask(1)
  session.tell({question: 'skip'})
  session.ask(1)
  with pytest.raises(ValueError, match='names an item of any modality'):
    session.tell({question.number: 3})
