"""Several programs with one mirror: one of them has it."""

import contextlib
from unittest import mock

import pytest

from mmal_jax.workdir import layout
from mmal_jax.workdir import mirror as mirror_lib
from mmal_jax.workdir import mirror_folder
from mmal_jax.workdir import mirrored
from tests.support import bucket
from tests.workdir import test_mirror

_JOURNAL = f'{layout.JOURNALS}/mmal-seed0.journal'
_begin, _answer = test_mirror._begin, test_mirror._answer
_config, _files = test_mirror._config, test_mirror._files
_opened = test_mirror._opened


@pytest.fixture(name='place', params=['memory', 'gs'])
def _place(request, tmp_path):
  """Where nothing can be locked."""
  with contextlib.ExitStack() as stack:
    stack.enter_context(
        bucket.in_memory() if request.param == 'memory' else
        bucket.in_place_of_gs(tmp_path / 'buckets'))
    stack.enter_context(mock.patch.object(mirror_lib, '_SETTLED_SECONDS', 0))
    yield {'memory': 'memory://m/run', 'gs': 'gs://b/run'}[request.param]


def test_who_reads_a_mirror_has_it_from_then_on(place, tmp_path):
  """Not only when it has prepared its data, which may take long."""
  made = _begin(tmp_path / 'w', place)
  _opened(tmp_path / 'new', place)
  _answer(tmp_path / 'w', 'two')
  with pytest.raises(mirror_lib.TakenOver, match='for the workdir .*new'):
    made.copy_journal(tmp_path / 'w' / _JOURNAL)
  assert _files(place)[_JOURNAL] == b'one\n'


def test_a_copy_that_was_on_its_way_comes_back_too(place, tmp_path):
  made = _begin(tmp_path / 'w', place)

  def slept(seconds):
    del seconds
    made._at.write(_JOURNAL, b'one\ntwo\n')  # Begun before it was taken over.

  with mock.patch.object(mirror_lib.time, 'sleep', slept):
    _opened(tmp_path / 'new', place)
  assert (tmp_path / 'new' / _JOURNAL).read_bytes() == b'one\ntwo\n'


def test_who_tries_again_looks_whose_the_mirror_is(
    place, tmp_path, monkeypatch):
  """It may be long until a network is there again."""
  folder = tmp_path / 'w'
  made = _begin(folder, place)
  put, failures = mirror_folder.Folder._put, [ConnectionError('down')]

  def fails(self, name, content):
    if name == _JOURNAL and failures:
      raise failures.pop()
    put(self, name, content)

  def slept(seconds):
    if seconds:
      other = _opened(tmp_path / 'new', place)
      _answer(tmp_path / 'new', 'of the other')
      other.copy()

  monkeypatch.setattr(mirror_folder.Folder, '_put', fails)
  monkeypatch.setattr(mirror_folder.time, 'sleep', slept)
  _answer(folder, 'two')
  with pytest.raises(mirror_lib.TakenOver):
    made.copy_journal(folder / _JOURNAL)
  assert _files(place)[_JOURNAL] == b'one\nof the other\n'


def test_an_experiment_that_another_has_begun_since_is_not_removed(
    place, tmp_path):
  (tmp_path / 'late').mkdir()
  late = mirror_lib.Mirror(place, tmp_path / 'late')
  late.bring_back(_config(place).to_dict(), False)
  assert not late.begun
  _begin(tmp_path / 'w', place)
  before = _files(place)
  with pytest.raises(mirror_lib.TakenOver, match='is used by another program'):
    late.make_room(None)
  # Though it is its own again: the other one has ended.
  late.enter()
  with pytest.raises(mirror_lib.TakenOver, match='has just begun'):
    late.make_room(None)
  assert _files(place) == before


def test_who_is_refused_takes_nothing_over(place, tmp_path):
  made = _begin(tmp_path / 'w', place)
  _opened(tmp_path / 'apart', place)
  made.enter()
  _answer(tmp_path / 'w', 'two')
  _answer(tmp_path / 'apart', 'another two')
  made.copy()
  before = (made._at.root / mirrored.OWNER).read_bytes()
  for name, changes in (('apart', {}), ('new', {'rounds': 3})):
    with pytest.raises(ValueError, match='two places|another experiment'):
      _opened(tmp_path / name, place, **changes)
  assert (made._at.root / mirrored.OWNER).read_bytes() == before
  made.copy()
