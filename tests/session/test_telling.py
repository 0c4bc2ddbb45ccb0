"""Answers of all kinds, of several people, and slips."""

import numpy as np
import pytest

from mmal_jax.session import answers as answers_lib
from mmal_jax.session import book
from mmal_jax.session import votes
from tests.session import known

_SIZES = {'image': 5, 'text': 4}
_OPEN = [('image', 3), ('text', 0)]
_THREE = {'image': 5, 'text': 4, 'audio': 6}


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


@pytest.mark.parametrize('given', [
    [2, 'no counterpart'], (np.int64(2), 'no counterpart'),
    {('image', 3): 2, ('text', 0): 'no counterpart'},
    {('image', np.int32(3)): {'text': 2}, ('text', 0): {
        'image': 'no counterpart'}}])
def test_forms_of_answers(given):
  said = answers_lib.parsed(given, _OPEN, _SIZES)
  assert said == ({('image', 3): (3, 2), ('text', 0): (-1, 0)}, [])


def test_questions_that_are_put_aside():
  said = answers_lib.parsed(['skip', 'none of these'], _OPEN, _SIZES)
  assert said == ({}, _OPEN)


def test_three_modalities():
  said = answers_lib.parsed(
      {('image', 1): {'text': 2, 'audio': None},
       ('audio', 5): 'no counterpart'}, [], _THREE)
  assert said.rows == {('image', 1): (1, 2, -1), ('audio', 5): (-1, -1, 5)}


@pytest.mark.parametrize('given,said', [
    ([1], '1 answers are given, and 2 questions are open'),
    ([1, 2, 3], 'and 2 questions are open'),
    ({('image', 5): 1}, 'there is no image 5: numbers are 0 to 4'),
    ({('image', -1): 1}, 'there is no image -1'),
    ({('video', 1): 1}, "'video' is none of image, text"),
    ({('image', 3): 4}, 'image 3: there is no text 4: numbers are 0 to 3'),
    ({('image', 3): -1}, 'there is no text -1'),
    ({('image', 3): True}, 'True must be the number of a text'),
    ({('image', 3): 1.0}, '1.0 must be the number of a text'),
    ({('image', 3): None}, 'None must be the number of a text'),
    ({('image', 3): 'nope'}, "'no counterpart', 'none of these' or 'skip'"),
    ({('image', 3): {'audio': 1}}, 'image 3 needs an answer about text'),
    ({3: 1}, '3 names an item of any modality'),
    ({'image-3': 1}, 'is no question'), ({('image', '3'): 1}, 'no question'),
    ({('image', 3): [1, 2]}, 'must be the number of a text')])
def test_slips_are_named(given, said):
  with pytest.raises(ValueError, match='(?s)' + said.replace('(', r'\(')):
    answers_lib.parsed(given, _OPEN, _SIZES)


def test_a_word_is_about_the_whole_question():
  with pytest.raises(ValueError, match='of an audio, or None for none'):
    answers_lib.parsed({('image', 1): {'text': 2, 'audio': 'none of these'}},
                       [], _THREE)


def test_all_slips_are_named_at_once():
  with pytest.raises(ValueError) as e:
    answers_lib.parsed(
        {('image', 9): 1, ('image', 3): 7, ('text', 0): 'x'}, _OPEN, _SIZES)
  assert 'answers has 3 problem(s)' in str(e.value)


@pytest.mark.parametrize('given', [None, 'skip', 3, {1, 2}])
def test_what_is_no_answers(given):
  with pytest.raises(TypeError, match='answers=.*must be answers by question'):
    answers_lib.parsed(given, _OPEN, _SIZES)


@pytest.mark.parametrize('rows,said', [
    ({('image', 1): (1, 2)}, 'image 1 with text 2, but text 2 is known'),
    ({('image', 0): (0, 3)}, 'image 0 with text 3, but image 0 is known'),
    ({('text', 3): (4, 3)}, 'image 4 with text 3, but image 4 is known'),
    ({('image', 0): (0, -1)}, 'image 0 with no text, but image 0 is known'),
    ({('image', 1): (1, 0), ('image', 2): (2, 0)}, 'text 0 is known')])
def test_contradictions_are_named(rows, said):
  earlier = {('image', 0): (0, 2), ('image', 4): (4, -1)}
  with pytest.raises(ValueError, match=said):
    answers_lib.check_consistent(rows, earlier, ('image', 'text'))


def test_the_same_from_either_side_is_no_contradiction():
  answers_lib.check_consistent(
      {('text', 2): (0, 2)}, {('image', 0): (0, 2)}, ('image', 'text'))


@pytest.mark.parametrize('given,error,said', [
    ([[0.5, 1]], TypeError, 'integers are needed'),
    ([[0, 1, 2]], ValueError, r'\[a, 2\] is needed'),
    ([[0, 4]], ValueError, 'row 0: there is no text 4'),
    ([[0, -1]], ValueError, 'row 0 names fewer than two items'),
    ([[0, 1], [0, 2]], ValueError, 'row 1: image 0 is in row 0, too'),
    ([[0, 1], [2, 1]], ValueError, 'text 1 is known to go otherwise')])
def test_known_pairs_that_cannot_be(given, error, said):
  with pytest.raises(error, match=said):
    answers_lib.known_pairs(given, _SIZES)


def test_a_session_takes_all_answers_or_none():
  hidden = known.hidden()
  session = known.session(hidden)
  questions = session.ask(3)
  good = hidden.answer(questions[0])
  with pytest.raises(ValueError, match='there is no'):
    session.tell({questions[0]: good, questions[1]: 1000})
  assert len(session.ask()) == 3
  other = next((m, n) for m in hidden.items for n in range(60)
               if (m, n) not in known.names(questions))
  with pytest.raises(ValueError, match=f'{other[0]} {other[1]}: never asked'):
    session.tell({other: 1, questions[0]: good})
  assert len(session.ask()) == 3
  session.tell({questions[0]: good})
  session.tell({questions[0]: good})  # The same again does no harm.
  with pytest.raises(ValueError, match='is known to go otherwise'):
    session.tell({questions[1]: good})
  with pytest.raises(ValueError, match='is answered'):
    session.tell({questions[0]: 'skip'})
  assert len(session.ask()) == 2 and len(session.known) == 1


def test_two_people_have_to_agree():
  hidden = known.hidden()
  session = known.session(hidden, people=2)
  questions = session.ask(3, by='Ann')
  answers = [hidden.answer(q) for q in questions]
  with pytest.raises(ValueError, match='people=2'):
    session.tell(answers)
  session.tell(answers, by='Ann')
  assert len(session.ask()) == 3 and not session.ask(by='Ann')
  wrong = next(n for n in range(60) if n not in answers)
  with pytest.raises(ValueError, match="'Ann' has answered, which is the same"):
    session.tell(answers, by='ANN')
  session.tell([answers[0], wrong, 'skip'], by='Bob')
  assert len(session.known) == 1
  assert known.names(session.ask()) == known.names(questions[1:])
  assert not session.ask(by='Bob')
  assert known.names(session.ask(by='Cy')) == known.names(questions[1:])
  session.tell({questions[1]: answers[1], questions[2]: answers[2]}, by='Cy')
  assert len(session.known) == 3
  assert not {*known.names(session.ask(3))} & {*known.names(questions)}


def test_a_mind_may_be_changed_while_a_question_is_open():
  hidden = known.hidden()
  session = known.session(hidden, people=2)
  question, = session.ask(1)
  good = hidden.answer(question)
  session.tell({question: (good + 1) % 60}, by='Ann')
  session.tell({question: good}, by='Ann')
  session.tell({question: good}, by='Bob')
  assert len(session.known) == 1


def test_people_may_answer_where_one_is_enough():
  hidden = known.hidden()
  session = known.session(hidden)
  questions = session.ask(2)
  session.tell({questions[0]: hidden.answer(questions[0])}, by='Ann')
  session.tell({questions[1]: 'skip'}, by='Ann')
  assert len(session.known) == 1
  assert not {*known.names(session.ask(2))} & {*known.names(questions)}


@pytest.mark.parametrize('name,error', [
    ('', ValueError), (' x', ValueError), ('x' * 41, ValueError),
    ('a\nb', ValueError), ('\U0001f600' * 20, ValueError), (3, TypeError)])
def test_names_that_are_none(name, error):
  with pytest.raises(error, match='by='):
    votes.person(name)


def test_the_journal_says_what_was_asked_answered_and_put_aside():
  rows = book.unanswered([('image', 1), ('text', 2), ('image', 3)], _SIZES)
  records = [*book.records_of(0, rows),
             *book.records_of(0, {('image', 1): (1, 2)}),
             *book.records_of(1, {('image', 3): (-1, -1)})]
  assert [(r.modality, r.numbers) for r in records] == [
      ('image', (1,)), ('text', (2,)), ('image', (3,)), ('image', (1,)),
      ('image', (3,))]
  first, second = book.rounds(records)
  assert first == ([('image', 1), ('text', 2), ('image', 3)],
                   {('image', 1): (1, 2)}, set())
  assert second == ([], {}, {('image', 3)})
