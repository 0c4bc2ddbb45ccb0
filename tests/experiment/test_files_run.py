"""The program with people as its oracle: it waits, and goes on."""

import json
import os
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver
import numpy as np
from PIL import Image
import pytest

from experiments import check_answers
from experiments import run
from experiments.configs import features as features_config
from mmal_jax.data import feature_rows
from mmal_jax.experiment import annotators
from mmal_jax.files import lock
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles.people import files
from mmal_jax.workdir import layout
from tests.support import people
from tests.support import tiny

_CONFIGS = os.path.join(os.path.dirname(run.__file__), 'configs')


def _main(tmp_path, *arguments, config='features.py'):
  argv = ['run', f'--config={_CONFIGS}/{config}',
          f'--workdir={tmp_path / "w"}', f'--cache_dir={tmp_path / "c"}',
          '--config.train.steps_per_round=2', '--config.model.width=8',
          '--batch=3', '--rounds=2', '--seeds=0', '--strategies=mmal',
          '--oracle=files', f'--config.oracle.folder={tmp_path / "people"}',
          *arguments]
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    flags.FLAGS.unparse_flags()
    run.main(flags.FLAGS(argv))


def _check(tmp_path, *arguments):
  argv = ['check_answers', f'--workdir={tmp_path / "w"}', *arguments]
  with flagsaver.flagsaver(), mock.patch.object(sys, 'argv', argv):
    flags.FLAGS.unparse_flags()
    check_answers.main(flags.FLAGS(argv))


def _features(tmp_path):
  for name, values in tiny.feature_pairs(40, 0).items.items():
    np.save(tmp_path / f'{name}.npy', values)
  return [f'--config.dataset.{name}s={tmp_path / name}.npy'
          for name in ('image', 'text')]


@pytest.mark.long
def test_it_ends_while_it_waits_and_goes_on_with_the_answers(
    tmp_path, capsys):
  features = _features(tmp_path)
  folder = tmp_path / 'people' / 'seed0'
  for number in (1, 2):
    with pytest.raises(SystemExit) as e:
      _main(tmp_path, *features, *(['--resume'] if number > 1 else []))
    assert e.value.code == run.WAITING == 3
    assert '0 of 3 queries' in capsys.readouterr().out
    lines = (folder / f'round_{number:03}' / 'queries.jsonl').read_text()
    with open(folder / 'answers' / f'{number}.jsonl', 'w') as answers:
      for query in map(json.loads, lines.splitlines()):
        (other, likely), = query['candidates'].items()
        answers.write(json.dumps({
            'query': query['query'], 'answer': {other: likely[0]['item']},
            'annotator': 'ann'}) + '\n')
  _main(tmp_path, *features, '--resume')
  metrics = layout.read_lines(tmp_path / 'w' / layout.METRICS)
  assert [m['annotations'] for m in metrics] == [0, 3, 6]
  assert len(list(folder.glob('round_*'))) == 2  # No item is asked about twice.
  assert 'zero-shot' in capsys.readouterr().out
  with lock.exclusive(folder):
    with pytest.raises(SystemExit, match='seed0.* is in use by process'):
      _main(tmp_path, *features, '--overwrite')
  assert len(layout.read_lines(tmp_path / 'w' / layout.METRICS)) == 3


def test_resume_checks_answers_before_any_data_are_read(tmp_path, capsys):
  features = _features(tmp_path)
  folder = tmp_path / 'people' / 'seed0'
  with pytest.raises(SystemExit):
    _main(tmp_path, *features)
  query, *_ = map(json.loads, (
      folder / 'round_001' / 'queries.jsonl').read_text().splitlines())
  (other, likely), = query['candidates'].items()
  answer = json.dumps({'query': query['query'], 'annotator': 'ann',
                       'answer': {other: likely[0]['item']}}) + '\n'
  (folder / 'answers' / 'a.jsonl').write_text(answer + '{"query"\n')
  (folder / 'answers' / 'notes.txt').write_text('call bob')
  with mock.patch('mmal_jax.experiment.build.build',
                  side_effect=AssertionError):
    for call in (_check, lambda at: _main(at, *features, '--resume')):
      with pytest.raises(SystemExit, match='a.jsonl, line 2: bad JSON'):
        call(tmp_path)
    (folder / 'answers' / 'a.jsonl').write_text(answer)
    capsys.readouterr()
    for _ in range(2):  # Nothing is taken by being checked.
      _check(tmp_path)
      said = capsys.readouterr().out
      assert '3 queries in' in said and '2 open' in said
      assert '1 answer(s) would be accepted for good' in said
      assert 'not read, being none of .jsonl, .json, .csv, .tsv: notes' in said
    assert not (folder / 'ledger.jsonl').exists()
    with pytest.raises(SystemExit) as e:
      _main(tmp_path, *features, '--resume')
  said = capsys.readouterr().out
  assert e.value.code == 3 and '1 of 3 queries' in said
  assert '1 answer(s) accepted for good' in said and 'notes.txt' in said
  assert 'experiments.check_answers --workdir=' in said
  _check(tmp_path)
  assert '1 answered before, 2 open' in capsys.readouterr().out
  (folder / 'answers' / 'b.jsonl').write_text(json.dumps(
      json.loads(answer) | {'annotator': 'bob', 'answer': None}))
  _check(tmp_path)
  listed = folder / 'conflicts.jsonl'
  assert f'(1; --resume lists all in {listed})' in capsys.readouterr().out
  assert not listed.exists()


def test_another_folder_than_that_of_the_questions_is_refused(tmp_path):
  features = _features(tmp_path)
  with pytest.raises(SystemExit):
    _main(tmp_path, *features)
  (tmp_path / 'people').rename(tmp_path / 'elsewhere')
  with pytest.raises(SystemExit, match='holds none of the questions'):
    _main(tmp_path, *features, '--resume')
  assert not (tmp_path / 'people').exists()
  (tmp_path / 'elsewhere').rename(tmp_path / 'people')
  with pytest.raises(SystemExit, match='3'):
    _main(tmp_path, *features, '--resume')


def test_new_labels_are_shown_although_a_run_goes_on_waiting(tmp_path):
  features = _features(tmp_path)
  with pytest.raises(SystemExit):
    _main(tmp_path, *features)
  items = tmp_path / 'people' / 'seed0' / 'items_text.jsonl'
  assert ' of text.npy' in items.read_text()
  (tmp_path / 'texts.txt').write_text('a kite\n' * 40)
  with pytest.raises(SystemExit, match='3'):
    _main(tmp_path, *features, '--resume',
          f'--config.dataset.labels.text={tmp_path / "texts.txt"}')
  assert 'a kite' in items.read_text()


@pytest.mark.long
@pytest.mark.parametrize('how,says', [
    ('no experiment', 'holds no experiment'),
    ('no people asked', 'asks no people')])
def test_there_is_nothing_to_check(tmp_path, how, says):
  if how == 'no people asked':
    features = _features(tmp_path)
    _main(tmp_path, *features, '--oracle=exact', '--config.whole_pool=False')
  with pytest.raises(SystemExit, match=says):
    _check(tmp_path)


def _begun(tmp_path, seeds=(0,), **changes):
  """A run that waits for answers to two questions of each seed."""
  config = features_config.get_config()
  with config.unlocked():
    config.seeds, config.oracle.name = seeds, 'files'
    config.oracle.folder = str(tmp_path / 'people')
    config.dataset.images = config.dataset.texts = str(tmp_path / 'x.npy')
    config.update(changes)
  (tmp_path / 'w').mkdir()
  layout.write(tmp_path / 'w' / layout.CONFIG, config.to_dict())
  for seed in seeds:
    folder = tmp_path / 'people' / f'seed{seed}'
    with pytest.raises(oracle_lib.Waiting) as e:
      people.asks(files.files(folder, people.shown()), [0, 1])
    layout.write(tmp_path / 'w' / layout.WAITING,
                  {'seed': seed, 'queries': e.value.queries})
    people.give(folder, 'a.jsonl', people.line('image-0', 4))


@pytest.mark.parametrize('how', ['renamed', 'emptied', 'one seed'])
def test_a_check_names_questions_that_are_gone(tmp_path, capsys, how):
  seeds = (0, 1) if how == 'one seed' else (0,)
  _begun(tmp_path, seeds)
  (tmp_path / 'people').rename(tmp_path / 'new')
  at = tmp_path / 'people' / f'seed{seeds[-1]}'
  if how == 'emptied':
    at.mkdir(parents=True)
  elif how == 'one seed':
    (tmp_path / 'people').mkdir()
    (tmp_path / 'new' / 'seed0').rename(tmp_path / 'people' / 'seed0')
  with pytest.raises(SystemExit) as e:
    _check(tmp_path)
  assert f'{at}/pools.json is not there' in str(e.value)
  assert '--moved=oracle.folder=PATH' in str(e.value)
  _check(tmp_path, f'--moved=oracle.folder={tmp_path / "new"}')
  assert '1 answer(s) would be accepted for good' in capsys.readouterr().out


def test_a_check_names_the_problems_of_all_seeds(tmp_path):
  _begun(tmp_path, (0, 1))
  for seed in (0, 1):
    people.give(
        tmp_path / 'people' / f'seed{seed}', f'b{seed}.jsonl', '{"query"')
  with pytest.raises(SystemExit, match=(
      r'(?s)b0.jsonl, line 1: bad JSON.*b1.jsonl, line 1: bad JSON')):
    _check(tmp_path)


@pytest.mark.parametrize('key,value', [
    ('oracle', None), ('seeds', None), ('oracle', {}), ('seeds', 'x'),
    ('oracle', 3), ('oracle', {'name': None}), ('oracle', {'name': 'files'}),
    ('strategies', None)])
def test_a_check_of_a_config_without_what_it_needs(tmp_path, key, value):
  _begun(tmp_path)
  path = tmp_path / 'w' / layout.CONFIG
  path.write_text(json.dumps(layout.read(path) | {key: value}))
  with pytest.raises(SystemExit, match=key) as e:
    _check(tmp_path)
  assert 'error: ' in str(e.value) and 'NoneType' not in str(e.value)
  assert 'object' not in str(e.value)


def test_what_people_see_of_features_is_said_once(caplog):
  rows = feature_rows.FeatureRows(
      np.zeros((1, 3), np.float32), ['row 0'], np.arange(1), False)
  with caplog.at_level('WARNING'):
    for _ in range(4):
      annotators._warn_once(annotators._on_rows({'sound': rows}), 'once')
  assert caplog.text.count('--config.dataset.labels.sound=FILE') == 1


@pytest.mark.long
def test_people_see_images_as_they_are(tmp_path):
  (tmp_path / 'images').mkdir()
  rng = np.random.default_rng(0)
  for i in range(12):  # The last is of the test set.
    pixels = rng.integers(256, size=(50, 70, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(
        tmp_path / ('' if i == 11 else 'images') / f'{i}.jpg')
  (tmp_path / 'texts.txt').write_text('one\ntwo\nthree\nfour\nfive\nsix\n')
  (tmp_path / 'pairs.jsonl').write_text('{"image": "11.jpg", "text": "test"}')
  arguments = [
      f'--config.dataset.images={tmp_path / "images"}',
      f'--config.dataset.texts={tmp_path / "texts.txt"}',
      f'--config.dataset.test_pairs={tmp_path / "pairs.jsonl"}',
      '--config.model.depth=1', '--config.model.heads=2']
  config = 'images_and_texts.py:unpaired_folder'
  with pytest.raises(SystemExit, match='needs pairs'):
    _main(tmp_path, *arguments, '--oracle=exact', config=config)
  # What was refused has left nothing behind that is in the way.
  with pytest.raises(SystemExit, match='3'):
    _main(tmp_path, *arguments, config=config)
  folder = tmp_path / 'people' / 'seed0'
  listed = [json.loads(line) for line in (
      folder / 'items_image.jsonl').read_text().splitlines()]
  shown = list((folder / 'round_001' / 'images').iterdir())
  assert len(listed) == 11 and shown
  for path in shown:
    source = listed[int(path.stem.removeprefix('image-'))]['file']
    with open(source, 'rb') as file:
      assert path.read_bytes() == file.read()


def test_answers_to_other_questions_are_not_checked_for_these(
    tmp_path, capsys):
  features = _features(tmp_path)
  for name, seed in (('mine', 0), ('other', 1)):
    with pytest.raises(SystemExit):
      _main(tmp_path, *features, '--overwrite', f'--seeds={seed}',
            f'--config.oracle.folder={tmp_path / name}')
    (tmp_path / 'w').rename(tmp_path / f'w_{name}')
  (tmp_path / 'w_mine').rename(tmp_path / 'w')
  _check(tmp_path)
  assert '3 queries' in capsys.readouterr().out
  (tmp_path / 'mine' / 'seed0').rename(tmp_path / 'kept')
  (tmp_path / 'other' / 'seed1').rename(tmp_path / 'mine' / 'seed0')
  with pytest.raises(SystemExit) as e:
    _check(tmp_path)
  assert 'seed0 is not that of this run, which waits for ' in str(e.value.code)
