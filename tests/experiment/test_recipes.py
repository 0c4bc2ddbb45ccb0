"""The recipes for a user's own data, run as the guide shows them."""

import csv
import json
import pathlib
import re
import shlex

import pytest

from experiments import run
from mmal_jax.workdir import layout
from tests.support import bad_images
from tests.support import photo_tables
from tests.support import programs

_GUIDE = (pathlib.Path(layout.__file__).parents[1] / 'data' / 'README.md'
          ).read_text().replace('\\\n', '')
_SMALL = ('--config.train.steps_per_round=1', '--config.model.width=16',
          '--config.model.depth=1', '--strategies=random',
          '--config.train.batch_size=4', '--batch=2', '--rounds=1', '--seeds=0')


def _commands(heading):
  """The commands of a section of the guide."""
  (section, ) = re.findall(
      rf'^## {heading}\n(.*?)(?=^## |\Z)', _GUIDE, re.S | re.M)
  found = re.findall(r'^python -m experiments\.run (.*)$', section, re.M)
  assert found
  return [pytest.param(shlex.split(one), id=one.rpartition('=')[2])
          for one in found]


@pytest.fixture(name='here')
def _here(tmp_path, monkeypatch):
  """What the recipes name, in the folder in which they run."""
  names = [f'photos/{name}' for name in photo_tables.photos(
      tmp_path / 'photos', 24)]
  for name, of in (('photos.csv', names[:20]), ('known.csv', names[20:])):
    with open(tmp_path / name, 'w', newline='') as file:
      rows = csv.DictWriter(file, ('file', 'caption', 'id'))
      rows.writeheader()
      rows.writerows({'file': one, 'caption': f'a photo, {one}', 'id': 7}
                     for one in of)
  (tmp_path / 'photos.jsonl').write_bytes(photo_tables.json_lines(
      {'file': one, 'caption': [f'a photo {one}', f'{one} again']}
      for one in names))
  monkeypatch.chdir(tmp_path)
  return tmp_path


def _run(arguments):
  programs.call(run, *arguments, *_SMALL, '--cache_dir=cache',
                parse=run.parse_flags)
  (workdir, ) = [one.partition('=')[2] for one in arguments
                 if one.startswith('--workdir=')]
  lines = (pathlib.Path(workdir) / layout.METRICS).read_text().splitlines()
  assert {json.loads(line)['round'] for line in lines} == {0, 1}


@pytest.mark.long
@pytest.mark.parametrize('arguments', _commands('A table of images and texts'))
def test_a_table(here, arguments):
  if '--oracle=files' not in arguments:
    _run(arguments)
    return
  with programs.ends(run.WAITING):
    _run(arguments)
  tasks = json.loads(
      (here / 'runs/asked/seed0/round_001/tasks.json').read_text())
  assert len(tasks) == 2


@pytest.mark.long
@pytest.mark.parametrize('arguments', _commands('A dataset of Hugging Face'))
def test_a_dataset_of_hugging_face(here, arguments):
  datasets = pytest.importorskip('datasets')
  datasets.Dataset.from_dict(
      {'image': [{'bytes': bad_images.noise(i), 'path': None}
                 for i in range(20)],
       'caption': [f'a photo {i}' for i in range(20)]},
      datasets.Features({'image': datasets.Image(),
                         'caption': datasets.Value('string')})).save_to_disk(
                             here / 'DATASET')
  _run(arguments)
