"""Of a symbolic link among a program's files the link alone may go, and nothing
of what it leads to may change."""

import pathlib

import numpy as np
import pytest
import tokenizers

from experiments import run
from mmal_jax.analysis import figures
from mmal_jax.analysis import plot
from mmal_jax.checkpoint import newest
from mmal_jax.experiment import report
from mmal_jax.files import durable
from mmal_jax.workdir import layout
from mmal_jax.workdir import states
from tests.support import programs
from tests.support import small_runs


@pytest.fixture(name='outside')
def _outside(tmp_path):
  """A folder with what must stay as it is."""
  folder = tmp_path / 'outside'
  (folder / 'mmal-seed0').mkdir(parents=True)
  (folder / 'mmal-seed0' / 'thesis.tex').write_text('years of work')
  (folder / 'file').write_text('more of it')
  yield folder
  assert _files(folder) == {
      'mmal-seed0/thesis.tex': b'years of work', 'file': b'more of it'}


def _files(folder):
  return {str(path.relative_to(folder)): path.read_bytes()
          for path in folder.rglob('*') if path.is_file()}


def _linked(path: pathlib.Path, to: pathlib.Path) -> None:
  durable.remove(path)
  path.symlink_to(to)


@pytest.mark.parametrize('path', ['file', 'mmal-seed0', 'nothing'])
def test_of_a_link_the_link_is_removed(tmp_path, outside, path):
  _linked(tmp_path / 'a', outside / path)
  durable.remove(tmp_path / 'a')
  assert not (tmp_path / 'a').is_symlink()
  (tmp_path / 'folder').mkdir()
  _linked(tmp_path / 'folder' / 'a', outside / path)
  durable.remove(tmp_path / 'folder')
  durable.remove(tmp_path / 'folder')
  assert sorted(p.name for p in tmp_path.iterdir()) == ['outside']


@pytest.mark.parametrize('name', [
    layout.STATES, layout.JOURNALS, layout.MODELS, layout.MATCHES,
    layout.PRETRAINED, layout.METRICS, layout.CONFIG, '.config.json.draft'])
@pytest.mark.parametrize('to', ['file', 'mmal-seed0', 'nothing'])
def test_a_workdir_is_cleared_of_its_links(tmp_path, outside, name, to):
  folder = tmp_path / 'w'
  folder.mkdir()
  small_runs.workdir(folder)
  _linked(folder / name, outside / to)
  layout.claim(folder)
  assert not list(folder.iterdir())


def test_states_elsewhere_are_cleared_of_links_to_runs(tmp_path, outside):
  folder = tmp_path / 's'
  folder.mkdir()
  _linked(folder / 'mmal-seed0', outside / 'mmal-seed0')
  states.clear(str(folder))
  assert not list(folder.iterdir())


def test_checkpoints_that_are_links_make_room(tmp_path, outside):
  folder = tmp_path / 's'
  kept = newest.Checkpoints(folder, 1)
  for step in range(3):
    kept.save(step, {'a': np.zeros(3)})
    kept.wait()
    _linked(folder / str(step + 1), outside / 'mmal-seed0')  # as if unfinished
  _linked(folder / '1', outside / 'mmal-seed0')  # as if being removed
  kept.save(3, {'a': np.ones(3)})
  kept.wait()
  assert sorted(p.name for p in folder.iterdir()) == ['3', '3.sha256.json']


@pytest.mark.long
def test_a_run_replaces_one_with_links(tmp_path, outside):
  programs.save_features(tmp_path / 'data')
  flags = [*programs.features(tmp_path / 'data'), *programs.SMALL,
           '--rounds=1', f'--workdir={tmp_path / "w"}',
           f'--cache_dir={tmp_path / "cache"}']
  programs.call(run, *flags)
  for name in (layout.STATES, layout.JOURNALS):
    _linked(tmp_path / 'w' / name, outside)
  _linked(tmp_path / 'w' / layout.CURVES, outside / 'file')
  programs.call(run, *flags, '--overwrite')
  assert (tmp_path / 'w' / layout.SUMMARY).exists()
  # Nor does one that goes on draw into what a link leads to.
  _linked(tmp_path / 'w' / layout.CURVES, outside / 'file')
  programs.call(run, *flags, '--resume')
  assert (tmp_path / 'w' / layout.CURVES).read_bytes()[1:4] == b'PNG'


@pytest.mark.long
def test_a_tokenizer_replaces_a_link(tmp_path, outside, monkeypatch):
  claim = layout.claim

  def with_a_link(path):
    _linked(claim(path) / layout.TOKENIZER, outside / 'file')

  monkeypatch.setattr(layout, 'claim', with_a_link)
  programs.call(
      run, f'--config={programs.CONFIGS}/colorswap.py', *programs.SMALL,
      '--rounds=1', '--config.dataset.pretrain=8', '--config.dataset.pool=12',
      '--config.dataset.test=8', '--config.dataset.image_size=16',
      '--config.model.heads=2', '--config.model.depth=1',
      '--config.warm_start.steps=2', f'--workdir={tmp_path / "w"}',
      f'--cache_dir={tmp_path / "cache"}')
  path = tmp_path / 'w' / layout.TOKENIZER
  assert not path.is_symlink()
  assert tokenizers.Tokenizer.from_file(str(path)).get_vocab_size() >= 256


def test_a_picture_replaces_a_link(tmp_path, outside):
  _linked(tmp_path / 'a.png', outside / 'file')
  figures.save(
      plot.modalities({'mmal': {'image': np.ones(2)}}), tmp_path / 'a.png')
  assert not (tmp_path / 'a.png').is_symlink()


def test_a_report_makes_room_among_links_and_leaves_folders(tmp_path, outside):
  out = tmp_path / 'report'
  out.mkdir()
  for name, to in (('report.md', 'file'), ('curves.png', 'mmal-seed0'),
                   ('.summary.json.draft', 'nothing')):
    _linked(out / name, outside / to)
  report._prepare(out)  # pylint: disable=protected-access
  assert not list(out.iterdir())
  (out / 'report.md').touch()
  (out / 'asked.png').mkdir()
  with pytest.raises(ValueError, match=r"holds .'asked.png'., which no report"):
    report._prepare(out)  # pylint: disable=protected-access
  assert (out / 'report.md').exists()
