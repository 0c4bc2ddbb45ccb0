"""The cells of a sweep are those that its plan says, by their names."""

# pylint: disable=protected-access

import json
import shutil

import pytest

from experiments.configs import features
from mmal_jax.analysis import records
from mmal_jax.experiment import cells
from mmal_jax.experiment import sweep
from mmal_jax.files import durable
from mmal_jax.workdir import finished
from mmal_jax.workdir import json_files
from mmal_jax.workdir import layout
from mmal_jax.workdir import plan
from tests.support import small_runs

_SETTINGS = {'train.shift': ['0', '2'], 'rounds+batch': ['2+2', '2+3']}


def _name(strategy, shift, batch, seed):
  return f'{strategy}-train.shift={shift}-rounds=2-batch={batch}-seed{seed}'


_FIRST = _name('mmal', 0, 2, 0)


def _make(folder, **changes):
  """A sweep of sixteen cells, fourteen of which are finished."""
  common = {name: value for name, value in small_runs.CONFIG.items()
            if name not in ('strategies', 'seeds')} | changes
  folder.mkdir()
  json_files.write(folder / records.PLAN, {
      'strategies': ['mmal', 'random'], 'seeds': [0, 1], 'set': _SETTINGS,
      'config': common})
  for shift in (0, 2):
    for batch in (2, 3):
      for strategy in ('mmal', 'random'):
        for seed in (0, 1):
          cell = folder / records.CELLS / _name(strategy, shift, batch, seed)
          cell.mkdir(parents=True)
          small_runs.workdir(cell)
          layout.write(cell / layout.CONFIG, common | {
              'strategies': [strategy], 'seeds': [seed], 'batch': batch,
              'train': {'shift': shift}})
  for name in (_name('random', 2, 3, seed) for seed in (0, 1)):
    (folder / records.CELLS / name / layout.SUMMARY).unlink()
  return folder


@pytest.fixture(name='folder')
def _folder(tmp_path):
  return _make(tmp_path / 'sweep')


def _put(folder, name, source):
  shutil.rmtree(folder / records.CELLS / name)
  shutil.copytree(source, folder / records.CELLS / name)


def test_cells_that_are_what_their_names_say(folder):
  (folder / records.CELLS / '.ipynb_checkpoints').mkdir()
  stopped = folder / records.CELLS / _name('random', 2, 3, 0)
  (stopped / layout.CONFIG).write_text('{')  # Its run will look at that.
  found, unfinished = finished.experiments(folder)
  assert (len(found), unfinished) == (14, 2)


@pytest.mark.parametrize('other,said', [
    (_name('random', 0, 2, 0), "strategies: ['random'] there, ['mmal'] now"),
    (_name('mmal', 0, 2, 1), 'seeds: [1] there, [0] now'),
    (_name('mmal', 2, 2, 0), 'train.shift: 2 there, 0 now'),
    (_name('mmal', 0, 3, 0), 'batch: 3 there, 2 now')])
def test_a_cell_in_place_of_another_is_refused(folder, other, said):
  _put(folder, _FIRST, folder / records.CELLS / other)
  with pytest.raises(ValueError) as e:
    finished.experiments(folder)
  assert f'{_FIRST} does not hold the cell that its name says' in str(e.value)
  assert said in str(e.value)


def test_a_cell_of_another_sweep_is_refused(folder, tmp_path):
  other = _make(tmp_path / 'other', costs={'budget': 3.0})
  _put(folder, _FIRST, other / records.CELLS / _FIRST)
  with pytest.raises(ValueError, match='costs.budget: 3.0 there, None now'):
    records.read([folder])


def test_a_folder_that_is_no_cell_is_refused(folder):
  cell = folder / records.CELLS / _FIRST
  shutil.copytree(cell, cell.with_name('copy'))
  with pytest.raises(ValueError, match='cells/copy is no cell of the sweep'):
    finished.experiments(folder)


@pytest.mark.parametrize('old,new', [
    ('"0"', '"1"'), ('"budget": null', '"budget": 1'), ('"crc32"', '"crc33"'),
    ('"seeds": [\n    0,', '"seeds": [\n    2,')])
def test_a_plan_that_was_changed_is_refused(folder, old, new):
  path = folder / records.PLAN
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new))
  with pytest.raises(ValueError, match='sweep.json is damaged, or was changed'):
    finished.experiments(folder)


def test_a_plan_of_an_earlier_version_has_no_checksum(folder):
  path = folder / records.PLAN
  fields = json.loads(path.read_text())
  del fields['crc32']
  path.write_text(json.dumps(fields))
  assert len(finished.experiments(folder)[0]) == 14
  path.write_text(json.dumps(fields | {'config': {'rounds': 2}}))
  with pytest.raises(ValueError, match='sets what its own config does not'):
    finished.experiments(folder)


def test_of_two_sweeps_that_begin_at_once_one_has_the_folder(
    tmp_path, monkeypatch):
  config, folder = features.get_config(), tmp_path / 'sweep'
  write = durable.write

  def others_first(path, content):
    if path.suffix == '.draft' and not (folder / records.PLAN).exists():
      monkeypatch.setattr(durable, 'write', write)
      sweep._claim(folder, config, {'batch': ['3']})
    write(path, content)

  monkeypatch.setattr(durable, 'write', others_first)
  with pytest.raises(ValueError, match='holds another sweep'):
    sweep._claim(folder, config, {'batch': ['2']})
  assert json_files.read(folder / records.PLAN)['set'] == {'batch': ['3']}
  sweep._claim(folder, config, {'batch': ['3']})
  assert [path.name for path in folder.iterdir()] == [records.PLAN]


def test_a_report_of_a_sweep_goes_where_no_link_leads(
    folder, tmp_path, monkeypatch):
  other = tmp_path / 'other'
  other.mkdir()
  (other / 'summary.json').write_text('of another')
  (folder / 'report').symlink_to(other)
  monkeypatch.setattr(
      sweep.report_lib, 'write', lambda paths, out, *_, **__: (
          out.mkdir(), (out / 'summary.json').touch()))
  sweep.report(folder, '')
  assert (other / 'summary.json').read_text() == 'of another'
  assert (folder / 'report' / 'summary.json').read_text() == ''


@pytest.mark.parametrize('settings', [
    [], ['train.peak_lr=1,1e-3', 'model.width=8'],
    ['dataset.images=a/image.npy,../b/image.npy,/c/image.npy'],
    ['rounds+batch=2+3,3+2', 'train.learner=gradient'],
    ['oracle.wrong=0,0.1', 'acquisition.metric=cosine'],
    ['oracle.wrong=False,True'], ['rounds=2', 'rounds+batch=3+4,4+5'],
    ["dataset.images='a/image.npy',b.npy"]])
def test_whatever_a_sweep_runs_is_what_its_plan_says(tmp_path, settings):
  config = features.get_config()
  config.dataset.images = config.dataset.texts = '/data/x.npy'
  config.whole_pool, config.batch = True, None
  config.seeds = (0, 1)
  settings, folder = cells.parse(settings), tmp_path / 'sweep'
  made = cells.product(config, settings)
  sweep._claim(folder, config, settings)
  for cell in made:
    home = folder / records.CELLS / cell.name
    home.mkdir(parents=True)
    if cell.config.batch is None:
      cell.config.batch = 7  # As a run fills it in.
    layout.write(home / layout.CONFIG, cell.config.to_dict())
    layout.write(home / layout.SUMMARY, {})
  read = layout.read(folder / records.PLAN)
  homes = [folder / records.CELLS / cell.name for cell in made]
  plan.check(read, folder / records.PLAN, homes)
  for home, other in zip(homes, homes[1:]):
    shutil.copy(other / layout.CONFIG, home / layout.CONFIG)
    with pytest.raises(ValueError, match='does not hold the cell'):
      plan.check(read, folder / records.PLAN, [home])
