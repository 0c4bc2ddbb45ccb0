"""Sessions on the disk: saved, loaded, damaged, used by two."""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mmal_jax.acquire import registry
from mmal_jax.session import folder as folder_lib
from mmal_jax.session import session as session_lib
from tests.session import known

load = session_lib.Session.load


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


def _same(one, other):
  assert known.names(one.ask(5)) == known.names(other.ask(5))
  assert [q.candidates for q in one.ask()] == [
      q.candidates for q in other.ask()]
  np.testing.assert_array_equal(one.known, other.known)
  for m in one._modalities:
    np.testing.assert_array_equal(one.embeddings(m), other.embeddings(m))


@pytest.mark.parametrize('options', [
    {}, {'budget': 40}, {'known_pairs': True, 'strategy': 'mmal'}])
@pytest.mark.parametrize('rounds', [0, 1, 3])
def test_what_is_loaded_goes_on_alike(tmp_path, options, rounds):
  hidden = known.hidden()
  if options.get('known_pairs'):
    options = options | {'known_pairs': hidden.tuples[:10]}
  session = known.session(hidden, folder=tmp_path / 's', **options)
  memory = known.session(hidden, **options)
  for _ in range(rounds):
    for one in (session, memory):
      known.tell_all(hidden, one, one.ask(5))
  half = session.ask(5)
  memory.ask(5)
  for one in (session, memory):
    one.tell({half[0]: hidden.answer(half[0]), half[1]: 'skip'})
  loaded = load(tmp_path / 's')
  assert len(loaded.ask()) == 3
  _same(loaded, memory)
  for one in (loaded, memory):
    known.tell_all(hidden, one, one.ask())
  _same(loaded, memory)
  assert loaded.fit()[:2] == memory.fit()[:2]


def test_what_was_learnt_and_is_lost_is_learnt_again(tmp_path):
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's')
  for _ in range(3):
    known.tell_all(hidden, session, session.ask(5))
  before = session.ask(5)
  session.close()
  shutil.rmtree(tmp_path / 's' / folder_lib.STATES)
  loaded = load(tmp_path / 's')
  assert known.names(loaded.ask()) == known.names(before)
  assert [q.candidates for q in loaded.ask()] == [
      q.candidates for q in before]
  # One that was damaged is put aside, and the one before it taken.
  known.tell_all(hidden, loaded, loaded.ask())
  before = loaded.ask(5)
  loaded.close()
  newest = max((tmp_path / 's' / folder_lib.STATES).glob('[0-9]'))
  next(p for p in newest.rglob('*') if p.is_file()).write_bytes(b'x')
  assert known.names(load(tmp_path / 's').ask()) == known.names(before)


def test_a_session_in_memory_is_saved_later(tmp_path):
  hidden = known.hidden(modalities=('image', 'text', 'audio'))
  session = known.session(hidden, people=2)
  questions = session.ask(4)
  answers = [hidden.answer(q) for q in questions]
  session.tell(answers, by='A. /B')
  session.tell(answers[:3] + ['skip'], by='Ü')
  session.save(tmp_path / 's')
  session.save(tmp_path / 's')  # Its own: nothing is to be done.
  session.tell({questions[3]: answers[3]}, by='C')
  loaded = load(str(tmp_path / 's'))
  assert len(loaded.known) == 4 and not loaded.ask(1, by='C')[1:]
  loaded.save(tmp_path / 'other')
  assert len(load(tmp_path / 'other').known) == 4
  assert len(load(tmp_path / 's').known) == 4


def test_a_vote_that_a_crash_left_alone_counts(tmp_path):
  """The person's journal is written before that of the session."""
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's')
  question, = session.ask(1)
  path = tmp_path / 's' / folder_lib.JOURNAL
  before = path.read_bytes()
  session.tell({question: hidden.answer(question)}, by='Ann')
  session.close()
  path.write_bytes(before)
  assert len(load(tmp_path / 's').known) == 1


def test_an_answer_is_on_the_disk_when_tell_returns(tmp_path):
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's')
  questions = session.ask(6)
  for count, question in enumerate(questions, 1):
    session.tell({question: hidden.answer(question)})
    copy = tmp_path / str(count)
    shutil.copytree(tmp_path / 's', copy, ignore=shutil.ignore_patterns(
        '.owner'))
    loaded = load(copy)
    assert len(loaded.known) == count
    if count < 6:
      assert known.names(loaded.ask()) == known.names(questions)[count:]
    loaded.close()


def test_what_cannot_be_written_is_not_taken(tmp_path, monkeypatch):
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's')
  questions = session.ask(2)
  with monkeypatch.context() as patch:
    def full(*unused):
      raise OSError(28, 'No space left on device')

    patch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='session.journal'):
      session.tell({questions[0]: hidden.answer(questions[0])})
  assert len(session.ask()) == 2
  with pytest.raises(OSError, match='takes no more answers'):
    session.tell({questions[0]: hidden.answer(questions[0])})
  loaded = load(tmp_path / 's')  # It may be there, or not, but is not torn.
  known.tell_all(hidden, loaded, loaded.ask())
  assert len(loaded.known) == 2


def test_what_was_interrupted_is_loaded(tmp_path, monkeypatch):
  """A notebook's stop button, while an answer is being written."""
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's')
  questions = session.ask(2)
  with monkeypatch.context() as patch:
    def stop(*unused):
      raise KeyboardInterrupt

    patch.setattr('os.fsync', stop)
    with pytest.raises(KeyboardInterrupt):
      session.tell({questions[0]: hidden.answer(questions[0])})
  with pytest.raises(OSError, match='it was interrupted'):
    session.tell({questions[1]: hidden.answer(questions[1])})
  loaded = load(tmp_path / 's')
  known.tell_all(hidden, loaded, loaded.ask())
  assert len(loaded.known) == 2
  assert len(load(tmp_path / 's').known) == 2


def test_a_later_session_takes_the_folder_of_an_earlier_one(tmp_path):
  hidden = known.hidden()
  first = known.session(hidden, folder=tmp_path / 's')
  first.ask(2)
  second = load(tmp_path / 's')
  with pytest.raises(ValueError, match='another one has its folder'):
    first.ask(2)
  with second:
    known.tell_all(hidden, second, second.ask())
  with pytest.raises(ValueError, match='was closed'):
    second.tell([])
  assert len(load(tmp_path / 's').known) == 2


@pytest.mark.long
def test_another_program_does_not_get_it(tmp_path):
  session = known.session(known.hidden(), folder=tmp_path / 's')
  code = ('import sys\nfrom mmal_jax.session import session\n'
          'session.Session.load(sys.argv[1])')
  out = subprocess.run(
      [sys.executable, '-c', code, str(tmp_path / 's')], capture_output=True,
      text=True, check=False)
  assert out.returncode and 'is in use by process' in out.stderr
  assert session.ask(1)


def test_folders_with_something_to_lose_are_left_alone(tmp_path):
  hidden = known.hidden()
  known.session(hidden, folder=tmp_path / 's').close()
  with pytest.raises(ValueError, match=r'holds a session: Session\.load'):
    known.session(hidden, folder=tmp_path / 's')
  (tmp_path / 'x').mkdir()
  (tmp_path / 'x' / 'notes.txt').write_text('mine')
  with pytest.raises(ValueError, match=r"it holds \['notes.txt'\]"):
    known.session(hidden, folder=tmp_path / 'x')
  with pytest.raises(ValueError, match='holds no session'):
    load(tmp_path / 'x')
  assert [p.name for p in (tmp_path / 'x').iterdir()] == ['notes.txt']
  session = load(tmp_path / 's')
  session.ask(1)
  session.close()
  (tmp_path / 's' / folder_lib.SESSION).unlink()
  with pytest.raises(ValueError, match='holds answers, but no session.json'):
    known.session(hidden, folder=tmp_path / 's')


def test_what_a_crash_left_of_a_new_session_is_no_obstacle(tmp_path):
  hidden = known.hidden()
  known.session(hidden, folder=tmp_path / 's').close()
  (tmp_path / 's' / folder_lib.SESSION).unlink()
  assert known.session(hidden, folder=tmp_path / 's').ask(1)


def _change(path: pathlib.Path) -> None:
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


@pytest.mark.parametrize('name,said', [
    (folder_lib.SESSION, 'session.json'), (folder_lib.RUN, 'run.json'),
    (folder_lib.JOURNAL, 'is damaged'), ('items/image.npy', 'items is damaged'),
    ('items.sha256.json', 'items is damaged'), ('people', 'damaged')])
def test_damage_is_named(tmp_path, name, said):
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's')
  questions = session.ask(3)
  for question in questions:
    session.tell({question: hidden.answer(question)}, by='Ann')
  session.close()
  path = tmp_path / 's' / name
  if path.is_dir():
    path, = path.iterdir()
  _change(path)
  with pytest.raises(ValueError, match=said):
    load(tmp_path / 's')


def test_a_journal_that_lacks_what_was_learnt_is_refused(tmp_path):
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's')
  for _ in range(2):
    known.tell_all(hidden, session, session.ask(3))
  session.fit()
  session.close()
  path = tmp_path / 's' / folder_lib.JOURNAL
  lines = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(b''.join(lines[:-2]))
  with pytest.raises(ValueError, match='holds other answers than those'):
    load(tmp_path / 's')


def test_files_of_another_session_are_refused(tmp_path):
  hidden = known.hidden()
  for name in 'ab':
    session = known.session(hidden, folder=tmp_path / name)
    known.tell_all(hidden, session, session.ask(3))
    session.close()
  shutil.copy(tmp_path / 'a' / folder_lib.JOURNAL,
              tmp_path / 'b' / folder_lib.JOURNAL)
  with pytest.raises(ValueError, match='no answer of it is used'):
    load(tmp_path / 'b')


def test_a_strategy_without_a_name_is_not_saved(tmp_path):
  strategy = registry.find('mmal')
  session = known.session(known.hidden(), strategy=strategy)
  assert session.ask(2)
  with pytest.raises(ValueError, match='its strategy is no name'):
    session.save(tmp_path / 's')


def test_values_of_the_learner_are_kept(tmp_path):
  hidden = known.hidden()
  known.session(hidden, folder=tmp_path / 's', values={'rank': 3}).close()
  assert json.loads((tmp_path / 's' / folder_lib.SESSION).read_text())[
      'values'] == {'rank': 3}
  assert load(tmp_path / 's').embeddings('image').shape == (60, 3)
