"""Checkpoints of runs that an earlier version began, or that are gone by now.
"""

import json

import numpy as np
from PIL import Image
import pytest

from experiments import report
from experiments import workdir
from experiments.configs import pretrained as pretrained_config
from tests import programs
from tests import small_runs


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
  workdir.write(folder / workdir.CONFIG, config.to_dict())
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
