"""Questions as pages, and the answers that come back from these."""

import json

import numpy as np
import pytest

from mmal_jax.session import session as session_lib
from tests.session import known
from tests.support import bad_images
from tests.support import page_answers


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


def _content(path):
  data = path.read_text('utf-8').partition('id="data"')[2]
  return json.loads(data.partition('>')[2].partition('</script>')[0])


def _line(question, answer, who='Ann', at=1.0, **more):
  return json.dumps({
      'query': f'{question.modality}-{question.number}', 'annotator': who,
      'answer': answer, 'changed': at, **more}) + '\n'


def _other(question):
  return next(iter(question.candidates))


def test_a_page_asks_what_is_open(tmp_path):
  hidden = known.hidden()
  session = known.session(hidden, candidates=3)
  with pytest.raises(ValueError, match='no question is open'):
    session.page(tmp_path / 'q.html')
  questions = session.ask(4)
  with pytest.raises(ValueError, match=r'must end in \.html'):
    session.page(tmp_path / 'q.txt')
  session.tell({questions[3]: hidden.answer(questions[3])})
  path, = session.page(str(tmp_path / 'q.html'))
  content = _content(path)
  assert path == tmp_path / 'q.html' and content['candidates'] == 3
  assert content['name_letters'] == 40  # `tell` refuses longer names.
  assert [q['item'] for q in content['questions']] == [
      q.number for q in questions[:3]]
  asked = session.ask()
  other = _other(asked[0])
  for on_page, question in zip(content['questions'], asked):
    assert on_page['likely'][other][:3] == [*question.candidates[other]]
  # Written once more it is the same page, with the answers that a browser kept.
  again, = session.page(tmp_path / 'again.html')
  assert _content(again) == content
  # All that no answer names can be searched.
  assert len(content['searched'][other]) == 59


def test_a_page_that_is_written_again_has_its_answers_still(tmp_path):
  """The browser keeps answers by the mark of a page: it is this session's."""
  hidden = known.hidden()

  def mark(session):
    path, = session.page(tmp_path / 'q.html')
    return _content(path)['id']

  one, other = known.session(hidden), known.session(hidden)
  assert known.names(one.ask(3)) == known.names(other.ask(3))
  before = mark(one)
  assert mark(one) == before and mark(other) != before
  one.save(tmp_path / 's')
  before = mark(one)
  one = session_lib.Session.load(tmp_path / 's')
  assert mark(one) == before
  one.tell({one.ask()[0]: 'skip'})
  assert mark(one) != before  # It asks about others.


@pytest.mark.long
@pytest.mark.parametrize('modalities', [
    ('image', 'text'), ('image', 'text', 'audio')])
def test_several_modalities_are_several_pages(tmp_path, modalities):
  hidden = known.hidden(modalities=modalities)
  session = known.session(hidden, strategy='coreset@both')
  known.tell_all(hidden, session, session.ask(6))
  questions = session.ask(6)
  asked = list(dict.fromkeys(q.modality for q in questions))
  paths = session.page(tmp_path / 'q.html')
  assert len(asked) > 1 and [p.name for p in paths] == [
      f'q_{m}.html' for m in asked]
  assert sum(len(_content(p)['questions']) for p in paths) == 6
  assert all(set(_content(p)['others']) == {*modalities} - {m}
             for p, m in zip(paths, asked))


def test_answers_of_a_file_are_told(tmp_path):
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's')
  questions = session.ask(4)
  session.page(tmp_path / 'q.html')
  session.close()  # It takes days.
  session = session_lib.Session.load(tmp_path / 's')
  first, none, skipped, never = questions
  path = tmp_path / 'answers.jsonl'
  path.write_text(
      _line(first, {_other(first): {'item': (hidden.answer(first) + 1) % 60}})
      + _line(first, {_other(first): {'item': hidden.answer(first)}}, at=2.0)
      + _line(none, {_other(none): None}, reason='none of these')
      + _line(skipped, None, reason='skipped')
      + _line(never, {_other(never): None}, reason='no counterpart'))
  session.tell(path)
  session.tell(str(path))  # Once more does no harm.
  true = {tuple(row) for row in hidden.tuples.tolist()}
  assert len(session.known) == 1 and {tuple(*session.known.tolist())} <= true
  assert session.fit().answers == 2
  named = session.candidates(none.modality, none.number, _other(none), 60)
  assert not {*named} & {*none.candidates[_other(none)]}
  assert not {*known.names(session.ask(4))} & {*known.names(questions)}
  # A later file corrects it.
  path.write_text(_line(none, {_other(none): hidden.answer(none)}, at=3.0))
  session.tell(path)
  assert len(session.known) == 2


def test_two_people_answer_by_files(tmp_path):
  hidden = known.hidden(modalities=('image', 'text', 'audio'))
  session = known.session(hidden, people=2)
  questions = session.ask(3)
  for who in ('Ann', 'Bob'):
    (tmp_path / f'{who}.jsonl').write_text(''.join(
        _line(q, hidden.answer(q), who) for q in questions))
  session.tell(tmp_path)  # a folder
  assert len(session.known) == 3


def test_files_that_are_no_answers_are_refused(tmp_path):
  hidden = known.hidden()
  session = known.session(hidden)
  question, = session.ask(1)
  path = tmp_path / 'answers.jsonl'
  with pytest.raises(ValueError, match='is no file: give answers by question'):
    session.tell('skip')
  path.write_text('')
  with pytest.raises(ValueError, match='holds no answer'):
    session.tell(path)
  path.write_text(_line(question, hidden.answer(question)) + json.dumps(
      {'query': 'image-59', 'annotator': 'Ann', 'answer': 3}))
  with pytest.raises(ValueError, match='image-59 was never asked'):
    session.tell(path)
  path.write_text(_line(question, hidden.answer(question)))
  with pytest.raises(ValueError, match='a file of answers says who'):
    session.tell(path, by='Ann')
  other = path.rename(
      tmp_path / 'answers_session_0123456789abcdef_round_1_ann_ff.jsonl')
  with pytest.raises(ValueError, match='those of another session'):
    session.tell(other)
  assert not len(session.known)


def test_all_people_of_a_folder_are_taken_or_none(tmp_path):
  hidden = known.hidden()
  session = known.session(hidden)
  questions = session.ask(2)
  (tmp_path / 'a.jsonl').write_text(
      _line(questions[0], hidden.answer(questions[0])))
  (tmp_path / 'b.jsonl').write_text(
      _line(questions[1], hidden.answer(questions[1]), 'b' * 41))
  with pytest.raises(ValueError, match='must be a name of 1 to 40 letters'):
    session.tell(tmp_path)
  assert not len(session.known) and len(session.ask()) == 2


@pytest.mark.long
def test_a_page_is_answered_in_a_browser(tmp_path):
  photos = tmp_path / 'photos'
  photos.mkdir()
  for i in range(6):
    (photos / f'{i}.png').write_bytes(bad_images.noise(i))
  rows = np.random.default_rng(0).normal(size=(6, 4))
  session = session_lib.Session(
      images=photos, texts=['<b>one</b>', 'two', 'three', 'four', 'five',
                            'six'],
      features={'image': rows, 'text': rows + 0.1}, candidates=3)
  questions = session.ask(4)
  path, = session.page(tmp_path / 'q.html')
  with page_answers.started() as browser:
    page = browser.page(path.as_uri())
    page_answers.meet(page, 'Ann')
    for key in 'nsc2':
      page.press(key)
    file = page_answers.download(browser, page, tmp_path)
  session.tell(file)
  (other, likely), = questions[0].candidates.items()
  assert not {*session.candidates(
      questions[0].modality, questions[0].number, other, 6)} & {*likely}
  column = ['image', 'text'].index(other)
  assert session.known[:, column].tolist() == [
      questions[3].candidates[other][1]]
  assert session.fit().answers == 2
  assert not {*known.names(session.ask(2))} & {*known.names(questions)}
