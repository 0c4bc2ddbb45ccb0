"""Ctrl-C, or a notebook's stop button, at any time: what is on the disk and
what is in memory stay one session.
"""

import os
import threading

import numpy as np
import pytest

from mmal_jax.checkpoint import sealed
from mmal_jax.parallel import processes
from mmal_jax.session import session as session_lib
from mmal_jax.session import state as state_lib
from mmal_jax.session import store as store_lib
from tests.session import known

load = session_lib.Session.load


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


def _where(session):
  state = session._state
  return (list(state_lib.asked(state).items()), state_lib.open_items(state),
          state.aside, state_lib.answered(state))


def test_what_may_be_on_the_disk_is_not_learnt_without(tmp_path, monkeypatch):
  """A session that learnt without it could never be loaded again."""
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's')
  questions = session.ask(3)
  session.tell({questions[0]: hidden.answer(questions[0])})
  sync = os.fsync

  def stop(descriptor):
    sync(descriptor)
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(os, 'fsync', stop)
    with pytest.raises(KeyboardInterrupt):
      session.tell({questions[1]: hidden.answer(questions[1])})
  for learn in (session.fit, session.match):
    with pytest.raises(OSError, match='it was interrupted; open it anew'):
      learn()
  loaded = load(tmp_path / 's')
  assert loaded.fit().answers == 2


@pytest.mark.parametrize('in_folder', [False, True])
@pytest.mark.parametrize('after', [False, True])
def test_between_journal_and_state(tmp_path, monkeypatch, in_folder, after):
  hidden = known.hidden()
  session = known.session(
      hidden, folder=tmp_path / 's' if in_folder else None)
  undisturbed = known.session(hidden)
  known.tell_all(hidden, session, session.ask(5))
  known.tell_all(hidden, undisturbed, undisturbed.ask(5))
  enter = store_lib.Store.enter

  def stop(store, records):
    if after:
      enter(store, records)
    raise KeyboardInterrupt

  def interrupted(call):
    with monkeypatch.context() as patch:
      patch.setattr(store_lib.Store, 'enter', stop)
      with pytest.raises(KeyboardInterrupt):
        call()

  interrupted(lambda: session.ask(4))
  questions = session.ask(9 if after else 4)
  assert known.names(questions) == known.names(undisturbed.ask(4))
  first, second = questions[:2]
  interrupted(lambda: session.tell({first: hidden.answer(first)}))
  assert len(session.ask()) == 4 - after
  session.tell({first: hidden.answer(first), second: 'skip'})
  assert session.fit()[:2] == (2, 6)
  if in_folder:
    loaded = load(tmp_path / 's')
    assert _where(loaded) == _where(session)
    np.testing.assert_array_equal(
        loaded.embeddings('image'), session.embeddings('image'))


def test_what_is_learnt_is_kept_whole(tmp_path, monkeypatch):
  """While it was written a session that was loaded wrote the same round."""
  hidden = known.hidden()
  session = known.session(hidden, folder=tmp_path / 's')
  known.tell_all(hidden, session, session.ask(5))
  may_seal, seal = threading.Event(), sealed.Folder.seal
  from_primary = processes.from_primary

  def wait_to_seal(*args):
    assert may_seal.wait(60)
    seal(*args)

  def stop(work):
    if work.__name__ == 'result' and not may_seal.is_set():
      may_seal.set()
      raise KeyboardInterrupt
    return from_primary(work)

  with monkeypatch.context() as patch:
    patch.setattr(sealed.Folder, 'seal', wait_to_seal)
    patch.setattr(processes, 'from_primary', stop)
    with pytest.raises(KeyboardInterrupt):
      session.fit()
    assert may_seal.is_set() and session._store._kept.steps() == [1]
  assert load(tmp_path / 's').fit()[:2] == (1, 5)
