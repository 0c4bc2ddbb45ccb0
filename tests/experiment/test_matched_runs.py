"""What runs write of the rest of the pool, and what reports make of it."""

import dataclasses
import json
import os
import pathlib
import re
import sys
import types
from unittest import mock

from absl import flags
from absl.testing import flagsaver
# It defines flags when it is imported, as TFDS does at its first read: were
# that inside `flagsaver`, they would be gone afterwards.
from array_record.python import array_record_data_source  # noqa: F401
import numpy as np
from PIL import Image
import pytest

from experiments import run
from mmal_jax import remaining_matches
from mmal_jax.acquire import registry as strategies
from mmal_jax.analysis import calibrated
from mmal_jax.analysis import records
from mmal_jax.data import encode
from mmal_jax.data import paired_folder
from mmal_jax.experiment import matches
from mmal_jax.experiment import rematch
from mmal_jax.experiment import report
from mmal_jax.matching import pool as pool_lib
from mmal_jax.pools import pools as pools_lib
from mmal_jax.workdir import layout
from mmal_jax.workdir import records_file
from tests.support import tiny

pytestmark = pytest.mark.usefixtures('quick_compilation')
_CONFIGS = os.path.join(os.path.dirname(run.__file__), 'configs')


def _main(folder, config, *arguments):
  """Runs the program in this process."""
  argv = ['run', f'--config={_CONFIGS}/{config}.py',
          f'--workdir={folder / "w"}', f'--cache_dir={folder / "c"}',
          *arguments]
  # The config's own values are read from sys.argv.
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    flags.FLAGS.unparse_flags()
    run.main(flags.FLAGS(argv))
  return folder / 'w'


def _features(folder):
  pairs = tiny.feature_pairs(80, 0)
  for name, items in pairs.items.items():
    np.save(folder / f'{name}.npy', items)
  return [f'--config.dataset.images={folder}/image.npy',
          f'--config.dataset.texts={folder}/text.npy']


@pytest.mark.parametrize('strategy,chosen', [
    ('lottery@image', False), ('random', False), ('mmal@random', True)])
def test_only_what_is_drawn_uniformly_was_not_chosen(
    monkeypatch, strategy, chosen):
  monkeypatch.setitem(strategies.STRATEGIES, 'lottery', dataclasses.replace(
      strategies.find('random'), name='lottery'))
  monkeypatch.setattr(
      remaining_matches, 'match', lambda *given, chosen, recall: chosen)
  experiment = types.SimpleNamespace(learner=None)
  assert matches.find(experiment, None, None, strategy, 5) is chosen


@pytest.mark.long
def test_features_end_to_end(tmp_path, capsys):
  arguments = [*_features(tmp_path), '--batch=8', '--rounds=2', '--seeds=0,1',
               '--config.matches.k=3', '--config.matches.least_probability=0.4']
  folder = _main(tmp_path, 'features', *arguments)
  for seed in (0, 1):
    out = layout.matches_path(folder, 'mmal', seed)
    found = records_file.read(out / matches.MATCHES)
    assert len(found) == 2 * (64 - 16)
    asked = {(m, n) for record in records_file.queries(folder / layout.QUERIES)
             if record['strategy'] == 'mmal' and record['seed'] == seed
             for answer in record['answers']
             for m, n in zip(('image', 'text'), answer)}
    right = 0
    for record in found:
      assert (record['modality'], record['item']) not in asked
      assert len(record['counterparts']) == 3
      stated = [c['probability'] for c in record['counterparts']]
      assert 0 <= min(stated) and stated[0] == max(stated) and sum(stated) <= 1
      # Features are called by their rows, which are those of their pairs.
      own, other = (one['name'].partition(' of ')[0] for one in (
          record, record['counterparts'][0]))
      right += other == own
    pairs = records_file.read(out / matches.PAIRS)
    assert [p['probability'] for p in pairs[:16]] == [1.0] * 16
    assert all(p['probability'] >= 0.4 for p in pairs)
    record, = (record for record in records_file.calibration(
        folder / layout.CALIBRATION) if record['strategy'] == 'mmal'
             and record['seed'] == seed)
    assert record['to_be_had'] == 48 and sum(record['items']['count']) == 96
    np.testing.assert_allclose(
        np.dot(record['items']['count'], record['items']['true']), right)
  # Once more nothing is written; what was lost is made again, the same.
  before = {p: p.read_bytes() for p in folder.rglob('*.jsonl')}
  (out / matches.PAIRS).unlink()
  _main(tmp_path, 'features', *arguments, '--resume')
  for path, content in before.items():
    if path.name != layout.CALIBRATION:
      assert path.read_bytes() == content
  rematch.rematch(
      folder, str(tmp_path / 'c'), 'mmal', 1, 3, 0.4, tmp_path / 'again')
  for name in (matches.MATCHES, matches.PAIRS):
    assert (tmp_path / 'again' / name).read_bytes() == before[out / name]
  lines = rematch.rematch(
      folder, str(tmp_path / 'c'), 'mmal', 1, 3, 0.4, tmp_path / 'nearly',
      recall=0.8)
  assert len(lines) == 2 and ' % was found' in lines[0]
  records_ = records.read([folder])
  assert [len(r.calibration) for r in records_.runs['mmal']] == [1, 1]
  report.write([folder], tmp_path / 'r', '', asked=False)
  text = (tmp_path / 'r' / 'report.md').read_text()
  assert calibrated.table(records_) in text
  assert re.search(r'\| mmal +\| image-text \| 16 ', text)
  assert (tmp_path / 'r' / 'calibration.png').stat().st_size > 1000
  capsys.readouterr()


def test_program_refuses(tmp_path, capsys):
  folder = _main(
      tmp_path, 'features', *_features(tmp_path), '--batch=8', '--rounds=1',
      '--seeds=0', '--strategies=random')
  for strategy, out, message in (
      ('mmal', 'new', 'no state of strategy'), ('random', 'w', 'exists')):
    with pytest.raises(ValueError, match=message):
      rematch.rematch(
          folder, '', strategy, 0, 5, 0.9, tmp_path / out)
  assert not (tmp_path / 'new').exists()
  np.save(tmp_path / 'text.npy', np.load(tmp_path / 'text.npy') + 1)
  with pytest.raises(ValueError, match='not those with which'):
    rematch.rematch(folder, '', 'random', 0, 5, 0.9, tmp_path / 'new')
  capsys.readouterr()


@pytest.mark.long
def test_without_the_section_or_by_gradient_nothing_is_matched(
    tmp_path, capsys):
  arguments = [*_features(tmp_path), '--batch=8', '--rounds=1', '--seeds=0',
               '--strategies=random', '--config.train.steps_per_round=1']
  folder = _main(tmp_path, 'features', *arguments,
                 '--config.train.learner=gradient')
  assert not (folder / layout.MATCHES).exists()
  report.write([folder], tmp_path / 'r', '', asked=False)
  assert 'matched' not in (tmp_path / 'r' / 'report.md').read_text()
  folder = _main(tmp_path, 'features', *arguments, '--overwrite', '--batch=4')
  assert not (folder / layout.MATCHES).exists()  # of too few answers
  folder = _main(tmp_path, 'features', *arguments, '--overwrite')
  assert (folder / layout.MATCHES).exists()
  capsys.readouterr()


@pytest.mark.long
def test_paired_folder_reads_the_pairs(tmp_path, capsys):
  rng = np.random.default_rng(0)
  images = tmp_path / 'images'
  images.mkdir()
  with open(images / 'pairs.jsonl', 'w', encoding='utf-8') as table:
    for i in range(40):
      pixels = rng.integers(256, size=(8, 8, 3)).astype(np.uint8)
      Image.fromarray(pixels).save(images / f'{i}.png')
      row = {'image': f'{i}.png', 'text': f'noise {i}'}
      table.write(json.dumps(row) + '\n')
  folder = _main(
      tmp_path, 'images_and_texts', f'--config.dataset.folder={images}',
      '--config.train.learner=closed_form', '--config.model.width=16',
      '--config.model.depth=1', '--rounds=2', '--batch=4', '--seeds=0',
      '--strategies=random', '--config.matches.least_probability=0')
  made = layout.matches_path(folder, 'random', 0).resolve() / matches.PAIRS
  found = paired_folder.load(images, str(made), image_size=8)
  count = len(found.pool) + len(found.test)
  assert count == len(made.read_text().splitlines()) > 8
  problems = []
  names = {(row.image.name, row.text) for row in paired_folder.read_table(
      images, str(made), problems)}
  assert not problems
  right = sum((f'{i}.png', f'noise {i}') in names for i in range(40))
  assert right >= 8  # the answers
  capsys.readouterr()


def _items(n):
  return encode.Items(np.zeros((n, 1)), np.arange(n, dtype=np.int32))


def test_calibration_counts_what_is_right():
  """Two pairs of three remain; one item has no counterpart."""
  ways = {
      ('image', 'text'): pool_lib.Matches(
          np.array([0, 1, 2]), np.array([[1], [0], [2]]),
          np.array([[0.95], [0.3], [0.2]]), np.array([True, True, True])),
      ('text', 'image'): pool_lib.Matches(
          np.array([0, 1, 2]), np.array([[1], [0], [2]]),
          np.array([[0.3], [0.95], [0.2]]), np.array([True, True, True]))}
  hidden = pools_lib.Hidden(
      np.array([[0, 1], [1, 2], [2, -1], [-1, 0]]), {})
  record, = matches.calibration_records(
      ways, hidden, pools_lib.Pools({'image': _items(3), 'text': _items(3)}),
      ('image', 'text'))
  assert record['of'] == ['image', 'text'] and record['to_be_had'] == 2
  assert record['had'] == {'0.9': 1, '0.99': 1}
  np.testing.assert_array_equal(record['items']['count'], [2, 2, 2])
  np.testing.assert_array_equal(record['items']['true'], [0, 0, 1])
  np.testing.assert_array_equal(record['pairs']['true'], [0, 0, 1])


@pytest.mark.parametrize('change', [
    {'of': ['image']}, {'items': {}}, {'had': {'0.9': 3}}, {'seed': 'x'},
    {'pairs': {'least': [0.0], 'count': [], 'stated': [0.1], 'true': [0.1]}}])
def test_damaged_calibration_is_reported(tmp_path, change):
  bins = {'least': [0.0], 'count': [3], 'stated': [0.1], 'true': [0.1]}
  record = {'strategy': 'mmal', 'seed': 0, 'annotations': 4,
            'of': ['image', 'text'], 'items': bins, 'pairs': bins,
            'to_be_had': 3, 'had': {'0.9': 0, '0.99': 0}}
  path = pathlib.Path(tmp_path / layout.CALIBRATION)
  assert records_file.calibration(path) == []
  layout.append(path, record)
  assert records_file.calibration(path) == [record]
  layout.append(path, record | change)
  with pytest.raises(ValueError, match='line 2'):
    records_file.calibration(path)


@pytest.mark.long
def test_rows_that_do_not_belong_together_are_noticed(tmp_path, caplog):
  rng = np.random.default_rng(0)
  np.save(tmp_path / 'image.npy', rng.normal(size=(120, 8)).astype(np.float32))
  np.save(tmp_path / 'text.npy', rng.normal(size=(120, 6)).astype(np.float32))
  _main(tmp_path, 'features', *(
      f'--config.dataset.{name}s={tmp_path / name}.npy'
      for name in ('image', 'text')), '--batch=24', '--rounds=1', '--seeds=0',
        '--strategies=random')
  assert ('are predicted hardly better than by chance. Is row i of each '
          'modality of one item, and are the answers right?') in caplog.text


@pytest.mark.long
def test_pairs_that_do_not_belong_together_are_noticed(tmp_path, caplog):
  """Of data without rows, none are spoken of."""
  rng = np.random.default_rng(0)
  lines_ = []
  for i in range(100):
    Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)).save(
        tmp_path / f'{i}.png')
    lines_.append({'image': f'{i}.png', 'text': f'number {rng.random()}'})
  (tmp_path / 'pairs.jsonl').write_text('\n'.join(map(json.dumps, lines_)))
  _main(tmp_path, 'images_and_texts', f'--config.dataset.folder={tmp_path}',
        '--config.train.learner=closed_form', '--batch=24', '--rounds=1',
        '--seeds=0', '--strategies=random')
  assert ('are predicted hardly better than by chance. Are the pairs, or the '
          'answers, right?') in caplog.text
  assert 'image.txt' not in caplog.text and ' row' not in caplog.text
