"""Every experiment of the paper can be asked for, and small ones run."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

from experiments.configs.paper import pool
from mmal_jax.experiment import cells

_FOLDER = pathlib.Path(pool.__file__).parent
_NAMES = sorted(
    p.stem for p in _FOLDER.glob('*.py') if p.stem != '__init__')
_SMALL = (
    '--config.dataset.pretrain=8', '--config.dataset.pool=40',
    '--config.dataset.test=8', '--config.dataset.image_size=16',
    '--config.model.width=16', '--config.model.heads=2',
    '--config.model.depth=1', '--config.warm_start.steps=2',
    '--config.train.steps_per_round=2', '--seeds=0')


def _config(name):
  spec = importlib.util.spec_from_file_location(
      name, _FOLDER / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config()


@pytest.mark.parametrize('name', _NAMES)
def test_all_cells_of_an_experiment_can_be_run(name):
  config = _config(name)
  # Checked, each of them.
  found = cells.product(config, cells.parse(config.get('sweep', ())))
  settings_count = len(found) / len(config.strategies) / len(config.seeds)
  assert settings_count == int(settings_count) >= 1
  assert len(config.seeds) >= 5


def test_keys_that_change_together():
  config = _config('streaming')
  found = cells.product(config, cells.parse(config.sweep))
  triples = {(cell.config.stream.buffer, cell.config.rounds, cell.config.batch)
             for cell in found}
  assert triples == {(250, 12, 50), (500, 6, 100), (1000, 3, 200)}
  assert all(rounds * batch == 600 and rounds * buffer == 3000
             for buffer, rounds, batch in triples)
  with pytest.raises(ValueError, match='2 keys, and 1 values'):
    cells.product(config, cells.parse(['rounds+batch=3']))


@pytest.mark.long
@pytest.mark.parametrize('name,settings', [
    ('streaming', ['stream.buffer+rounds+batch=20+2+4,40+2+4']),
    pytest.param(
        'wrong_answers', ['oracle.wrong=0.5', 'oracle.mistake=uniform,near'],
        marks=pytest.mark.slow),
])
def test_small_sweeps_of_the_paper(tmp_path, name, settings):
  done = subprocess.run(
      [sys.executable, '-m', 'experiments.sweep', '--config',
       str(_FOLDER / f'{name}.py'), *_SMALL, '--rounds=2', '--batch=4',
       '--strategies=random,mmal', *(f'--set={s}' for s in settings),
       f'--workdir={tmp_path / "w"}', f'--cache_dir={tmp_path / "c"}',
       '--noasked'], capture_output=True, text=True, check=False)
  assert not done.returncode, done.stderr
  summaries = list((tmp_path / 'w' / 'cells').rglob('summary.json'))
  assert len(summaries) == 4
  for path in summaries:
    assert json.loads(path.read_text())['annotations'][-1] == 8
  assert 'random' in (tmp_path / 'w' / 'report' / 'report.md').read_text()
