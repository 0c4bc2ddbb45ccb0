"""The same comparison on all feature sets of a folder."""

import subprocess
import sys

import numpy as np
import pytest

from experiments import feature_sets
from experiments.configs import features
from mmal_jax.experiment import build
from mmal_jax.experiment import datasets
from mmal_jax.experiment import feature_sets as sets_lib
from mmal_jax.learn.closed_form import learner as closed_form
from mmal_jax.workdir import layout
from tests.support import tiny


def _sets(folder, names=('a', 'b')):
  folder.mkdir()
  for i, name in enumerate(names):
    items = tiny.feature_pairs(80, i).items
    np.savez(folder / f'{name}.npz', image=items['image'], text=items['text'],
             split=np.array(['train'] * 60 + ['test'] * 20))
  return folder


def _config_of(path):
  return sets_lib.config_of(
      path, features.get_config, strategies=['random'], num_seeds=2, rounds=2,
      share=0.1)


def _flags(tmp_path, sets, *arguments):
  argv = ['feature_sets', f'--sets={sets}', f'--workdir={tmp_path / "w"}',
          f'--cache_dir={tmp_path / "c"}', '--num_seeds=2', '--num_rounds=2',
          '--share=0.1', *arguments]
  feature_sets.flags.FLAGS.unparse_flags()
  feature_sets.flags.FLAGS(argv)
  return argv


def _main(tmp_path, sets, *arguments):
  feature_sets.main(_flags(tmp_path, sets, *arguments)[:1])


@pytest.mark.long
def test_a_table_of_all_sets_that_is_resumed(tmp_path, capsys):
  sets = _sets(tmp_path / 'sets')
  _main(tmp_path, sets, '--of=random,mmal')
  said = capsys.readouterr().out
  for name in ('a', 'b'):
    for row in ('random', 'mmal', 'whole pool'):
      assert f'| {name}   | {row}' in said
  assert not (tmp_path / 'w' / 'a' / layout.MATCHES).exists()
  before = (tmp_path / 'w' / 'a' / layout.METRICS).read_bytes()
  _main(tmp_path, sets, '--of=random,mmal')
  assert (tmp_path / 'w' / 'a' / layout.METRICS).read_bytes() == before
  assert capsys.readouterr().out.splitlines()[-9:] == said.splitlines()[-9:]


def test_what_is_no_set_is_refused(tmp_path):
  sets = _sets(tmp_path / 'sets', ['a'])
  np.savez(sets / 'b.npz', image=np.ones((3, 2), np.float32))
  with pytest.raises(SystemExit, match='b.npz has no array \'text\''):
    _main(tmp_path, sets)
  with pytest.raises(SystemExit, match='holds no .npz'):
    _main(tmp_path, tmp_path)
  assert not (tmp_path / 'w').exists()


@pytest.mark.parametrize('content,said', [
    (b'', 'b.npz is empty'), (b'PK\3\4cut', 'b.npz is no .npz file'),
    (b'<!DOCTYPE html><html>', 'b.npz is a web page'),
    (b'\x93NUMPY\1\0', 'b.npz is no .npz file'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n',
     'b.npz is a Git LFS pointer')])
def test_what_is_no_npz_is_named(tmp_path, content, said):
  sets = _sets(tmp_path / 'sets', ['a'])
  (sets / 'b.npz').write_bytes(content)
  with pytest.raises(SystemExit, match=said):
    _main(tmp_path, sets)


def test_sets_are_checked_before_the_first_is_run(tmp_path):
  sets = _sets(tmp_path / 'sets', ['a'])
  items = tiny.feature_pairs(80, 1).items
  np.savez(sets / 'b.NPZ', image=items['image'], text=items['text'][:70],
           split=np.array(['train'] * 60 + ['test'] * 20))
  (sets / 'b.NPZ.npz').rename(sets / 'b.NPZ')
  with pytest.raises(SystemExit, match='b.NPZ: '):
    _main(tmp_path, sets)
  with pytest.raises(SystemExit, match='holds no nope.npz; it holds a, b'):
    _main(tmp_path, sets, '--names=a,nope')
  assert not (tmp_path / 'w').exists()


def test_pickled_names_of_splits_are_not_read(tmp_path):
  sets = _sets(tmp_path / 'sets', ['a'])
  (sets / '._a.npz').write_bytes(b'\0\5\x16\7')  # macOS leaves such.
  np.savez(sets / 'b.npz', image=np.ones((3, 2), np.float32),
           text=np.ones((3, 2), np.float32),
           split=np.array(['train', 'train', 'test'], object))
  with pytest.raises(SystemExit, match='b.npz: its array split cannot be read'):
    _main(tmp_path, sets)


def test_another_setting_of_the_closed_form_makes_another_learner(tmp_path):
  path = next(_sets(tmp_path / 'sets', ['a']).glob('*.npz'))
  configs = [features.get_config() for _ in range(2)]
  for config in configs:
    config.dataset.images = config.dataset.texts = str(path)
    config.dataset.split = str(path)
    config.rounds, config.batch = 2, 6
  configs[1].closed_form.world, configs[1].closed_form.rank = False, 3
  first = build.build(configs[0], str(tmp_path / 'c'))
  second = build.build(configs[1], str(tmp_path / 'c'), first)
  assert isinstance(first.learner, closed_form.ClosedForm)
  assert first.learner.world and first.learner.rank == 256
  assert not second.learner.world and second.learner.rank == 3


@pytest.mark.parametrize('flag,said', [
    ('--strategies=coreset', 'use --of'), ('--seeds=0', 'use --num_seeds'),
    ('--rounds=2', 'use --num_rounds'), ('--batch=7', 'use --share'),
    ('--resume', 'is not for feature sets')])
def test_flags_of_single_runs_are_refused(tmp_path, flag, said):
  sets = _sets(tmp_path / 'sets', ['a'])
  with pytest.raises(SystemExit, match=said):
    _main(tmp_path, sets, flag)
  feature_sets.flags.FLAGS.unparse_flags()


@pytest.mark.parametrize('split', [
    ['train'] * 60 + ['test'] * 20, ['train'] * 40 + ['h\u00e9ld'] * 20
    + ['test'] * 20])
@pytest.mark.parametrize('as_bytes', [False, True])
def test_splits_may_be_bytes(tmp_path, split, as_bytes):
  items = tiny.feature_pairs(80, 0).items
  names = np.array(split)
  if as_bytes:
    names = np.char.encode(names, 'utf-8')
    assert names.dtype.kind == 'S'
  path = tmp_path / 'a.npz'
  np.savez(path, image=items['image'], text=items['text'], split=names)
  config = _config_of(path)
  data = datasets.load_raw(config, '')
  pool = split.count('train')
  assert config.batch == pool // 10
  assert len(data.pool) == pool and len(data.test) == 20


def test_bytes_of_a_split_that_are_no_utf8_are_refused(tmp_path):
  path = tmp_path / 'a.npz'
  np.savez(path, image=np.ones((2, 3)), text=np.ones((2, 3)),
           split=np.array([b'train', b't\xe9st']))
  with pytest.raises(ValueError, match='a.npz: its array split cannot be read'):
    _config_of(path)


@pytest.mark.long
def test_as_a_program_it_knows_no_flags_of_a_run(tmp_path):
  """Which it refuses where both are imported."""
  done = subprocess.run(
      [sys.executable, '-m', 'experiments.feature_sets',
       f'--workdir={tmp_path / "w"}'],
      capture_output=True, text=True, timeout=300, check=False)
  assert done.stderr == 'error: give --sets, a folder of .npz files.\n'
