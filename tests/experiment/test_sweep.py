"""Sweeps: cells, shards, what is stopped, what fails, what contradicts."""

import contextlib
import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from unittest import mock

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest

from experiments import sweep
from experiments.configs import features
from mmal_jax.analysis import records
from mmal_jax.experiment import cells
from mmal_jax.experiment import datasets
from mmal_jax.experiment import preemption
from mmal_jax.experiment import run
from mmal_jax.experiment import sweep as sweep_lib
from mmal_jax.workdir import layout
from mmal_jax.workdir import saved_config
from tests.support import outcomes
from tests.support import tiny
from tests.support import together

pytestmark = pytest.mark.usefixtures('quick_compilation')

_CONFIG = features.__file__
_NAMES = [f'{strategy}-train.pseudo_pairs={v}-seed3' for v in (0, 1)
          for strategy in ('mmal', 'random')]


@pytest.fixture(name='data', scope='module')
def _data(tmp_path_factory):
  folder = tmp_path_factory.mktemp('data')
  pairs = tiny.feature_pairs(30, 0)
  for name in pairs.items:
    np.save(folder / f'{name}.npy', pairs.items[name])
  return folder


def _arguments(data, folder):
  return [f'--config={_CONFIG}', f'--workdir={folder}',
          f'--cache_dir={data}', f'--config.dataset.images={data}/image.npy',
          f'--config.dataset.texts={data}/text.npy',
          '--config.train.learner=gradient',
          '--config.train.steps_per_round=2', '--config.model.width=8',
          '--config.model.embed_dim=4', '--rounds=2', '--batch=4',
          '--strategies=mmal,random', '--seeds=3',
          '--set=train.pseudo_pairs=0,1']


def _main(data, folder, *arguments):
  """Runs the program in this process; its own flags come last, and win."""
  argv = ['sweep', *_arguments(data, folder), *arguments]
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    flags.FLAGS.unparse_flags()
    sweep.main(flags.FLAGS(argv))


@contextlib.contextmanager
def _interrupted():
  """Where Ctrl-C ends the program, but not this process."""
  with mock.patch.object(preemption, 'end', sys.exit):
    with pytest.raises(SystemExit) as e:
      yield
  assert e.value.code == preemption.INTERRUPTED


@pytest.fixture(name='whole', scope='module')
def _whole(data, tmp_path_factory):
  """A sweep of four cells, by two shards."""
  folder = tmp_path_factory.mktemp('whole') / 'sweep'
  for shard in ('0/2', '1/2'):
    _main(data, folder, f'--shard={shard}')
  return folder


def _found(folder):
  """All that was measured and asked, but for what clocks say."""
  found = {}
  for cell in sorted((folder / 'cells').iterdir()):
    found[cell.name] = (
        outcomes.metrics(cell), layout.read_lines(cell / layout.QUERIES))
  return found


@pytest.mark.long
def test_shards_run_at_one_time(data, tmp_path):
  folder = tmp_path / 'sweep'
  ended = together.run(
      'experiments.sweep', [*_arguments(data, folder), '--config.mesh.data=-1'],
      [['--shard=0/2'], ['--shard=1/2']])
  assert [status for status, *_ in ended] == [0, 0], ended
  assert sorted(_found(folder)) == sorted(_NAMES)
  _main(data, folder, '--report')
  report = (folder / 'report' / 'report.md').read_text()
  assert 'not finished' not in report


@pytest.mark.long
def test_two_shards_make_a_whole(whole):
  found = _found(whole)
  assert sorted(found) == sorted(_NAMES)
  for name, (metrics, queries) in found.items():
    assert [m['round'] for m in metrics] == [0, 1, 2] and len(queries) == 2
    config = json.loads((whole / 'cells' / name / 'config.json').read_text())
    assert config['seeds'] == [3]
    assert [f'{config["strategies"][0]}-train.pseudo_pairs='
            f'{config["train"]["pseudo_pairs"]:.0f}-seed3'] == [name]
  report = (whole / 'report' / 'report.md').read_text()
  assert '| mmal, train.pseudo_pairs=1   | random, train.pseudo_pairs=1' in (
      report)
  assert 'not finished' not in report


def _ended(said):
  """Lines of cells that ended, without those of steps and of cells begun."""
  return [line for line in said.splitlines() if line.startswith('[')]


@pytest.mark.long
def test_a_sweep_that_is_stopped_and_fails_ends_as_the_others(
    data, whole, tmp_path, capsys):
  folder, true_run, ran = tmp_path / 'sweep', run.run, []
  trouble = {_NAMES[1]: KeyboardInterrupt, _NAMES[2]: RuntimeError}

  def troubled(config, home, *args, **kwargs):
    ran.append(home.name)
    if home.name in trouble:
      home.mkdir(exist_ok=True)
      (home / layout.METRICS).write_text('half a li')
      raise trouble.pop(home.name)('out of luck\nand more')
    if home.name in (_NAMES[0], _NAMES[3]):  # Their results need no proof.
      shutil.copytree(whole / 'cells' / home.name, home, dirs_exist_ok=True)
      return ''
    return true_run(config, home, *args, **kwargs)

  with mock.patch.object(run, 'run', troubled):
    with _interrupted():
      _main(data, folder)
    assert ran == _NAMES[:2]
    with pytest.raises(SystemExit, match='1 of 4 cells failed') as e:
      _main(data, folder)
    assert e.value.code.startswith('error: ')  # And so the exit code is 1.
    assert ran[2:] == _NAMES[1:]
    said = _ended(capsys.readouterr().err)
    assert said[-4] == f'[1/4] {_NAMES[0]}: was finished'
    assert said[-2] == f'[3/4] {_NAMES[2]}: failed: RuntimeError: out of luck'
    failed, = layout.read_lines(folder / 'failed.jsonl')
    assert failed.pop('time').endswith(' UTC')
    assert failed == {'cell': _NAMES[2],
                      'error': 'RuntimeError: out of luck\nand more'}
    assert not (folder / 'report').exists()
    _main(data, folder, '--report', '--noasked')
    assert '1 of the cells of' in (folder / 'report/report.md').read_text()
    _main(data, folder)
    assert ran[5:] == [_NAMES[2]]
  assert _found(folder) == _found(whole)
  _main(data, folder)  # There is nothing left to run.


def test_a_cell_that_another_program_runs_is_left_to_it(
    data, whole, tmp_path, capsys):
  folder = tmp_path / 'sweep'
  theirs = folder / 'cells' / _NAMES[0] / layout.METRICS

  def copied(config, home, *args, **kwargs):
    if home.name == _NAMES[1]:  # Meanwhile, elsewhere, the third is finished.
      shutil.copytree(whole / 'cells' / _NAMES[2], folder / 'cells' / _NAMES[2])
    shutil.copytree(whole / 'cells' / home.name, home, dirs_exist_ok=True)

  (folder / 'locks').mkdir(parents=True)
  shutil.copy(whole / records.PLAN, folder)
  theirs.parent.mkdir(parents=True)
  theirs.write_text('half a li')
  with open(folder / 'locks' / _NAMES[0], 'w', encoding='utf-8') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    with mock.patch.object(run, 'run', copied):
      _main(data, folder)
  assert theirs.read_text() == 'half a li'
  said = capsys.readouterr()
  assert '3 of 4 cells are finished' in said.out
  lines = _ended(said.err)
  assert lines[0] == f'[1/4] {_NAMES[0]}: another program runs it'
  assert lines[2] == f'[3/4] {_NAMES[2]}: was finished'
  assert not (folder / 'failed.jsonl').exists()
  with mock.patch.object(run, 'run', copied):
    _main(data, folder)
  assert _found(folder) == _found(whole)


def test_another_sweep_is_refused_with_what_differs(data, whole, tmp_path):
  with pytest.raises(SystemExit) as e:
    _main(data, whole, '--seeds=3,4', '--config.train.peak_lr=0.5')
  assert e.value.code.splitlines()[1:] == [
      '  config.train.peak_lr: 0.001 there, 0.5 now',
      '  seeds: [3] there, [3, 4] now']
  with pytest.raises(SystemExit, match='set.train.shift: None there'):
    _main(data, whole, '--set=train.shift=0')
  (tmp_path / 'thesis.tex').write_text('years of work')
  with pytest.raises(SystemExit, match='holds no sweep, but is not empty'):
    _main(data, tmp_path)


@pytest.mark.parametrize('argument,what', [
    ('--shard=2/2', "shard='2/2' must be I/N"),
    ('--shard=1', "shard='1' must be I/N"),
    ('--set=train.peak_rl=1', 'Did you mean train.peak_lr?'),
    ('--set=rounds.x=1', 'set=rounds.x=1: rounds.x is no value'),
    ('--set=train=1', 'set=train=1: '),
    ("--set=train={'shift': 0}", 'set=train is a section'),
    ('--set=train.shift', 'must be written as KEY=VALUE,VALUE'),
    ('--set=train.pseudo_pairs=1', 'and no key twice'),
    ('--set=seeds=1', 'use --seeds'),
    ('--set=train.shift=0,0', 'twice'),
    ('--set=train.peak_lr=0.1,fast', 'set=train.peak_lr=fast: '),
    ('--set=costs.image=dear', 'set=costs.image=dear: '),
    ('--set=train.shift=0,-1', 'train.shift=-1 must be'),
    ('--overwrite', '--overwrite is not for sweeps'),
    ('--out=elsewhere', '--out is not for sweeps'),
    ('--states=elsewhere', '--states is not for sweeps'),
    ('--num_processes=2', '--num_processes is not for sweeps'),
    ('--report', 'sweep is no folder')])
def test_bad_flags_run_nothing(data, tmp_path, argument, what):
  with pytest.raises(SystemExit) as e:
    _main(data, tmp_path / 'sweep', argument)
  assert what in e.value.code and e.value.code.startswith('error: ')
  assert not (tmp_path / 'sweep').exists()


def test_cells_have_configs_of_their_own():
  config = features.get_config()
  config.dataset.images = config.dataset.texts = 'x.npy'
  config.strategies, config.seeds = ('mmal', 'random'), (0, 5)
  found = cells.product(
      config, {'train.peak_lr': ['1e-3', '1e+0'], 'oracle.name': ['exact'],
               'dataset.images': ['a/b.npy']})
  assert len(found) == len({cell.name for cell in found}) == 8
  assert [(c.config.strategies[0], c.config.seeds[0], c.config.train.peak_lr)
          for c in found[:5]] == [
              ('mmal', 0, 1e-3), ('random', 0, 1e-3), ('mmal', 5, 1e-3),
              ('random', 5, 1e-3), ('mmal', 0, 1.0)]
  assert found[0].name == ('mmal-train.peak_lr=0.001-oracle.name=exact-'
                           'dataset.images=a%2Fb.npy-seed0')
  assert found[0].config.dataset.images == os.path.abspath('a/b.npy')
  assert config.dataset.images == 'x.npy' and len(config.seeds) == 2


def test_data_is_read_once_for_all_cells_that_share_it(data, tmp_path):
  read = []
  config = features.get_config()
  config.dataset.images = str(data / 'image.npy')
  config.dataset.texts = str(data / 'text.npy')
  config.train.learner = 'gradient'
  config.strategies = 'mmal', 'random'
  config.rounds, config.batch = 2, 4
  before = None
  with mock.patch.object(
      run, 'run', lambda *_, experiment, **__: read.append(experiment)):
    for cell in cells.product(config, {'dataset.seed': ['0', '1'],
                                       'train.peak_lr': ['1e-3', '1e-2']}):
      before = cells.run_here(cell, tmp_path, '', before)
  # Two datasets for two learning rates, two strategies and five seeds each; a
  # learner, for which programs are compiled, for each dataset and rate.
  for name, times in (('data', 20), ('learner', 10)):
    parts = [getattr(experiment, name) for experiment in read]
    assert [next(i for i, first in enumerate(parts) if first is found)
            for found in parts] == [
                i - i % times for i in range(40)]
  assert [e.config.seeds for e in read[:4:2]] == [(0,), (1,)]
  np.testing.assert_array_equal(
      read[20].data.pool.items['image'].values,
      datasets.load(cell.config, '').pool.items['image'].values)


@pytest.fixture(name='stub')
def _stub(tmp_path, monkeypatch):
  """In place of Python: copies the config where a run would write."""
  path = tmp_path / 'python'
  path.write_text(f'''#!{sys.executable}
import os, pathlib, shutil, sys, time
flags = dict(argument.partition('=')[::2] for argument in sys.argv[3:])
home = pathlib.Path(flags['--workdir'])
home.mkdir(exist_ok=True)
if 'random' in home.name:
  sys.exit('a warning\\nerror: no luck:\\n  line 1\\n  line 2')
if 'seed9' in home.name:
  (home / 'pid').write_text(str(os.getpid()))
  time.sleep(600)
shutil.copy(flags['--config'].partition(':')[2], home / 'config.json')
(home / 'summary.json').write_text(sys.argv[2])
''')
  path.chmod(path.stat().st_mode | stat.S_IXUSR)
  monkeypatch.setattr(sys, 'executable', str(path))


@pytest.mark.usefixtures('stub')
def test_processes(data, tmp_path, capsys):
  folder = tmp_path / 'sweep'
  with pytest.raises(SystemExit, match='4 of 8 cells failed'):
    _main(data, folder, '--processes=3', '--seeds=3,4')
  failed = layout.read_lines(folder / 'failed.jsonl')
  assert len(failed) == 4
  assert failed[0]['error'] == (
      'RuntimeError: ended with 1: no luck:\n  line 1\n  line 2')
  assert len(capsys.readouterr().err.splitlines()) == 8
  cell = folder / 'cells' / 'mmal-train.pseudo_pairs=1-seed4'
  assert (cell / 'summary.json').read_text() == 'experiments.run'
  config = saved_config.get_config(str(cell / 'config.json'))
  assert config.train.pseudo_pairs == 1 and config.seeds == [4]
  assert not list(folder.glob('*.draft'))


@pytest.mark.usefixtures('stub')
def test_no_process_is_left_when_a_sweep_is_stopped(data, tmp_path):
  folder = tmp_path / 'sweep'
  pid = folder / 'cells' / 'mmal-train.pseudo_pairs=0-seed9' / 'pid'

  def interrupted(futures):
    while not (pid.exists() and pid.read_text()):
      assert time.perf_counter() - started < 300
      time.sleep(0.05)
    raise KeyboardInterrupt

  started = time.perf_counter()
  with mock.patch.object(
      sweep_lib.concurrent.futures, 'as_completed', interrupted):
    with _interrupted():
      _main(data, folder, '--strategies=mmal', '--seeds=3,9', '--processes=2')
  assert time.perf_counter() - started < 300
  with pytest.raises(ProcessLookupError):
    os.kill(int(pid.read_text()), 0)


@pytest.mark.long
@pytest.mark.parametrize('processes', [1, 2])
def test_a_signal_to_end_ends_it_as_it_does_a_run(data, tmp_path, processes):
  folder = tmp_path / 'sweep'
  command = [sys.executable, '-m', 'experiments.sweep',
             *_arguments(data, folder), '--rounds=20', '--batch=1',
             f'--processes={processes}']
  started = time.perf_counter()
  with subprocess.Popen(command, stderr=subprocess.PIPE,
                        text=True) as process:
    while not list(folder.glob(f'cells/*/{layout.METRICS}')):
      assert process.poll() is None and time.perf_counter() - started < 300
      time.sleep(0.01)
    process.terminate()
    said = process.stderr.read()
  assert process.returncode == preemption.PREEMPTED, said
  assert 'The same command goes on' in said
  assert not (folder / 'failed.jsonl').exists()
  assert len(list(folder.glob(f'cells/*/{layout.SUMMARY}'))) < 4


@pytest.mark.slow
def test_processes_give_what_one_gives(data, whole, tmp_path):
  _main(data, tmp_path / 'sweep', '--processes=2')
  both = _found(tmp_path / 'sweep'), _found(whole)
  # Here the compiler does not optimize, which rounds otherwise.
  losses = [[record.pop('loss') for name in _NAMES
             for record in found[name][0][1:]] for found in both]
  np.testing.assert_allclose(*losses, rtol=1e-5)
  assert both[0] == both[1]


def test_a_sweep_reads_as_its_cells(whole):
  found = records.read([whole])
  assert found.seeds == [3] and not found.notes
  assert found.runs == records.read(
      sorted((whole / records.CELLS).iterdir())).runs
