"""A workdir's mirror: what is copied, what comes back, and what is refused."""

import contextlib
import json
import os
import pathlib
from unittest import mock

from etils import epath
import ml_collections
import pytest

from mmal_jax.config import config as config_lib
from mmal_jax.workdir import checksums
from mmal_jax.workdir import layout
from mmal_jax.workdir import mirror as mirror_lib
from mmal_jax.workdir import mirror_folder
from mmal_jax.workdir import mirrored
from tests.support import bucket
from tests.support import small_runs

_JOURNAL = f'{layout.JOURNALS}/mmal-seed0.journal'


@pytest.fixture(name='place', params=['local', 'memory', 'gs'])
def _place(request, tmp_path):
  """A path for mirrors, in each kind of file system."""
  with contextlib.ExitStack() as stack:
    if request.param == 'memory':
      stack.enter_context(bucket.in_memory())
    elif request.param == 'gs':
      stack.enter_context(bucket.in_place_of_gs(tmp_path / 'buckets'))
    stack.enter_context(mock.patch.object(mirror_lib, '_SETTLED_SECONDS', 0))
    yield {'local': str(tmp_path / 'mirror'), 'memory': 'memory://m/run',
           'gs': 'gs://bucket/run'}[request.param]


def _config(place, **changes):
  return config_lib.complete(ml_collections.ConfigDict({
      'dataset': {'name': 'features'}, 'model': {'name': 'mlp'},
      'strategies': ('mmal',), 'rounds': 2, 'batch': 2, 'mirror': place,
      **changes}))


def _begin(folder, place, experiment='a'):
  """A workdir as it is after the first answers, and its mirror."""
  folder.mkdir()
  layout.write(folder / layout.PROVENANCE, {'experiment': experiment})
  layout.write(folder / layout.CONFIG, _config(place).to_dict())
  layout.write(folder / layout.ITEMS, {'pool image': 'x'})
  (folder / layout.JOURNALS).mkdir()
  _answer(folder, 'one')
  layout.append(folder / layout.METRICS, small_runs.metrics(0))
  made = mirror_lib.Mirror(place, folder)
  made.bring_back(_config(place).to_dict(), False)
  assert not made.begun
  made.enter()
  made.copy()
  return made


def _answer(folder, text):
  with open(folder / _JOURNAL, 'a', encoding='utf-8') as file:
    file.write(text + '\n')


def _opened(folder, place, **changes):
  folder.mkdir(exist_ok=True)
  made = mirror_lib.Mirror(place, folder)
  made.bring_back(_config(place, **changes).to_dict(), False)
  return made


def _files(folder):
  """What a folder holds, by path."""
  folder = epath.Path(folder)
  found = {}
  for path in folder.iterdir() if folder.is_dir() else ():
    if path.is_dir():
      found |= {f'{path.name}/{k}': v for k, v in _files(path).items()}
    else:
      found[path.name] = path.read_bytes()
  found.pop(mirrored.OWNER, None)
  return found


def test_an_empty_workdir_gets_all_of_the_mirror(place, tmp_path):
  _begin(tmp_path / 'w', place)
  assert _files(place) == _files(tmp_path / 'w')
  made = _opened(tmp_path / 'new', place)
  assert made.begun and _files(tmp_path / 'new') == _files(tmp_path / 'w')
  assert '5 files came back' in made.said[0] and len(made.said) == 1
  assert checksums.experiment_in(tmp_path / 'new') == 'a'
  # As a kill leaves it amid the coming back, before the config.
  (tmp_path / 'new' / layout.CONFIG).unlink()
  (tmp_path / 'new' / layout.METRICS).unlink()
  _opened(tmp_path / 'new', place)
  assert _files(tmp_path / 'new') == _files(tmp_path / 'w')
  assert not _opened(tmp_path / 'w', place).said


def test_what_has_changed_is_copied_and_nothing_else(place, tmp_path):
  folder = tmp_path / 'w'
  made = _begin(folder, place)
  put = []
  with mock.patch.object(
      mirror_folder.Folder, '_put',
      lambda self, name, content: put.append(name)):
    made.copy()
    assert not put
    os.utime(folder / layout.ITEMS)
    _answer(folder, 'two')
    made.copy()
  assert put == [_JOURNAL]
  made = _opened(folder, place)
  made.enter()
  layout.write(folder / layout.SUMMARY, {'x': 1})
  made.copy()
  assert layout.SUMMARY in _files(place)
  layout.append(folder / layout.METRICS, small_runs.metrics(1))
  made.copy()  # It is finished no longer.
  found = _files(place)
  assert layout.SUMMARY not in found and found[_JOURNAL] == b'one\ntwo\n'
  assert found[layout.METRICS] == (folder / layout.METRICS).read_bytes()


def test_what_was_lost_is_not_removed_from_the_mirror(place, tmp_path):
  folder = tmp_path / 'w'
  made = _begin(folder, place)
  before = _files(place)
  for name in (layout.METRICS, _JOURNAL):
    (folder / name).unlink()
  made.copy()
  folder.rename(tmp_path / 'elsewhere')
  with pytest.raises(OSError, match="w' holds no config.json any more"):
    made.copy()
  assert _files(place) == before


def test_a_line_that_is_being_written_is_not_copied(place, tmp_path):
  made = _begin(tmp_path / 'w', place)
  for name in (_JOURNAL, layout.METRICS):
    with open(tmp_path / 'w' / name, 'a', encoding='utf-8') as file:
      file.write('{"half')
  made.copy()
  found = _files(place)
  assert found[_JOURNAL] == b'one\n'
  assert found[layout.METRICS].count(b'\n') == 1


def test_the_longer_journal_stays(place, tmp_path):
  one, other = tmp_path / 'one', tmp_path / 'other'
  made = _begin(one, place)
  _opened(other, place)
  # The other workdir goes on, and the first one comes again.
  _answer(other, 'two')
  layout.append(other / layout.METRICS, small_runs.metrics(1))
  later = mirror_lib.Mirror(place, other)
  later.bring_back(_config(place).to_dict(), False)
  assert later.said == [f'mirror={place!r}: {str(other)!r} is ahead in '
                        f'{_JOURNAL}, {layout.METRICS}, which will be copied.']
  later.enter()
  later.copy()
  with pytest.raises(mirror_lib.TakenOver, match='is used by another program'):
    made.copy()
  with pytest.raises(OSError, match='copies nothing more there'):
    made.copy_journal(one / _JOURNAL)
  layout.write(one / layout.SUMMARY, {'x': 1})
  found = _opened(one, place)
  assert found.said[0] == (
      f'mirror={place!r}: {str(one)!r} was behind in {_JOURNAL}, '
      f'{layout.METRICS}, which came back.')
  assert _files(one) == _files(other) == _files(place)


def test_answers_of_the_workdir_alone_are_kept_with_records_of_the_mirror(
    place, tmp_path):
  one, other = tmp_path / 'one', tmp_path / 'other'
  _begin(one, place)
  _opened(other, place)
  later = _opened(other, place)
  layout.append(other / layout.METRICS, small_runs.metrics(1))
  later.enter()
  later.copy()
  _answer(one, 'two')
  made = _opened(one, place)
  assert 'was behind in metrics.jsonl' in made.said[0]
  assert f'is ahead in {_JOURNAL}' in made.said[1]
  assert (one / _JOURNAL).read_text() == 'one\ntwo\n'
  assert (one / layout.METRICS).read_bytes() == (
      other / layout.METRICS).read_bytes()


def test_what_went_on_in_two_places_is_refused_and_left(place, tmp_path):
  one, other = tmp_path / 'one', tmp_path / 'other'
  _begin(one, place)
  later = _opened(other, place)
  _answer(other, 'two')
  later.enter()
  later.copy()
  _answer(one, 'another two')
  before = _files(one), _files(place)
  with pytest.raises(ValueError, match='it went on in two places'):
    _opened(one, place)
  assert (_files(one), _files(place)) == before


def test_another_experiment_is_refused(place, tmp_path):
  _begin(tmp_path / 'w', place)
  before = _files(place)
  with pytest.raises(ValueError, match='holds another experiment; choose '
                                       'another mirror, or undo:\n  rounds: 2 '
                                       'there, 3 now'):
    _opened(tmp_path / 'new', place, rounds=3)
  assert not _files(tmp_path / 'new')
  (tmp_path / 'b').mkdir()
  layout.write(tmp_path / 'b' / layout.PROVENANCE, {'experiment': 'b'})
  with pytest.raises(ValueError, match=r'holds another experiment \(a\) than '
                                       r'the workdir .* \(b\)'):
    _opened(tmp_path / 'b', place)
  made = mirror_lib.Mirror(place, tmp_path / 'new')
  with pytest.raises(ValueError, match=r'\(none\)'):
    made.bring_back(_config(place).to_dict(), True)
  # What has no config is no experiment, but may hold answers.
  (epath.Path(place) / layout.CONFIG).unlink()
  with pytest.raises(ValueError, match='holds answers, in journals, but no '):
    _opened(tmp_path / 'new', place)
  assert _files(place) == {
      k: v for k, v in before.items() if k != layout.CONFIG}


def test_what_no_experiment_wrote_is_no_mirror(place, tmp_path):
  path = epath.Path(place)
  path.mkdir(parents=True, exist_ok=True)
  (path / 'thesis.tex').write_text('years of work')
  with pytest.raises(ValueError, match=r"holds \['thesis.tex'\], which no"):
    _opened(tmp_path / 'w', place)


def test_what_was_left_of_a_beginning_makes_room(place, tmp_path):
  made = _begin(tmp_path / 'w', place)
  path = epath.Path(place)
  for name in (layout.CONFIG, _JOURNAL):
    (path / name).unlink()
  (path / layout.STATES).mkdir(exist_ok=True)
  (path / layout.STATES / 'experiment.json').write_text('{}')
  made = _opened(tmp_path / 'new', place)
  made.make_room(str(path / layout.STATES))
  made.clear()
  assert not made.begun and not _files(place)


def _full(n):
  """Makes every write to a mirror fail from the n-th on."""
  put, left = mirror_folder.Folder._put, [n]

  def fails(self, name, content):
    left[0] -= 1
    if left[0] < 0:
      raise OSError(28, 'No space left on device')
    put(self, name, content)

  return mock.patch.object(mirror_folder.Folder, '_put', fails)


def test_a_copy_that_fails_says_so_and_is_done_again(place, tmp_path):
  folder = tmp_path / 'w'
  made = _begin(folder, place)
  _answer(folder, 'two')
  layout.append(folder / layout.METRICS, small_runs.metrics(1))
  before = _files(place)
  with _full(1):
    with pytest.raises(OSError, match="metrics.jsonl cannot be written: No "
                                      'space left on device'):
      made.copy()
  # Each file is an old one or a new one.
  found = _files(place)
  assert found == before | {_JOURNAL: b'one\ntwo\n'}
  made.copy()
  assert _files(place) == _files(folder)


def test_a_mirror_that_cannot_be_reached_is_named(tmp_path, monkeypatch):
  def fails(self):
    raise RuntimeError('403: no permission')

  monkeypatch.setattr(epath.gpath.PosixGPath, 'iterdir', fails)
  with pytest.raises(OSError, match="mirror='gs://b/w': it cannot be read: "
                                    '403: no permission'):
    _opened(tmp_path / 'w', 'gs://b/w')


def test_without_gcsfs_the_extra_is_named(tmp_path, monkeypatch):
  def fails(path):
    raise ImportError('Please install gcsfs to access Google Storage')

  def missing(name, *_):
    raise ModuleNotFoundError(f'No module named {name!r}', name=name)

  monkeypatch.setattr(epath.gpath, '_is_tf_installed', lambda: False)
  monkeypatch.setattr(epath.backend.fsspec_backend, 'fs', fails)
  monkeypatch.setattr('importlib.import_module', missing)
  with pytest.raises(ImportError, match=r'gcsfs is needed to write to gs://: '
                                        r'pip install "mmal_jax\[tpu\]"'):
    _opened(tmp_path / 'w', 'gs://b/w')


@pytest.mark.parametrize('name', ['w', 'w/m', '.'])
def test_workdir_and_mirror_do_not_lie_within_one_another(tmp_path, name):
  folder = tmp_path / 'w'
  folder.mkdir()
  with contextlib.ExitStack() as held:
    with pytest.raises(ValueError, match='must not lie within one another'):
      mirror_lib.opened(_config(str(tmp_path / name)), folder, False, held)


def test_a_local_mirror_is_locked(tmp_path):
  with contextlib.ExitStack() as held:
    for name in 'ab':
      (tmp_path / name).mkdir()
    config = _config(str(tmp_path / 'm'))
    mirror_lib.opened(config, tmp_path / 'a', False, held)
    with pytest.raises(ValueError, match='is in use by process') as e:
      mirror_lib.opened(config, tmp_path / 'b', False, held)
  assert f"for the workdir '{tmp_path / 'a'}'" in str(e.value)


def test_a_copy_never_leaves_half_a_file(tmp_path):
  """Whatever a reader finds in a mirror on a disk at any moment is whole."""
  place = tmp_path / 'm'
  made = _begin(tmp_path / 'w', str(place))
  seen = []
  replace = os.replace

  def watched(source, target):
    seen.append(json.loads((place / layout.ITEMS).read_text()))
    replace(source, target)

  layout.write(tmp_path / 'w' / layout.ITEMS, {'pool image': 'y' * 9})
  with mock.patch.object(os, 'replace', watched):
    made.copy()
  assert len(seen) == 1 and pathlib.Path(place, layout.ITEMS).read_bytes() == (
      tmp_path / 'w' / layout.ITEMS).read_bytes()
