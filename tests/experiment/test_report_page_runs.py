"""The page of reports of real runs: what it finds in their folders."""

import hashlib
import json
import re
import shutil
from unittest import mock

import numpy as np
import pytest

from experiments.configs import colorswap
from experiments.configs import features
from mmal_jax.config import create
from mmal_jax.embed import in_memory
from mmal_jax.experiment import build
from mmal_jax.experiment import datasets
from mmal_jax.experiment import report
from mmal_jax.experiment import report_page
from mmal_jax.experiment import run
from mmal_jax.workdir import layout
from tests.support import tiny

pytestmark = [pytest.mark.long, pytest.mark.usefixtures('quick_compilation')]


def _page(tmp_path, **options):
  """The text of the page, and what its script is given."""
  report.write([tmp_path / 'w'], tmp_path / 'r', str(tmp_path / 'c'), **options)
  text = (tmp_path / 'r' / 'report.html').read_text('utf-8')
  found, = re.findall(
      '<script type="application/json" id="data">(.*)</script>', text)
  return text, json.loads(found)


def _digests(folder):
  return {path: hashlib.sha256(path.read_bytes()).hexdigest()
          for path in folder.rglob('*') if path.is_file()}


def test_features_have_a_map_and_matches(tmp_path):
  pairs = tiny.feature_pairs(80, 0)
  for name, items in pairs.items.items():
    np.save(tmp_path / f'{name}.npy', items)
  config = create.config_of(
      features.get_config(), batch=8, rounds=2, strategies=('mmal',),
      dataset={'images': str(tmp_path / 'image.npy'),
               'texts': str(tmp_path / 'text.npy')})
  run.run(config, tmp_path / 'w', str(tmp_path / 'c'))
  before = _digests(tmp_path / 'w')
  text, held = _page(tmp_path)
  assert 'of the features as they were given' in text
  for modality, of in held['map'].items():
    assert len(of['x']) == 64 and of['rounds'].count(0) == 64 - 16
    # Texts of the map are those of the rows that the run hid.
    assert of['texts'][of['numbers'].index(0)].endswith(f'of {modality}.npy')
  lines = layout.read_lines(layout.matches_path(
      tmp_path / 'w', 'mmal', 0) / 'matches.jsonl')
  best = max(line['counterparts'][0]['probability'] for line in lines)
  found = [float(p) for p in re.findall(
      r'class="probability">([\d.]+) %', text)]
  assert found == sorted(found, reverse=True)
  assert found[0] == pytest.approx(100 * best, abs=0.06)
  # Of large pools all that was asked or named is on the map.
  with mock.patch.object(report_page, '_MOST_ITEMS', 20):
    text, held = _page(tmp_path)
  assert '26 of 64 items' in text
  assert all(of['rounds'].count(0) == 10 for of in held['map'].values())
  # What a report reads it leaves as it is, whole or damaged.
  assert _digests(tmp_path / 'w') == before
  file = layout.matches_path(tmp_path / 'w', 'mmal', 0) / 'matches.jsonl'
  file.write_bytes(file.read_bytes()[:-9])
  text, _ = _page(tmp_path, map_by='none')
  assert 'are damaged: matches.jsonl is not as it was written' in text
  assert 'It was left out by --map=none.' in text
  assert {*_digests(tmp_path / 'w')} == {*before}


def test_the_last_encoder_makes_the_map_of_images_and_texts(tmp_path):
  config = create.config_of(
      colorswap.get_config(), batch=4, rounds=2, strategies=('mmal',),
      dataset={'pretrain': 8, 'pool': 12, 'test': 8, 'image_size': 16},
      model={'width': 16, 'heads': 2, 'depth': 1}, warm_start={'steps': 2},
      train={'steps_per_round': 2})
  run.run(config, tmp_path / 'w', str(tmp_path / 'c'))
  before = _digests(tmp_path / 'w')
  shutil.rmtree(tmp_path / 'c' / 'warm_starts')  # It is not needed.
  with mock.patch.object(build, 'train_warm_start', side_effect=AssertionError):
    text, held = _page(tmp_path)
  assert 'of the embeddings after round 2' in text
  assert {m: len(of['x']) for m, of in held['map'].items()} == {
      'image': 24, 'text': 24}
  assert np.ptp(held['map']['image']['x']) > 100
  assert text.count('<img class="picture') >= 8
  assert 'data:image/webp;base64,' in text and _digests(
      tmp_path / 'w') == before
  # Damaged states are named, and stay where they are.
  for seal in (tmp_path / 'w' / 'states').rglob('*.sha256.json'):
    seal.write_text('{}')
  there = {*_digests(tmp_path / 'w')}
  text, held = _page(tmp_path)
  assert 'is damaged: its seal is broken' in text and held['map'] == {}
  assert {*_digests(tmp_path / 'w')} == there
  shutil.rmtree(tmp_path / 'w' / 'states')
  text, _ = _page(tmp_path)
  assert 'There is no map: no state of the run is kept' in text
  assert text.count('<img class="picture') >= 8


def test_no_warm_start_is_trained_for_a_map(tmp_path):
  config = create.config_of(
      colorswap.get_config(), train={'learner': 'closed_form'},
      dataset={'pretrain': 8, 'pool': 12, 'test': 8, 'image_size': 16},
      model={'width': 16, 'heads': 2, 'depth': 1})
  data = datasets.load(config, str(tmp_path))
  with pytest.raises(ValueError, match='would have to be trained anew'):
    build.frozen_towers(config, data, None)
  # Without one, runs start from a fresh model.
  graphdef, params = build.frozen_towers(
      config, data._replace(pretrain=None), None)
  rows = in_memory.embed_to_host(
      graphdef, params, data.pool.items['text'].values, 'text')
  assert len(rows) == 24 and np.isfinite(rows).all()
