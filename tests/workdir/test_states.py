"""A folder for states outside of the workdir: one experiment's at a time."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

import pytest

from experiments import run
from mmal_jax.files import lock
from mmal_jax.workdir import json_files
from mmal_jax.workdir import layout
from mmal_jax.workdir import provenance
from mmal_jax.workdir import states
from tests.support import programs

_SECONDS = 300


def _flags(home, name, *more):
  return [*programs.features(home / 'data'), *programs.SMALL,
          f'--workdir={home / name}', f'--cache_dir={home / "cache"}', *more]


def _run(home, name, *more):
  programs.call(run, *_flags(home, name, *more))


def _refused(home, name, *more):
  with programs.ends() as e:
    _run(home, name, *more)
  said = e.value.code
  # What is another's is nothing to be removed.
  assert not re.search(r'\b(remove|delete|rmtree|lose)\b', said), said
  return said


def _files(folder):
  return {path.relative_to(folder): path.read_bytes()
          for path in folder.rglob('*')
          if path.is_file() and path.name != lock.NAME}


def _found(folder):
  return (layout.read_lines(folder / layout.QUERIES),
          [line['scores'] for line in layout.read_lines(
              folder / layout.METRICS)])


@pytest.fixture(name='home', scope='module')
def _home(tmp_path_factory):
  """Data, and two experiments of one config with states elsewhere."""
  home = tmp_path_factory.mktemp('home')
  programs.save_features(home / 'data')
  for name in ('one', 'other'):
    _run(home, name, f'--states={home / name}_states')
  return home


def _copies(home, to):
  for name in ('one', 'one_states', 'other_states', 'data'):
    shutil.copytree(home / name, to / name)
  # The config has the path of before: that is how the folder was moved.
  path = to / 'one' / layout.CONFIG
  config = json.dumps(json_files.read(path))
  json_files.write(path, json.loads(config.replace(str(home), str(to))))
  return to


@pytest.mark.long
def test_of_two_that_begin_at_once_one_goes_on(home, tmp_path):
  flag = f'--states={tmp_path / "states"}'
  started = {
      name: subprocess.Popen(
          [sys.executable, '-m', 'experiments.run', *_flags(
              home, tmp_path / name, flag)],
          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
      for name in ('a', 'b')}
  said = {name: process.communicate(timeout=_SECONDS)[0]
          for name, process in started.items()}
  statuses = {name: process.returncode for name, process in started.items()}
  assert sorted(statuses.values()) == [0, 1], said
  good, bad = sorted(statuses, key=statuses.get)
  assert (f"in use by process {started[good].pid} on " in said[bad]
          and f"for the workdir '{tmp_path / good}', since" in said[bad]), said
  assert 'File exists' not in said[bad]
  assert {p.name for p in (tmp_path / bad).iterdir()} == {lock.NAME}
  # Both go on: the one where it was, the other with a folder of its own.
  _run(home, tmp_path / good, flag, '--resume')
  _run(home, tmp_path / bad, f'--states={tmp_path / "own"}')
  assert _found(tmp_path / good) == _found(tmp_path / bad)


@pytest.mark.long
def test_who_holds_a_folder_keeps_others_out_from_begin_and_resume(home):
  path = home / 'one_states'
  with states.locked(str(path), home / 'one', begun=True):
    before, started = _files(path), time.monotonic()
    for name, more in (('fresh', []), ('one', ['--resume']),
                       ('one', ['--overwrite'])):
      said = _refused(home, name, f'--states={path}', *more)
      assert f"'{path}' is in use by process" in said
      assert f"for the workdir '{home / 'one'}', since" in said
    assert time.monotonic() - started < 30
    assert _files(path) == before
  _run(home, 'one', f'--states={path}', '--resume')


@pytest.mark.parametrize('more', [(), ('--resume',), ('--overwrite',)])
def test_a_new_experiment_takes_no_folder_of_another(home, tmp_path, more):
  path = home / 'other_states'
  before = _files(path)
  said = _refused(home, tmp_path / 'new', f'--states={path}', *more)
  assert 'mmal-seed0' in said and f"of that in '{home / 'other'}'" in said
  assert _files(path) == before


def _exchange(home):
  shutil.rmtree(home / 'one_states')
  shutil.copytree(home / 'other_states', home / 'one_states')


def _exchange_record(home):
  shutil.copy(home / 'other_states' / states.RECORD,
              home / 'one_states' / states.RECORD)


@pytest.mark.parametrize('change', [_exchange, _exchange_record])
def test_a_folder_that_is_anothers_now_is_refused_and_can_be_left(
    home, tmp_path, change):
  here = _copies(home, tmp_path)
  change(here)
  before = _files(here / 'one_states')
  said = _refused(here, 'one', f'--states={here}/one_states', '--resume')
  id_ = provenance.read(home / 'other')['experiment']
  assert id_ in said and f"of the workdir '{home / 'other'}'" in said
  assert _files(here / 'one_states') == before
  (here / 'new').mkdir()
  _run(here, 'one', f'--states={here}/new', '--resume')
  assert _found(here / 'one') == _found(home / 'one')
  assert _files(here / 'one_states') == before
  assert states.read(str(here / 'new'))['workdir'] == str(here / 'one')


def test_a_folder_that_is_moved_as_a_whole_goes_with_its_record(home, tmp_path):
  here = _copies(home, tmp_path)
  (here / 'one_states').rename(here / 'elsewhere')
  _run(here, 'one', f'--states={here}/elsewhere', '--resume')
  assert _found(here / 'one') == _found(home / 'one')


def _copied(home, to):
  """An experiment `one`, and `two`, a copy of it with one of its states."""
  here = _copies(home, to)
  _run(here, 'one', f'--states={here}/one_states', '--resume')
  assert _workdir_of(here / 'one_states') == here / 'one'
  for name in ('', '_states'):
    shutil.copytree(here / f'one{name}', here / f'two{name}')
  return here


def _workdir_of(folder):
  return pathlib.Path(states.read(str(folder))['workdir'])


def test_a_copy_goes_on_with_its_copy_of_the_states(home, tmp_path):
  here = _copied(home, tmp_path)
  before = _files(here / 'one_states')
  _run(here, 'two', f'--states={here}/two_states', '--resume')
  assert _found(here / 'two') == _found(home / 'one')
  assert _files(here / 'one_states') == before
  assert _workdir_of(here / 'two_states') == here / 'two'
  assert json_files.read(here / 'two' / layout.CONFIG)['states'] == str(
      here / 'two_states')
  # Each goes on with its own, and with its own alone.
  for name in ('one', 'two'):
    _run(here, name, f'--states={here}/{name}_states', '--resume')
  for name, other in (('one', 'two'), ('two', 'one')):
    said = _refused(here, name, f'--states={here}/{other}_states', '--resume')
    assert f'give --config.states={here}/{name}_states to go on' in said
    said = _refused(here, name, f'--states={here}/{other}_states',
                    '--overwrite')
    assert f"but of that in '{here / other}'" in said
  assert _files(here / 'one_states') == before


@pytest.mark.parametrize('more', ['--resume', '--overwrite'])
def test_a_copy_does_not_share_the_states_of_the_original(
    home, tmp_path, more):
  here = _copied(home, tmp_path)
  before = _files(here / 'one_states')
  said = _refused(here, 'two', f'--states={here}/one_states', more)
  assert f"'{here / 'one'}'" in said
  if more == '--resume':
    assert f'cp -r {here}/one_states NEW' in said and '--states=NEW' in said
  assert _files(here / 'one_states') == before
  # The original lies elsewhere now, or was replaced: the copy has them.
  (here / 'one').rename(here / 'gone')
  _run(here, 'two', f'--states={here}/one_states', '--resume')
  assert _found(here / 'two') == _found(home / 'one')
  assert _workdir_of(here / 'one_states') == here / 'two'
  if more == '--resume':
    said = _refused(here, 'gone', f'--states={here}/one_states', '--resume')
    assert f"is used by the workdir '{here / 'two'}'" in said


def test_what_is_no_copy_of_the_states_is_refused_to_a_copy(home, tmp_path):
  here = _copied(home, tmp_path)
  (here / 'new').mkdir()
  for name in ('new', 'other_states'):
    before = _files(here / name)
    said = _refused(here, 'two', f'--states={here}/{name}', '--resume')
    assert f"'{here}/{name}' holds no states of the experiment in" in said
    assert f'cp -r {here}/one_states NEW' in said
    assert _files(here / name) == before
  # The original has states of its own.
  said = _refused(here, 'one', f'--states={here}/two_states', '--resume')
  assert f'give --config.states={here}/one_states to go on' in said


def test_a_workdir_that_is_moved_goes_on_with_its_states(home, tmp_path):
  here = _copied(home, tmp_path)
  (here / 'one').rename(here / 'moved')
  _run(here, 'moved', f'--states={here}/one_states', '--resume')
  assert _found(here / 'moved') == _found(home / 'one')
  assert _workdir_of(here / 'one_states') == here / 'moved'


def test_of_a_workdir_on_another_machine_there_is_a_warning(
    home, tmp_path, caplog):
  here = _copied(home, tmp_path)
  path = here / 'one_states' / states.RECORD
  path.write_text(json.dumps(json.loads(path.read_text()) | {
      'host': 'elsewhere', 'workdir': '/scratch/one'}))
  _run(here, 'one', f'--states={here}/one_states', '--resume')
  assert "was used by the workdir '/scratch/one' on elsewhere" in caplog.text
  assert _workdir_of(here / 'one_states') == here / 'one'
  caplog.clear()
  _run(here, 'one', f'--states={here}/one_states', '--resume')
  assert 'elsewhere' not in caplog.text


@pytest.mark.parametrize('text', ['', '{}', '[]', '{"experiment": 3}', '\0'])
def test_a_damaged_record_is_named(home, tmp_path, text):
  here = _copies(home, tmp_path)
  (here / 'one_states' / states.RECORD).write_text(text)
  said = _refused(here, 'one', f'--states={here}/one_states', '--resume')
  assert states.RECORD in said


def test_folders_without_a_record_are_known_by_their_seals(
    home, tmp_path, caplog):
  here = _copies(home, tmp_path)
  (here / 'one_states' / states.RECORD).unlink()  # of an earlier version
  _run(here, 'one', f'--states={here}/one_states', '--resume')
  assert f'{here}/one_states/{states.RECORD} is missing' in caplog.text
  assert _workdir_of(here / 'one_states') == here / 'one'
  _exchange(here)
  (here / 'one_states' / states.RECORD).unlink()
  said = _refused(here, 'one', f'--states={here}/one_states', '--resume')
  assert 'holds a state of experiment' in said
  assert not (here / 'one_states' / states.RECORD).exists()
  before = _files(here / 'one_states')
  said = _refused(here, 'one', f'--states={here}/one_states', '--overwrite')
  assert 'not of the experiment in' in said
  assert _files(here / 'one_states') == before


def test_a_folder_that_is_missing_is_made(tmp_path):
  path = tmp_path / 'a' / 'b c' / 'd'
  with states.locked(str(path), tmp_path, begun=False):
    assert path.is_dir()
  (tmp_path / 'file').touch()
  (tmp_path / 'link').symlink_to(tmp_path / 'nowhere')
  for name, why in (('file', 'File exists'), ('file/b', 'Not a directory'),
                    ('link', 'File exists')):
    with pytest.raises(ValueError, match=f"{name}' cannot be made: {why}"):
      with states.locked(str(tmp_path / name), tmp_path, begun=False):
        pass


def test_what_is_replaced_makes_room(home, tmp_path):
  here = _copies(home, tmp_path)
  before = states.read(str(here / 'one_states'))['experiment']
  _run(here, 'one', f'--states={here}/one_states', '--overwrite')
  after = states.read(str(here / 'one_states'))['experiment']
  assert after == provenance.read(here / 'one')['experiment'] != before


def test_the_workdir_itself_and_a_linked_lock_are_refused(home, tmp_path):
  work, precious = tmp_path / 'w', tmp_path / 'thesis.tex'
  precious.write_text('years of work')
  assert 'is the workdir itself' in _refused(home, work, f'--states={work}')
  folder = tmp_path / 'states'
  folder.mkdir()
  (folder / lock.NAME).symlink_to(precious)
  with programs.ends() as e:
    _run(home, work, f'--states={folder}')
  assert 'is a symbolic link' in e.value.code
  assert precious.read_text() == 'years of work'
  (tmp_path / 'file').touch()
  assert 'cannot be made' in _refused(
      home, work, f'--states={tmp_path}/file/states')


def test_where_nothing_can_be_locked_the_last_record_decides(
    tmp_path, monkeypatch):
  monkeypatch.setattr(states, 'is_local', lambda path: False)
  monkeypatch.setattr(states, '_SETTLED_SECONDS', 0.5)
  path, ends = str(tmp_path / 'states'), {}
  for name in ('a', 'b'):
    (tmp_path / name).mkdir()
    layout.write(tmp_path / name / layout.PROVENANCE, {'experiment': name})

  def begin(name):
    try:
      layout.claim_states(path, tmp_path / name)
      states.enter(path, tmp_path / name)
    except ValueError as e:
      ends[name] = str(e)

  threads = [threading.Thread(target=begin, args=[name]) for name in 'ab']
  for thread in threads:
    thread.start()
    time.sleep(0.1)
  for thread in threads:
    thread.join()
  # The second one saw the record of the first.
  assert list(ends) == ['b'] and "not of the experiment in" in ends['b']
  assert json.loads((tmp_path / 'states' / states.RECORD).read_text())[
      'experiment'] == 'a'
  # Both have seen an empty folder: the last one to write has it.
  shutil.rmtree(path)
  threads = [threading.Thread(target=begin, args=['a'])]
  threads[0].start()
  time.sleep(0.1)
  states.enter(path, tmp_path / 'b')
  threads[0].join()
  assert "of the workdir '" + str(tmp_path / 'b') in ends['a']
