"""Experiments are what their data are, wherever these lie."""

import shutil
from unittest import mock

import numpy as np
import pytest

from experiments import diagnose
from experiments import match
from experiments import report
from experiments import run
from experiments import sweep
from mmal_jax.analysis import records
from mmal_jax.analysis import run_labels
from mmal_jax.analysis import settings
from mmal_jax.experiment import identity
from mmal_jax.workdir import layout
from tests.support import programs

_WAITING = ('--oracle=files',)


def _run(tmp_path, data, *arguments, name='w'):
  programs.call(
      run, *programs.features(data), *programs.SMALL,
      f'--workdir={tmp_path / name}', f'--cache_dir={tmp_path / "c"}',
      *arguments)
  return tmp_path / name


def _change(folder):
  """Other images at the same place."""
  images = np.load(folder / 'image.npy')
  np.save(folder / 'image.npy', images[::-1])


def test_a_run_goes_on_with_the_same_data_elsewhere(tmp_path, capsys):
  programs.save_features(tmp_path / 'a')
  people = ('--oracle=files', f'--config.oracle.folder={tmp_path / "people"}')
  with programs.ends(run.WAITING):
    _run(tmp_path, tmp_path / 'a', *people)
  shutil.move(tmp_path / 'a', tmp_path / 'b')
  with programs.ends(run.WAITING):
    _run(tmp_path, tmp_path / 'b', *people, '--resume')
  said = capsys.readouterr().err
  assert 'dataset.images, dataset.texts: elsewhere than when' in said
  assert layout.read(tmp_path / 'w/config.json')['dataset']['images'] == str(
      tmp_path / 'b/image.npy')
  _change(tmp_path / 'b')
  # While it only waits, data are not read.
  (tmp_path / 'w' / layout.WAITING).unlink()
  with programs.ends() as e:
    _run(tmp_path, tmp_path / 'b', *people, '--resume')
  assert 'pool image, test image: not those with which' in e.value.code
  programs.save_features(tmp_path / 'c1', seed=1)
  with programs.ends() as e:
    _run(tmp_path, tmp_path / 'c1', *people, '--resume')
  assert 'pool image, pool text' in e.value.code
  assert 'see dataset.images, dataset.texts' in e.value.code


def test_the_folder_of_people_may_move_as_a_whole(tmp_path):
  data = tmp_path / 'a'
  programs.save_features(data)
  folder = '--config.oracle.folder={}'.format
  with programs.ends(run.WAITING):
    _run(tmp_path, data, *_WAITING, folder(tmp_path / 'p'))
  with programs.ends() as e:  # Its questions would go out twice.
    _run(tmp_path, data, *_WAITING, folder(tmp_path / 'q'), '--resume')
  assert f'give --config.oracle.folder={tmp_path / "p"}' in e.value.code
  assert not (tmp_path / 'q').exists()
  shutil.move(tmp_path / 'p', tmp_path / 'moved')
  with programs.ends() as e:
    _run(tmp_path, data, *_WAITING, folder(tmp_path / 'q'), '--resume')
  assert 'holds nothing of it: put the folder back' in e.value.code
  with programs.ends(run.WAITING):
    _run(tmp_path, data, *_WAITING, folder(tmp_path / 'moved'), '--resume')
  assert len(list((tmp_path / 'moved/seed0').glob('round_*'))) == 1


def test_questions_never_go_out_twice_from_an_empty_folder(tmp_path):
  """After a crash, too, when nothing says that the run waits."""
  data, folder = tmp_path / 'a', tmp_path / 'p'
  programs.save_features(data)
  people = (*_WAITING, f'--config.oracle.folder={folder}')
  with programs.ends(run.WAITING):
    _run(tmp_path, data, *people)
  (tmp_path / 'w' / layout.WAITING).unlink()
  shutil.move(folder, tmp_path / 'moved')
  with programs.ends() as e:
    _run(tmp_path, data, *people, '--resume')
  assert 'holds none of the questions' in e.value.code
  assert not folder.exists()
  # An empty folder at the old place, or a link there, changes nothing.
  folder.mkdir()
  elsewhere = (*_WAITING, f'--config.oracle.folder={tmp_path / "moved"}')
  with programs.ends(run.WAITING):
    _run(tmp_path, data, *elsewhere, '--resume')
  folder.rmdir()
  folder.symlink_to(tmp_path / 'moved')
  with programs.ends(run.WAITING):
    _run(tmp_path, data, *people, '--resume')
  assert len(list((folder / 'seed0').glob('round_*'))) == 1


def test_files_of_a_system_are_no_experiment(tmp_path):
  data = tmp_path / 'a'
  programs.save_features(data)
  for name in ('w', 's', 'r'):
    (tmp_path / name).mkdir()
    (tmp_path / name / '.DS_Store').write_bytes(b'x')
  folder = _run(tmp_path, data, '--rounds=1', f'--states={tmp_path / "s"}')
  (tmp_path / 's/mmal-seed0/desktop.ini').write_bytes(b'x')
  (folder / 'Thumbs.db').write_bytes(b'x')
  _run(tmp_path, data, '--rounds=1', f'--states={tmp_path / "s"}', '--resume')
  programs.call(report, f'--workdirs={folder}', f'--out={tmp_path / "r"}',
                '--workdir=unused')
  assert (tmp_path / 'r/report.md').exists()


def test_a_relative_folder_of_people_means_the_same_from_anywhere(
    tmp_path, monkeypatch):
  data = tmp_path / 'a'
  programs.save_features(data)
  for name in ('one', 'two'):
    (tmp_path / name).mkdir()
  monkeypatch.chdir(tmp_path / 'one')
  with programs.ends(run.WAITING):
    _run(tmp_path, data, *_WAITING, '--config.oracle.folder=people')
  monkeypatch.chdir(tmp_path / 'two')
  with programs.ends() as e:
    _run(tmp_path, data, *_WAITING, '--config.oracle.folder=people',
         '--resume')
  assert f'give --config.oracle.folder={tmp_path / "one/people"}' in (
      e.value.code)
  assert not (tmp_path / 'two/people').exists()


def test_states_may_move_as_a_whole(tmp_path):
  data = tmp_path / 'a'
  programs.save_features(data)
  _run(tmp_path, data, f'--states={tmp_path / "s"}')
  (tmp_path / 'w/summary.json').unlink()
  with programs.ends() as e:
    _run(tmp_path, data, '--resume')
  assert f'give --config.states={tmp_path / "s"}' in e.value.code
  shutil.move(tmp_path / 's', tmp_path / 'moved')
  _run(tmp_path, data, '--resume', f'--states={tmp_path / "moved"}')
  assert (tmp_path / 'w/summary.json').exists()


@pytest.mark.long
def test_a_sweep_goes_on_with_the_same_data_elsewhere(tmp_path):
  def go(data):
    programs.call(
        sweep, *programs.features(data), *programs.SMALL,
        '--set=train.shift=0,1', f'--workdir={tmp_path / "s"}',
        f'--cache_dir={tmp_path / "c"}')

  programs.save_features(tmp_path / 'a')
  go(tmp_path / 'a')
  cells = sorted((tmp_path / 's/cells').iterdir())
  shutil.rmtree(cells[0])  # One is still to be run.
  shutil.move(tmp_path / 'a', tmp_path / 'b')
  go(tmp_path / 'b')
  assert (cells[0] / 'summary.json').exists()
  labels = list(records.read([tmp_path / 's']).runs)
  assert labels == ['mmal, train.shift=0', 'mmal, train.shift=1']
  shutil.rmtree(cells[0])
  _change(tmp_path / 'b')
  with programs.ends() as e:
    go(tmp_path / 'b')
  assert 'pool image, test image: not those with which' in e.value.code
  assert not cells[0].exists()


@pytest.mark.long
def test_a_sweep_never_mixes_data(tmp_path):
  """Also where they were changed at their place, and nothing was moved."""
  def go(*arguments):
    programs.call(
        sweep, *programs.features(tmp_path / 'a'), *programs.SMALL,
        f'--workdir={tmp_path / "s"}', f'--cache_dir={tmp_path / "c"}',
        *(arguments or ['--set=train.shift=0,1']))

  programs.save_features(tmp_path / 'a')
  go()
  one, _ = sorted((tmp_path / 's/cells').iterdir())
  shutil.rmtree(one)
  _change(tmp_path / 'a')
  with programs.ends() as e:
    go()
  assert 'pool image, test image: not those with which' in e.value.code
  assert not one.exists()
  shutil.rmtree(tmp_path / 's')
  with programs.ends() as e:  # Before any cell has run.
    go(f'--set=dataset.images={tmp_path}/a/image.npy,{tmp_path}/none.npy')
  assert 'none.npy\' does not exist' in e.value.code
  assert not (tmp_path / 's/cells').exists()


def test_states_that_are_gone_are_not_gone_silently(tmp_path, caplog):
  data, states = tmp_path / 'a', tmp_path / 'states'
  programs.save_features(data)
  folder = _run(tmp_path, data, f'--states={states}')
  (folder / 'summary.json').unlink()
  shutil.move(states, tmp_path / 'moved')
  with programs.ends() as e:
    _run(tmp_path, data, f'--states={states}', '--resume')
  assert f'states=\'{states}\' does not exist, but the run has' in e.value.code
  states.mkdir()
  _run(tmp_path, data, f'--states={states}', '--resume')
  assert (f'there is no state in {states}/mmal-seed0 of the rounds that are '
          'recorded') in caplog.text


@pytest.mark.long
def test_reports_average_what_is_the_same(tmp_path, capsys):
  for name in 'ab':
    programs.save_features(tmp_path / name)
    _run(tmp_path, tmp_path / name, f'--seeds={"ab".index(name)}',
         f'--states={tmp_path}/states-{name}', name=f'w{name}')
  both = [tmp_path / 'wa', tmp_path / 'wb']
  found = records.read(both).runs
  # They have no seed in common as settings, and two as one.
  assert list(found) == ['mmal'] and [r.seed for r in found['mmal']] == [0, 1]
  shutil.rmtree(tmp_path / 'a')
  arguments = ('--workdirs=' + ','.join(map(str, both)), '--workdir=unused',
               f'--out={tmp_path / "r"}')
  programs.call(report, *arguments)
  said = capsys.readouterr().out
  assert 'What was asked is not shown: ' in said and '--moved=KEY=PATH' in said
  assert 'What was asked is not shown' in (tmp_path / 'r/report.md').read_text()
  assert not (tmp_path / 'r/asked.md').exists()
  moved = [f'--moved=dataset.{name}s={tmp_path / "b" / name}.npy'
           for name in ('image', 'text')]
  programs.call(report, *arguments, *moved)
  assert 'is not shown' not in capsys.readouterr().out
  assert (tmp_path / 'r/asked.md').exists()
  _change(tmp_path / 'b')
  programs.call(report, *arguments, *moved)
  assert 'pool image: not what mmal, seed 0, was run with' in (
      capsys.readouterr().out)


def test_data_that_were_changed_in_place_are_other_settings():
  one = {'strategies': ['mmal'], 'seeds': [0], 'states': '/s/1',
         'dataset': {'name': 'features', 'images': '/i', 'texts': '/t'},
         'text': {'max_tokens': 8}, 'oracle': {'folder': '/p/1'}}
  two = one | {'states': '/s/2', 'oracle': {'folder': '/p/2'}}
  elsewhere = two | {'dataset': one['dataset'] | {'images': '/new'}}
  for configs, items, expected in (
      ((one, two), 'aa', ['', '']),
      ((one, elsewhere), 'aa', ['', '']),
      ((one, two), 'ab', [', data=version 1', ', data=version 2']),
      ((one, elsewhere), 'ab', [
          ', dataset.images=i', ', dataset.images=new']),
      # Without a record of their content, paths tell them apart.
      ((one, elsewhere), ' ' * 2, [
          ', dataset.images=i', ', dataset.images=new']),
      ((one, two | {'text': {'max_tokens': 9}}), 'ab', [
          ', text.max_tokens=8', ', text.max_tokens=9'])):
    values = settings.values(configs, [
        {'pool image': x} if x.strip() else {} for x in items])
    assert run_labels.suffixes(values) == expected


def test_an_older_record_that_says_less(tmp_path):
  now = {'pool image': 'a', 'test image': 'b', 'pretrain image': 'c'}
  layout.write(
      tmp_path / layout.ITEMS, {'pool image': 'a', 'test image': 'b'})
  with pytest.raises(ValueError, match='did not record pretrain image'):
    identity.check(tmp_path, now, None, ['dataset.folder'])
  assert identity.check(tmp_path, now, None) == now
  layout.write(tmp_path / layout.ITEMS, now)
  with pytest.raises(ValueError, match='pretrain image: not those'):
    identity.check(tmp_path, now | {'pretrain image': 'd'}, None)
  with pytest.raises(ValueError, match='pretrain image: not those'):
    identity.check(
        tmp_path, {k: v for k, v in now.items() if 'pool' in k}, None)


@pytest.mark.parametrize('program', [match, diagnose])
def test_other_programs_find_moved_data(tmp_path, program):
  programs.save_features(tmp_path / 'a')
  folder = _run(tmp_path, tmp_path / 'a', '--strategies=random')
  shutil.move(tmp_path / 'a', tmp_path / 'b')
  arguments = [f'--workdir={folder}', f'--cache_dir={tmp_path / "c"}']
  if program is match:
    arguments += ['--strategy=random', '--seed=0', f'--matched={tmp_path}/m']
  with programs.ends() as e:
    programs.call(program, *arguments)
  assert 'dataset.images=' in e.value.code
  assert 'do not exist. Say where they lie now: --moved=' in e.value.code
  moved = [f'--moved=dataset.{name}s={tmp_path / "b" / name}.npy'
           for name in ('image', 'text')]
  found = []
  with mock.patch.object(
      identity, 'check', lambda *args: found.append(args)):
    try:
      programs.call(program, *arguments, *moved)
    except SystemExit as e:  # Such a run may have too few answers.
      assert 'exist' not in str(e.code)
  assert found and found[0][0] == folder
