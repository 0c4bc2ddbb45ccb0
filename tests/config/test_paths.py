"""Paths of flags and configs: home folders, variables, what is refused."""

import json
import os
import pathlib

from absl import flags
import numpy as np
import pytest

from experiments import common_flags
from experiments import config_file
from experiments import diagnose
from experiments import report
from experiments import run
from experiments.configs import features
from experiments.configs import images_and_texts
from experiments.configs import pretrained
from mmal_jax.config import paths
from mmal_jax.experiment import cells
from mmal_jax.experiment import datasets
from mmal_jax.workdir import saved_config
from tests.support import programs


@pytest.fixture(name='home')
def _home(tmp_path, monkeypatch):
  """A home folder, and another one to work in."""
  (tmp_path / 'home').mkdir()
  (tmp_path / 'here').mkdir()
  monkeypatch.setenv('HOME', str(tmp_path / 'home'))
  monkeypatch.setenv('SCRATCH', str(tmp_path / 'home'))
  monkeypatch.setenv('TILDE', '~/of')
  monkeypatch.chdir(tmp_path / 'here')
  return tmp_path / 'home'


@pytest.mark.parametrize('given,found', [
    ('~/runs/a', '{home}/runs/a'), ('~', '{home}'),
    ('$SCRATCH/runs', '{home}/runs'), ('${SCRATCH}', '{home}'),
    ('~root/x', os.path.expanduser('~root') + '/x'),
    ('runs/~a', 'runs/~a'), ('./~/a', './~/a'), ('/x$SCRATCH', '/x{home}'),
    ('gs://bucket/~a', 'gs://bucket/~a'), ('a/${SCRATCH}/b', 'a/{home}/b'),
    ('costs$5', 'costs$5'), ('a$$SCRATCH/b', 'a$SCRATCH/b'), ('$$', '$'),
    ('$$$SCRATCH', '${home}'), ('~/$SCRATCH', '{home}/{home}'),
    ('~/$$SCRATCH', '{home}/$SCRATCH'), ('~/${SCRATCH}x', '{home}/{home}x'),
    ('$TILDE/a', '{home}/of/a'), ('a/../$$x', 'a/../$x')])
def test_what_stands_for_a_folder_is_replaced(home, given, found):
  assert paths.expand(given) == found.format(home=home)
  absolute = paths.absolute(given)
  found = found.format(home=home)
  assert absolute == (found if '://' in found else os.path.abspath(found))


@pytest.mark.parametrize('given,said', [
    ('', 'workdir=\'\' is empty'), ('  ', 'is empty'),
    ('~no-user-of-that-name/a', 'there is no user \'no-user-of-that-name\''),
    ('$NO_SUCH_VARIABLE/a', 'no variable $NO_SUCH_VARIABLE'),
    ('/a/${NO_SUCH}/b', 'does not exist, and the environment has no variable '
     '${NO_SUCH}. Write the path out; $$ stands for the character $.')])
def test_what_stands_for_nothing_is_refused(given, said):
  with pytest.raises(ValueError, match='workdir') as e:
    paths.expand(given, 'workdir')
  assert said in str(e.value)


@pytest.mark.parametrize('name', [
    '$RECYCLE', 'a$HOME', '${SCRATCH}', 'x$$y', 'cost$5', '$'])
def test_a_folder_may_have_a_dollar_in_its_name(home, name):
  (home / name).mkdir()
  (home / 'link$HOME').symlink_to('/no/such/file')
  for given in (f'{home}/{name}', f'~/{name}', f'~/{name}/new',
                f'{home}/{name}/new/er', '~/link$HOME', f'~//{name}/'):
    assert paths.expand(given) == given.replace('~', str(home))
  assert paths.expand(f'~/{name}/$SCRATCH') == f'{home}/{name}/{home}'
  assert paths.expand(paths.escape(f'{home}/{name}')) == f'{home}/{name}'


def test_two_dollars_are_one_where_both_are_there(home):
  for name in ('a$b', 'a$$b'):
    (home / name).mkdir()
    assert paths.expand(paths.escape(f'{home}/{name}/c')) == f'{home}/{name}/c'


@pytest.mark.long
def test_a_run_goes_to_the_home_folder(home, tmp_path):
  programs.save_features(home / 'f')
  programs.call(
      run, *programs.features('~/f'), *programs.SMALL, '--rounds=1',
      '--workdir=~/runs/a', '--cache_dir=$SCRATCH/c', '--states=~/states')
  assert (home / 'runs/a/summary.json').exists()
  assert list((home / 'states').glob('mmal-seed0'))
  assert not os.listdir(tmp_path / 'here')
  programs.call(report, '--workdirs=~/runs/a', '--out=~/report',
                '--workdir=unused')
  assert (home / 'report/report.md').exists()
  with programs.ends(run.WAITING):
    programs.call(
        run, *programs.features('~/f'), *programs.SMALL, '--workdir=~/runs/b',
        '--oracle=files', '--config.oracle.folder=~/people')
  assert (home / 'people/seed0/round_001').exists()
  assert not os.listdir(tmp_path / 'here')


@pytest.mark.long
def test_a_run_whose_paths_hold_a_dollar(home, tmp_path):
  """They are expanded once, and not again of what was saved."""
  programs.save_features(home / 'f$HOME')
  programs.call(
      run, *programs.features('~/f$HOME'), *programs.SMALL,
      '--workdir=~/a$$HOME', '--cache_dir=~/c', '--states=~/s$$HOME/$$1')
  assert list((home / 's$HOME/$1').glob('mmal-seed0'))
  config = f'{home}/a$HOME/config.json'
  found = json.loads(pathlib.Path(config).read_text('utf-8'))
  assert found['dataset']['images'] == f'{home}/f$HOME/image.npy'
  assert found['states'] == f'{home}/s$HOME/$1'
  programs.call(
      run, f'--config={programs.CONFIGS}/saved.py:{config}', '--resume',
      '--workdir=~/a$HOME', '--cache_dir=~/c', parse=run.parse_flags)
  programs.call(report, '--workdirs=~/a$HOME', '--out=~/$$r',
                '--workdir=unused')
  assert 'is not shown' not in (home / '$r/report.md').read_text('utf-8')
  programs.call(diagnose, '--workdir=~/a$HOME', '--cache_dir=~/c')
  assert not os.listdir(tmp_path / 'here')


def test_paths_of_a_saved_config_are_not_expanded_again(home):
  """Nor if they are gone; those that the user adds to it are."""
  config = features.get_config()
  config.dataset.images, config.dataset.texts = '/no/$HOME', '/no/$NONE/$$'
  config.states, config.oracle.folder = 'gs://b/$$/$HOME', '/no/${HOME}'
  (home / 'config.json').write_text(config.to_json(), 'utf-8')
  plain = saved_config.read(home / 'config.json')
  assert plain.to_dict() == json.loads(config.to_json())
  with pytest.raises(ValueError) as e:
    paths.check_exist(plain)
  assert "dataset.images='/no/$HOME'" in str(e.value)
  again = saved_config.get_config('$SCRATCH/config.json')
  again.dataset.images = '$SCRATCH/i'
  paths.make_absolute(again)
  assert again.to_dict() == plain.to_dict() | {
      'dataset': plain.dataset.to_dict() | {'images': f'{home}/i'}}


def test_only_new_paths_of_a_cell_are_expanded(home):
  config = features.get_config()
  config.dataset.images = '$SCRATCH/$$HOME/i'
  config.dataset.texts = '/t'
  paths.make_absolute(config)
  cell, = cells.product(config, {'dataset.texts': ['$SCRATCH/t$$HOME']})[:1]
  assert cell.config.dataset.images == f'{home}/$HOME/i'
  assert cell.config.dataset.texts == f'{home}/t$HOME'


def test_every_path_of_a_config_is_made_absolute(home):
  config = features.get_config('sound')
  config.dataset.images, config.dataset.texts = '~/i.npy', '$SCRATCH/t.npy'
  config.dataset.others.sound, config.oracle.folder = '~/s.npy', '~/people'
  paths.make_absolute(config)
  assert config.dataset.images == f'{home}/i.npy'
  assert config.dataset.texts == f'{home}/t.npy'
  assert config.dataset.others.sound == f'{home}/s.npy'
  assert config.oracle.folder == f'{home}/people'
  config = images_and_texts.get_config('webdataset')
  config.dataset.shards, config.dataset.classes = '~/s-*.tar', '~/classes'
  paths.make_absolute(config)
  assert config.dataset.shards == f'{home}/s-*.tar'
  assert config.dataset.classes == f'{home}/classes'
  config = images_and_texts.get_config()
  config.dataset.folder, config.dataset.pairs = '~/d', '~/d/pairs.csv'
  paths.make_absolute(config)
  assert config.dataset.pairs == f'{home}/d/pairs.csv'


def test_a_checkpoint_is_a_path_or_a_name(home):
  config = pretrained.get_config()
  config.init, config.text.folder = 'google/siglip', '~/words'
  config.dataset.folder = '~/d'
  paths.make_absolute(config)
  assert config.init == 'google/siglip'  # There is no such folder here.
  assert config.text.folder == f'{home}/words'
  (home / 'clip').mkdir()
  config.init = '~/clip'
  paths.make_absolute(config)
  assert config.init == f'{home}/clip'


def test_data_in_a_bucket_are_refused_in_words():
  config = features.get_config()
  config.dataset.images, config.dataset.texts = 'gs://b/i.npy', '/t.npy'
  with pytest.raises(ValueError, match='dataset.images=.*must be a local path'):
    paths.make_absolute(config)


def test_all_paths_that_do_not_exist_are_named_at_once(home, tmp_path):
  config = images_and_texts.get_config('unpaired_folder')
  config.dataset.images, config.dataset.texts = str(home), '/no/texts.txt'
  config.dataset.test_pairs = '/no/pairs.jsonl'
  with pytest.raises(ValueError) as e:
    datasets.load_raw(config, str(tmp_path))
  assert str(e.value) == (
      'dataset.test_pairs=\'/no/pairs.jsonl\', dataset.texts=\'/no/texts.txt\''
      ' do not exist.') or str(e.value) == (
          'dataset.texts=\'/no/texts.txt\', dataset.test_pairs='
          '\'/no/pairs.jsonl\' do not exist.')


def test_a_flag_names_who_is_not_there():
  with programs.ends() as e:
    programs.call(
        run, '--workdir=~no-user-of-that-name/a', parse=run.parse_flags)
  assert '--workdir=~no-user-of-that-name/a' in e.value.code
  assert 'there is no user \'no-user-of-that-name\'' in e.value.code


def test_a_config_file_may_lie_in_the_home_folder(home):
  (home / 'mine.py').write_text(
      'from experiments.configs import features\n'
      'def get_config():\n  return features.get_config()\n')
  argv = config_file.expand(['run', '--config=~/mine.py', '--x=~/a'])
  assert argv == ['run', f'--config={home}/mine.py', '--x=~/a']
  assert config_file.load(config_file.path_of(argv)).dataset.name == 'features'


def test_paths_of_a_saved_config_can_be_moved(home):
  config = features.get_config('sound')
  paths.move(config, ['dataset.images=~/i.npy', 'dataset.others.sound=/s.npy'])
  assert config.dataset.images == f'{home}/i.npy'
  assert config.dataset.others.sound == '/s.npy'
  for wrong in ('dataset.images', 'train.loss=/x', 'images=/x'):
    with pytest.raises(ValueError, match='must be KEY=PATH, with a KEY out of'):
      paths.move(config, [wrong])
  with pytest.raises(ValueError, match='the experiment has no text.folder'):
    paths.move(config, ['text.folder=/x'])


def test_flags_of_lists_of_paths(home):
  holder = flags.FlagValues()
  flag = common_flags.define_paths('some', None, 'Paths.', flag_values=holder)
  holder(['x', '--some=~/a,b,$SCRATCH/c'])
  assert flag.value == [f'{home}/a', 'b', f'{home}/c']
  np.testing.assert_equal(holder['some'].serialize(),
                          f'--some={home}/a,b,{home}/c')


@pytest.mark.parametrize('given,found', [
    ('gs://b/run', 'gs://b/run'), ('gs://b/run/', 'gs://b/run'),
    ('gs://b//', 'gs://b'), ('gs://b', 'gs://b'), ('runs/', '{here}/runs'),
    ('gs:x/y', '{here}/gs:x/y')])
@pytest.mark.parametrize('name', ['mirror', 'states'])
def test_a_folder_in_a_bucket_has_one_text(home, name, given, found):
  config = features.get_config()
  with config.unlocked():
    config[name] = given
  paths.make_absolute(config)
  assert config[name] == found.format(here=home.parent / 'here')


@pytest.mark.parametrize('given,said', [
    ('gs://b/../run', 'which a bucket takes for names'),
    ('gs://b/./run', r"mirror='gs://b/./run' must be gs://BUCKET/NAME"),
    ('gs://b//run', 'without empty parts'), ('gs://', 'BUCKET/NAME'),
    ('gs:///run', 'BUCKET/NAME'), ('gs:/b/run', 'write gs://BUCKET/NAME'),
    ('foo://b/run', 'foo:// is not known; gs:// is')])
def test_what_would_be_another_folder_than_meant_is_refused(home, given, said):
  del home
  config = features.get_config()
  with config.unlocked():
    config.mirror = given
  with pytest.raises(ValueError, match=said):
    paths.make_absolute(config)
