"""The program: what it writes, what it prints, what it refuses."""

import itertools
import json
import os
import subprocess
import sys
import time
from unittest import mock

from absl import flags
from absl.testing import flagsaver
# It defines flags when it is imported, as TFDS does at its first read: were
# that inside `flagsaver`, they would be gone afterwards.
from array_record.python import array_record_data_source  # noqa: F401
import ml_collections
import numpy as np
from PIL import Image
import pytest

from experiments import run
from experiments.configs import colorswap
from mmal_jax.acquire import registry
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis import tables
from mmal_jax.experiment import check
from mmal_jax.experiment import diagnose
from mmal_jax.workdir import layout
from tests.support import tiny

_CONFIGS = os.path.join(os.path.dirname(run.__file__), 'configs')
_SMALL = [
    '--config.dataset.pretrain=8', '--config.dataset.pool=12',
    '--config.dataset.test=8', '--config.dataset.image_size=16',
    '--config.model.width=16', '--config.model.heads=2',
    '--config.model.depth=1',
    '--config.warm_start.steps=2', '--config.train.steps_per_round=2',
    '--config.rounds=2', '--config.batch=4']


def _main(tmp_path, *arguments, config='colorswap'):
  """Runs the program in this process; its own flags come last, and win."""
  name, colon, argument = config.partition(':')
  argv = ['run', f'--config={_CONFIGS}/{name}.py{colon}{argument}',
          f'--workdir={tmp_path / "w"}', f'--cache_dir={tmp_path / "c"}',
          *arguments]
  # The config's own values are read from sys.argv.
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    flags.FLAGS.unparse_flags()
    run.main(flags.FLAGS(argv))


def _error(tmp_path, *arguments, config='colorswap', lines=1):
  with pytest.raises(SystemExit) as e:
    _main(tmp_path, *arguments, config=config)
  message = str(e.value)
  assert message.startswith('error: ')
  assert len(message.splitlines()) == lines
  return message


_lines = layout.read_lines


@pytest.mark.long
def test_end_to_end(tmp_path, capsys):
  _main(tmp_path, *_SMALL, '--strategies=mmal,random', '--seeds=0,7')
  out = capsys.readouterr().out
  for word in ('zero-shot', 'mmal', 'random', 'saving', '±', 'group'):
    assert word in out
  folder = tmp_path / 'w'
  metrics = _lines(folder / layout.METRICS)
  assert len(metrics) == 2 * 2 * 3
  assert [m['annotations'] for m in metrics[:3]] == [0, 4, 8]
  assert {'group', 'text', 'image', 'i2t_r1', 't2i_r10'} <= set(
      metrics[0]['scores'])
  queries = _lines(folder / layout.QUERIES)
  assert len(queries) == 2 * 2 * 2 and len(queries[0]['asked']) == 4
  firsts = {(q['seed'], q['strategy']): q['asked']
            for q in queries if q['round'] == 1}
  assert firsts[0, 'mmal'] == firsts[0, 'random'] != firsts[7, 'mmal']
  summary = json.loads((folder / layout.SUMMARY).read_text())
  curve = summary['strategies']['mmal']['curves']['group']
  assert np.shape(curve) == (2, 3)
  last = [m for m in metrics if m['seed'] == 7 and m['strategy'] == 'mmal'][-1]
  assert last['scores']['group'] == curve[1][2]
  assert json.loads((folder / layout.CONFIG).read_text())['rounds'] == 2
  assert (folder / layout.CURVES).read_bytes().startswith(b'\x89PNG')
  assert (folder / layout.TOKENIZER).exists()
  assert (folder / layout.STATES / 'mmal-seed7').is_dir()

  table = diagnose.diagnose(folder, tmp_path / 'c')
  rows = [line.split('|')[1:] for line in table.splitlines()
          if line.startswith('|')]
  assert [row[0].strip() for row in rows[2:]] == [
      'all items', 'mmal', 'random']
  assert [cell.strip() for cell in rows[2][1:4]] == ['50.0 ± 0.0'] * 3

  # One warm start for all seeds.
  zero_shot = [m['scores'] for m in metrics if m['round'] == 0]
  assert all(scores == zero_shot[0] for scores in zero_shot)

  # The same again, elsewhere, is the same.
  _main(tmp_path, *_SMALL, '--strategies=mmal', '--seeds=7',
        f'--workdir={tmp_path / "w2"}')
  again = _lines(tmp_path / 'w2' / layout.METRICS)[-1]
  assert again['scores'] == last['scores']
  assert _lines(tmp_path / 'w2' / layout.QUERIES) == [
      q for q in queries if q['seed'] == 7 and q['strategy'] == 'mmal']

  # A used folder is safe, also from an --overwrite that is refused later.
  assert 'beyond the pool' in _error(
      tmp_path, *_SMALL, '--batch=13', '--overwrite')
  assert 'beyond the pools' in _error(
      tmp_path, *_SMALL, '--batch=11', '--config.missing=0.5', '--overwrite')
  assert 'must be above 0' in _error(
      tmp_path, *_SMALL, '--config.costs.image=0.0', '--overwrite')
  assert (folder / layout.SUMMARY).exists()
  assert 'is not empty: give --resume to' in _error(tmp_path, *_SMALL)
  assert 'give one of the two' in _error(tmp_path, '--resume', '--overwrite')
  (folder / 'thesis.tex').write_text('years of work')
  assert 'thesis.tex' in _error(tmp_path, *_SMALL, '--overwrite')
  assert (folder / layout.SUMMARY).exists()
  (folder / 'thesis.tex').unlink()
  unfinished = folder / layout.QUERIES
  unfinished.write_text(''.join(unfinished.open().readlines()[:-1]))
  with pytest.raises(ValueError, match='is not as it was when the experiment'):
    diagnose.diagnose(folder, tmp_path / 'c')
  (folder / layout.SUMMARY).unlink()
  with pytest.raises(ValueError, match='holds 7 of 8 rounds'):
    diagnose.diagnose(folder, tmp_path / 'c')
  _main(tmp_path, *_SMALL, '--strategies=coreset', '--seeds=1', '--overwrite')
  assert len(_lines(folder / layout.METRICS)) == 3
  assert 'no random run' in capsys.readouterr().out


def test_features_end_to_end(tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  pairs = tiny.feature_pairs(60, 0)
  np.save(tmp_path / 'x.npy', pairs.items['image'])
  np.save(tmp_path / 'y.npy', pairs.items['text'])
  arguments = [
      '--config.dataset.images=x.npy', '--config.dataset.texts=y.npy',
      '--config.train.steps_per_round=2', '--batch=8', '--seeds=0,1']
  _main(tmp_path, *arguments, '--budget=16', config='features')
  config = json.loads((tmp_path / 'w' / layout.CONFIG).read_text())
  assert config['dataset']['images'] == str(tmp_path / 'x.npy')
  out = capsys.readouterr().out
  assert "random's final mean_r10" in out
  for metric in ('i2t_r1', 'i2t_r5', 'i2t_r10', 't2i_r1', 't2i_r5', 't2i_r10'):
    assert f' {metric} ' in out
  assert 'beyond the pools: image has 48' in _error(
      tmp_path, *arguments, '--budget=56', '--overwrite', config='features')


def _clock(patch, times):
  """Another time at each reading."""
  patch.setattr('time.time', lambda: next(times))
  patch.setattr('time.time_ns', lambda: int(1e9 * next(times)))


@pytest.mark.long
def test_the_clock_may_jump(tmp_path, monkeypatch):
  for name, arrays in tiny.feature_pairs(40, 0).items.items():
    np.save(tmp_path / f'{name}.npy', arrays)
  arguments = [
      f'--config.dataset.images={tmp_path}/image.npy',
      f'--config.dataset.texts={tmp_path}/text.npy', '--seeds=0',
      '--strategies=mmal', '--config.train.steps_per_round=2', '--batch=8',
      '--budget=16']

  def results(folder, *more):
    _main(folder, *arguments, *more, config='features')
    return (_lines(folder / 'w' / layout.QUERIES),
            [(line['scores'], line.get('loss'))
             for line in _lines(folder / 'w' / layout.METRICS)])

  steady, now = results(tmp_path / 'steady'), time.time()
  for name, times in (
      ('wild', itertools.cycle([now, now + 60, now - 90, now + 30])),
      ('ahead', itertools.count(now, 1e5)),
      ('back', itertools.count(now, -1e5)),
      ('unset', itertools.chain([0.0] * 500, itertools.repeat(now)))):
    with monkeypatch.context() as patch:
      _clock(patch, times)
      assert results(tmp_path / name) == steady, name


@pytest.mark.long
def test_runs_that_end_at_different_costs_or_without_any(tmp_path, capsys):
  for name, values in tiny.feature_pairs(60, 0).items.items():
    np.save(tmp_path / f'{name}.npy', values)
  arguments = [
      f'--config.dataset.images={tmp_path / "image.npy"}',
      f'--config.dataset.texts={tmp_path / "text.npy"}',
      '--config.train.steps_per_round=2', '--batch=8', '--rounds=2',
      '--seeds=0', '--strategies=coreset@image,random@text']
  _main(tmp_path, *arguments, '--config.costs.text=3.0',
        '--config.costs.budget=10.0', config='features')
  # A text in the random first round; then 7 images, or 2 more texts.
  out = capsys.readouterr().out
  assert 'not measured at the same cost' in out and 'end at 9, the mo' in out
  summary = json.loads((tmp_path / 'w' / layout.SUMMARY).read_text())
  assert summary['annotations'] == [0, 3, 9] and summary['x'] == 'cost'
  _main(tmp_path, *arguments, '--config.costs.budget=0.5', '--overwrite',
        config='features')
  out = capsys.readouterr().out
  assert 'zero-shot' in out and 'not measured' in out
  summary = json.loads((tmp_path / 'w' / layout.SUMMARY).read_text())
  assert summary['annotations'] == [0]


@pytest.mark.long
def test_paired_folder_end_to_end(tmp_path, capsys):
  rng = np.random.default_rng(0)
  with open(tmp_path / 'pairs.jsonl', 'w', encoding='utf-8') as table:
    for i in range(40):
      pixels = rng.integers(256, size=(9 + i % 5, 12, 3)).astype(np.uint8)
      Image.fromarray(pixels).save(tmp_path / f'{i}.png')
      row = {'image': f'{i}.png', 'text': f'noise {i}'}
      table.write(json.dumps(row) + '\n')
  arguments = [
      f'--config.dataset.folder={tmp_path}', '--config.model.width=16',
      '--config.model.depth=1',
      '--config.train.steps_per_round=2', '--rounds=2', '--batch=4']
  _main(tmp_path, *arguments, config='images_and_texts')
  assert "random's final mean_r10" in capsys.readouterr().out
  (tmp_path / '7.png').unlink()
  message = _error(
      tmp_path, *arguments, '--overwrite', config='images_and_texts', lines=2)
  assert "line 8: image '7.png' does not exist" in message


def test_paths_left_open_are_asked_for(tmp_path):
  assert (
      'dataset.images, dataset.texts are not given: add '
      '--config.dataset.images='
      'PATH --config.dataset.texts=PATH. --show_config' in _error(
          tmp_path, config='features'))
  assert 'dataset.folder is not given' in _error(
      tmp_path, config='images_and_texts')


@pytest.mark.parametrize('arguments,what', [
    (['--strategies=mmal,oracle'], "strategy='oracle' is unknown; known are"),
    (['--strategies='], 'at least one is needed'),
    (['--strategies=mmal,mmal'], 'none twice'),
    (['--seeds=0,x'], "seeds='0,x' must be integers"),
    (['--seeds=1,1'], 'none twice'),
    (['--config.dataset.name=imagenet'], "dataset.name='imagenet' is unknown"),
    (['--config.model.name=clip'], "model.name='clip' is unknown"),
    (['--oracle=delphi'], "oracle='delphi' is unknown"),
    (['--config.batch=0'], 'batch=0 must be'),
    (['--config.train.steps_per_round=0'], 'train.steps_per_round=0'),
    (['--seeds=4294967296'], 'must be integers within [0, 2**32)'),
    (["--config.seeds=('a',)"], 'must be integers within [0, 2**32)'),
    (['--config.acquisition.coreset_ratio=0.5'], 'acquisition.coreset_ratio='),
    (['--config.train.peak_lr=nan'], 'train.peak_lr=nan'),
    (['--config.train.shift=-1'], 'train.shift=-1 must be'),
    (['--config.train.shift=16'], 'shift=16 must be at least 0 and below'),
    (['--config.text.max_tokens=0'], 'text.max_tokens=0 must be'),
    (['--config.model.width=0'], 'model.width=0 must be'),
    (['--budget=10'], 'budget=10 is not a multiple of batch=4'),
    (['--budget=16', '--rounds=3'], 'budget=16 is not rounds=3 * batch=4'),
    (['--config.batch=0', '--budget=8'], 'batch=0 must be'),
    (['--batch=13'], 'rounds * batch = 2 * 13 = 26 annotations is beyond the '
                     'pools: image has 24, text has 24'),
    (['--config.model.patch=5'], 'patch=5 must divide the image size 16x16'),
    (['--config.dataset.skew=-1.0'], 'skew=-1.0'),
    (['--config.model.name=mlp'], 'model.depth is unknown; known are name, w'),
    (['--strategies=random,mmal@img'],
     "strategy='mmal@img': the rule for the modality is unknown"),
    (['--strategies=mmal@cheapest'], 'needs costs'),
    (['--config.stream.buffer=3'], 'batch=4 queries are beyond stream.buffer'),
    (['--config.stream.buffer=13'], 'beyond the pool of 24'),
    (['--config.stream.beyond=False'], 'beyond=False needs stream.buffer'),
    (['--oracle=files'], "oracle='files' needs a folder"),
    (['--oracle=page'], "oracle='page' needs a folder"),
    (['--oracle=page', '--config.oracle.folder=x', '--config.oracle.port=0'],
     'add --config.oracle.wait_seconds'),
    (['--oracle=label_studio', '--config.oracle.folder=x'],
     "oracle='label_studio' needs oracle.url"),
    (['--oracle=files', '--config.oracle.folder=x',
      '--config.oracle.refuse=0.1'], 'oracle.refuse does not go with'),
    (['--config.costs.budget=0.0'], 'costs.budget=0.0 must be'),
    (['--config.oracle.wrong=1.5'], 'oracle.wrong=1.5 must be at most 1.0'),
    (['--config.oracle.mistake=typo'], "oracle.mistake='typo' is unknown"),
    (['--config.costs.image=0.0'], 'costs.image=0.0 must be above 0'),
    (['stray'], "unknown arguments ['stray']"),
])
def test_bad_flags_are_one_line(tmp_path, arguments, what):
  assert what in _error(tmp_path, *_SMALL, *arguments)


@pytest.mark.parametrize('flag', ['--batch=0', '--rounds=-1', '--budget=0'])
def test_values_that_absl_refuses(tmp_path, flag):
  with pytest.raises(flags.IllegalFlagValueError, match=flag[2:5]):
    _main(tmp_path, flag)


@pytest.mark.long
def test_nan_from_training_is_one_line(tmp_path):
  message = _error(tmp_path, *_SMALL, '--config.warm_start.peak_lr=1e30')
  assert 'warm start: training diverged in step 2 of 2: loss ' in message


@pytest.mark.parametrize('argument,what', [
    ('--config.train.peak_rl=1', 'peak_rl'),
    ('--config=none.py', 'none.py'),
    ('--config.rounds=x', 'must be an integer of at least 1'),
    (f'--config={__file__}', 'get_config'),
])
def test_a_bad_config_is_one_line(tmp_path, argument, what):
  done = subprocess.run(
      [sys.executable, '-m', 'experiments.run', f'--workdir={tmp_path / "w"}',
       argument], capture_output=True, text=True)
  assert done.returncode == 1 and not done.stdout
  message, = done.stderr.strip().splitlines()
  assert message.startswith('error: ') and what in message
  assert not (tmp_path / 'w').exists()


def test_a_value_that_a_config_lacks_is_named():
  config = colorswap.get_config()
  check.check(config)
  del config.train.restart
  with pytest.raises(ValueError, match='the config lacks train.restart'):
    check.check(config)


@pytest.mark.parametrize('key,value', [
    ('rounds', 2.5), ('train.steps_per_round', 300.0), ('batch', 200.0),
    ('strategies', 'mmal'), ('seeds', 3), ('acquisition.coreset_ration', 2.0)])
def test_a_config_of_a_wrong_kind(key, value):
  config = ml_collections.ConfigDict(
      colorswap.get_config().to_dict(), type_safe=False)
  *sections, name = key.split('.')
  section = config[sections[0]] if sections else config
  section[name] = value
  with pytest.raises(ValueError, match=key.split('.')[-1]):
    check.check(config)


def test_the_config_sets_what_a_strategy_takes_and_a_variant_leaves_open():
  config = colorswap.get_config()
  config.acquisition.coreset_ratio = 7.0
  for name, expected, rule in (
      ('mmal', 7.0, 'gap'), ('random', None, 'random'),
      ('coreset', None, 'random'), ('mmal@image', 7.0, 'image'),
      ('mmal_no_uncertainty', 1.0, 'gap')):
    found = registry.configured(name, config.acquisition.to_dict())
    assert found.values.get('coreset_ratio') == expected
    assert found.rule == rule


def test_the_workdir_must_be_a_local_folder_that_can_be_made(tmp_path):
  (tmp_path / 'file').write_text('x')
  for path, what in ((tmp_path / 'file', 'cannot be made'),
                     (tmp_path / 'file' / 'w', 'cannot be made'),
                     ('gs://bucket/w', 'must be a local folder'),
                     (tmp_path / 'w[1]', 'must not hold *, ? or [')):
    assert what in _error(tmp_path, f'--workdir={path}')
  assert 'must not hold *, ? or [' in _error(
      tmp_path, f'--states={tmp_path}/a[1]')
  assert 'must not hold *, ? or [' in _error(
      tmp_path, *_SMALL, f'--cache_dir={tmp_path}/c[1]')


def test_help_names_all_flags_and_strategies():
  text = flags.FLAGS.module_help(run.__name__)
  for name in registry.STRATEGIES:
    assert name in text
  for flag in ('config', 'workdir', 'cache_dir', 'overwrite'):
    assert f'--{flag}:' in text or f'--[no]{flag}:' in text


def test_table_of_one_seed_has_no_spread():
  scores = {'random': {'group': np.array([[1., 2., 3.]])},
            'mmal': {'group': np.array([[1., 1., 2.]])}}
  found = summary_lib.summarise(np.array([0, 10, 20]), scores, 'group')
  table = tables.table(found)
  assert '±' not in table and 'not reached' in table
  assert 'reached by 0 of 1 seeds' in table
  assert 'One seed: there are no intervals' in tables.legend(1)
  assert tables.curve_table(found).splitlines()[3].split() == [
      '|', 'mmal', '|', '1.0', '|', '1.0', '|', '2.0', '|']


@pytest.mark.long
def test_further_modalities_of_features(tmp_path):
  pairs = tiny.feature_pairs(60, 0)
  for name, values in (*pairs.items.items(), ('sound', pairs.items['image'])):
    np.save(tmp_path / f'{name}.npy', values)
  _main(tmp_path, f'--config.dataset.images={tmp_path / "image.npy"}',
        f'--config.dataset.texts={tmp_path / "text.npy"}',
        f'--config.dataset.others.sound={tmp_path / "sound.npy"}',
        '--config.train.steps_per_round=2', '--batch=4', '--rounds=2',
        '--seeds=0', '--strategies=mmal_plus,random', config='features:sound')
  last = _lines(tmp_path / 'w' / layout.METRICS)[-1]
  assert 's2t_r10' in last['scores'] and last['aligned'] == 8
