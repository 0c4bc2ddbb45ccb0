"""Checkpoints of runs that an earlier version began, or that are gone by now.
"""

import hashlib
import json

import jax
import numpy as np
from PIL import Image
import pytest
import safetensors.numpy

from experiments import report
from experiments import run
from experiments.configs import pretrained as pretrained_config
from mmal_jax.experiment import earlier
from mmal_jax.experiment import export
from mmal_jax.experiment import identity
from mmal_jax.workdir import checksums
from mmal_jax.workdir import layout
from tests.support import programs
from tests.support import small_files
from tests.support import small_runs


@pytest.fixture(name='folder')
def _folder(tmp_path):
  """A finished run on a checkpoint: its records, and sixteen pictures."""
  photos, folder = tmp_path / 'photos', tmp_path / 'w'
  photos.mkdir()
  folder.mkdir()
  rng = np.random.default_rng(0)
  for i in range(16):
    Image.fromarray(rng.integers(256, size=(30, 30, 3), dtype=np.uint8)).save(
        photos / f'{i}.png')
  (photos / 'pairs.jsonl').write_text(''.join(
      json.dumps({'image': f'{i}.png', 'text': f'cat {i}'}) + '\n'
      for i in range(16)))
  small_runs.workdir(folder)
  config = pretrained_config.get_config('paired_folder')
  config.dataset.folder, config.init = str(photos), str(tmp_path / 'init')
  config.strategies, config.seeds, config.rounds = ('mmal',), (0,), 2
  config.batch = 2
  layout.write(folder / layout.CONFIG, config.to_dict())
  return folder


@pytest.mark.parametrize('left,said', [
    (None, 'init does not exist, and is no name of a repository (owner/name).'),
    ({}, 'config.json does not exist'),
    ({'config.json': '{"model_type": "sig'}, 'config.json is not JSON'),
    ({'config.json': '{"model_type": "bert"}'}, 'bert')])
def test_a_report_says_why_a_checkpoint_was_not_compared(
    folder, left, said, tmp_path):
  if left is not None:
    (tmp_path / 'init').mkdir()
    for name, text in left.items():
      (tmp_path / 'init' / name).write_text(text)
  programs.call(report, f'--workdirs={folder}', f'--out={tmp_path / "r"}',
                '--workdir=unused', '--metric=text')
  text = (tmp_path / 'r/report.md').read_text('utf-8')
  note, = [line for line in text.splitlines() if 'was not checked' in line]
  assert f'its checkpoint, {tmp_path / "init"}, cannot be read: ' in note
  assert said in note and 'is not there' not in note
  assert (tmp_path / 'r/asked.md').exists()


def _as_earlier(params):
  """The digest of parameters as an earlier version recorded it."""
  digest = hashlib.sha256()
  for path, value in jax.tree_util.tree_leaves_with_path(params):
    digest.update(f'{path} {value.shape} {value.dtype}'.encode())
    digest.update(np.asarray(value).tobytes())
  return digest.hexdigest()


@pytest.fixture(name='recorded')
def _recorded(folder, tmp_path):
  """What a version recorded of a checkpoint by its name; the run."""
  small_files.siglip(small_files.plain_tokenizer(tmp_path / 'init'))
  before = earlier.of_folder(folder)
  found = before.load_pretrained()
  now = identity.of_checkpoint(found)
  rest = {name: now[name] for name in ('tokenizer', 'preprocessing')}
  assert now['checkpoint'] != _as_earlier(found.params)
  return before, {
      'now': now, 'earlier': {'checkpoint': _as_earlier(found.params)} | rest,
      'without the rest': {'checkpoint': _as_earlier(found.params)},
      'without': {}}


@pytest.mark.parametrize(
    'version', ['now', 'earlier', 'without the rest', 'without'])
def test_a_run_of_an_earlier_version_goes_on(
    folder, recorded, version, tmp_path):
  before, records = recorded

  def params():
    return before.load_pretrained().params

  layout.write(folder / layout.ITEMS, records[version])
  found = identity.check(folder, records['now'], params)
  assert found == records['now']  # It is recorded as now from here on.
  # But not with other weights, where those were recorded.
  values = small_files.values()
  values[next(iter(values))][0] += 1
  safetensors.numpy.save_file(values, tmp_path / 'init/model.safetensors')
  other = identity.of_checkpoint(before.load_pretrained())
  if version == 'without':
    assert identity.check(folder, other, params) == other
    return
  with pytest.raises(ValueError, match='^checkpoint: not those with which'):
    identity.check(folder, other, params)


@pytest.mark.long
def test_resume_and_export_of_an_earlier_version(folder, recorded, tmp_path):
  before, records = recorded
  config = before.config
  config.train.steps_per_round, config.rounds = 2, 1
  path = tmp_path / 'run.json'
  layout.write(path, config.to_dict())
  command = (f'--config={programs.CONFIGS}/saved.py:{path}',
             f'--workdir={tmp_path / "new"}', f'--cache_dir={tmp_path / "c"}')
  programs.call(run, *command)
  items = layout.read(tmp_path / 'new' / layout.ITEMS)
  assert items['checkpoint'] == records['now']['checkpoint']
  layout.write(
      tmp_path / 'new' / layout.ITEMS, items | records['earlier'])
  export.export(tmp_path / 'new', 'mmal', 0, tmp_path / 'home')
  assert (tmp_path / 'home/model.safetensors').exists()
  programs.call(run, *command, '--resume')
  assert layout.read(tmp_path / 'new' / layout.ITEMS) == items


@pytest.mark.long
def test_a_model_without_a_seal_is_exported_of_an_earlier_version_alone(
    folder, recorded, tmp_path):
  config = recorded[0].config
  config.train.steps_per_round, config.rounds = 2, 1
  layout.write(tmp_path / 'mine.json', config.to_dict())
  folder = tmp_path / 'new'
  programs.call(
      run, f'--config={programs.CONFIGS}/saved.py:{tmp_path / "mine.json"}',
      f'--workdir={folder}', f'--cache_dir={tmp_path / "c"}')
  (folder / layout.MODELS / 'mmal-seed0.sha256.json').unlink()
  with pytest.raises(ValueError, match='mmal-seed0 is damaged: it has no seal'):
    export.export(folder, 'mmal', 0, tmp_path / 'home')
  for path in folder.glob('*.json'):
    fields = json.loads(path.read_text())
    fields.pop(checksums.KEY, None)
    path.write_text(json.dumps(fields))
  (folder / layout.PROVENANCE).unlink()
  for path in (folder / layout.METRICS, folder / layout.QUERIES):
    path.unlink()  # Their lines have checksums.
  export.export(folder, 'mmal', 0, tmp_path / 'home')
  assert (tmp_path / 'home/model.safetensors').exists()
