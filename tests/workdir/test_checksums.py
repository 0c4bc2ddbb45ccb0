"""Files with a checksum are never read unchecked; versions are recognised."""

import json
import pathlib
import re
import shutil
from typing import NamedTuple

import pytest

from experiments import diagnose
from experiments import export
from experiments import match
from experiments import report
from experiments import run
from mmal_jax.workdir import checksums
from mmal_jax.workdir import layout
from mmal_jax.workdir import saved_config
from tests.support import damaged_runs
from tests.support import programs

_VERSIONS = checksums.Version


class _Made(NamedTuple):
  """An experiment, and the flags of its run but for its folder."""

  folder: pathlib.Path
  flags: list[str]


@pytest.fixture(name='made', scope='module')
def _made(tmp_path_factory):
  """A finished experiment."""
  home = tmp_path_factory.mktemp('made')
  made = _Made(home / 'w', [
      *damaged_runs.features(home), '--strategies=random,mmal', '--seeds=0',
      f'--cache_dir={home / "c"}'])
  programs.call(run, *made.flags, f'--workdir={made.folder}')
  return made


@pytest.fixture(name='folder')
def _folder(made, tmp_path):
  """A copy of it."""
  shutil.copytree(made.folder, tmp_path / 'w')
  return tmp_path / 'w'


def _report(folder):
  programs.call(report, f'--workdirs={folder}', '--workdir=x', '--noasked',
                f'--out={folder.parent / "report"}')


def _of_a_run(program, flag):
  def call(folder):
    programs.call(program, f'--workdir={folder}', '--strategy=mmal', '--seed=0',
                  f'--{flag}={folder.parent / flag}')
  return call


_match = _of_a_run(match, 'matched')
_PROGRAMS = pytest.mark.parametrize('program', [
    _report, _match, _of_a_run(export, 'export'),
    lambda folder: programs.call(diagnose, f'--workdir={folder}')],
    ids=['report', 'match', 'export', 'diagnose'])


def _make_earlier(folder, version):
  """Removes what an earlier version did not write."""
  for path in folder.glob('*.json'):
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({
        name: value for name, value in fields.items()
        if name not in (checksums.KEY, 'files')}))
  for path in folder.glob('*.jsonl') if version < _VERSIONS.WITH_ID else ():
    path.write_text(re.sub(', "crc32": "[0-9a-f]*"', '', path.read_text()))
  if version == _VERSIONS.WITHOUT_ID:
    (folder / layout.PROVENANCE).unlink()


@pytest.mark.long
@_PROGRAMS
def test_without_run_json_what_has_a_checksum_is_refused(folder, program):
  (folder / layout.PROVENANCE).unlink()
  before = sorted(folder.rglob('*'))
  with programs.ends() as e:
    program(folder)
  assert f'{folder / layout.PROVENANCE} is missing' in e.value.code
  assert sorted(folder.rglob('*')) == before


@pytest.mark.long
@pytest.mark.parametrize('name', [
    layout.SUMMARY, layout.ITEMS, layout.METRICS, layout.QUERIES,
    layout.CALIBRATION])
def test_no_single_file_is_read_unchecked(folder, name):
  kept = (folder / name).read_bytes()
  _make_earlier(folder, _VERSIONS.WITHOUT_ID)
  _report(folder)
  (folder / name).write_bytes(kept)
  with programs.ends() as e:
    _report(folder)
  assert f'run.json is missing, which says to what experiment {name}' in (
      e.value.code)


@pytest.mark.parametrize('version', list(_VERSIONS))
def test_versions(made, folder, version):
  if version < _VERSIONS.WITH_CHECKSUMS:
    _make_earlier(folder, version)
  assert checksums.version(folder) == version
  _report(folder)
  if version:
    _match(folder)
  else:
    with programs.ends() as e:
      _match(folder)
    assert ('was begun by an earlier version, which wrote no run.json' in
            e.value.code)
    with programs.ends() as e:
      programs.call(run, *made.flags, f'--workdir={folder}', '--resume')
    assert 'an earlier version, which wrote none, began this' in e.value.code


def test_missing_digests_of_items_are_noted(folder, caplog):
  (folder / layout.ITEMS).unlink()
  _report(folder)
  said = f'{folder / layout.ITEMS} is missing, which was there'
  assert said in caplog.text
  assert 'items.json is missing, which was there' in (
      folder.parent / 'report' / 'report.md').read_text().replace('\\', '')
  caplog.clear()
  _make_earlier(folder, _VERSIONS.WITHOUT_ID)  # It may never have had one.
  _report(folder)
  assert said not in caplog.text


def test_a_copy_of_a_config_is_read_with_a_warning(folder, tmp_path, caplog):
  whole = saved_config.get_config(folder / layout.CONFIG)
  assert not caplog.text
  path = shutil.copy(folder / layout.CONFIG, tmp_path / 'mine.json')
  assert saved_config.get_config(path) == whole
  assert 'mine.json belongs: it cannot be checked' in caplog.text
  with pytest.raises(ValueError, match='it cannot be checked'):
    saved_config.read(path)


def test_match_takes_no_older_state_where_records_were_cut(folder):
  for name in (layout.METRICS, layout.QUERIES):
    lines = (folder / name).read_text().splitlines(keepends=True)
    (folder / name).write_text(''.join(
        line for line in lines
        if json.loads(line)['strategy'] != 'mmal' or '"round": 3' not in line))
  states = folder / layout.STATES / 'mmal-seed0'
  shutil.rmtree(states / '3')
  (states / '3.sha256.json').unlink()
  with programs.ends() as e:
    _match(folder)
  assert 'metrics.jsonl is not as it was when the experiment' in e.value.code


@pytest.mark.parametrize('text', [None, '', '{"experiment": 3}'])
def test_overwriting_needs_no_run_json(made, folder, text):
  (folder / layout.PROVENANCE).unlink()
  if text is not None:
    (folder / layout.PROVENANCE).write_text(text)
  with programs.ends() as e:
    programs.call(run, *made.flags, f'--workdir={folder}', '--resume')
  assert 'run.json' in e.value.code
  programs.call(run, *made.flags, f'--workdir={folder}', '--overwrite')
  assert checksums.version(folder) == _VERSIONS.WITH_CHECKSUMS


def test_diagnose_takes_no_round_twice(folder):
  path = folder / layout.QUERIES
  lines = path.read_text().splitlines(keepends=True)
  path.write_text(''.join([*lines[:-1], lines[1]]))
  with programs.ends() as e:
    programs.call(diagnose, f'--workdir={folder}')
  assert 'queries.jsonl is not as it was when the experiment was finished' in (
      e.value.code)
