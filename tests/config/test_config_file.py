"""Config files: what is found there, explained and refused, in plain words."""

import importlib
import pathlib
import signal
import subprocess
import sys
import time

from absl import app
import pytest

from experiments import config_file
from experiments import match
from experiments import program
from experiments import run
from experiments import sweep
from experiments.configs import colorswap
from experiments.configs import features
from experiments.configs import images_and_texts
from mmal_jax.config import differences
from mmal_jax.config import explain
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.experiment import fits
from mmal_jax.experiment import preemption
from mmal_jax.workdir import layout
from tests.support import programs
from tests.support import tiny

_FOLDER = config_file.FOLDER


def _configs():
  for path in sorted(_FOLDER.rglob('*.py')):
    if path.stem not in ('__init__', 'common', 'saved'):
      name = '.'.join(path.relative_to(_FOLDER.parent.parent).parts)[:-3]
      yield importlib.import_module(name).get_config()
  for name in ('unpaired_folder', 'karpathy', 'webdataset', 'coco_captions'):
    yield images_and_texts.get_config(name)


@pytest.mark.long
def test_every_value_of_every_config_is_explained():
  for config in _configs():
    lines = explain.table(config).splitlines()
    for key in dict(differences.flat(config.to_dict())):
      at, = [i for i, line in enumerate(lines)
             if line.startswith(f'  --config.{key}=')]
      assert lines[at + 1].startswith(' ' * 6), key
      assert not lines[at + 1].startswith(' ' * 6 + '('), key
      assert key in ('strategies', 'seeds', 'sweep', 'init') or (
          explain.allowed(config, key) or key.partition('.')[0] in (
              'costs', 'dataset')), key


def test_what_is_allowed_is_what_is_checked():
  config = colorswap.get_config()
  for key, expected in (
      ('rounds', 'an integer of at least 1'),
      ('missing', 'a number of at least 0.0 and at most 0.99'),
      ('train.restart', 'True or False'), ('whole_pool', 'True or False'),
      ('train.optimizer', 'one of adamw, muon'), ('oracle.folder', 'a path')):
    assert explain.allowed(config, key) == expected
  config = features.get_config()
  assert explain.allowed(config, 'dataset.images') == 'a path'
  assert 'Proportion' not in explain.table(config)
  assert '--config.rounds=6\n      Rounds of queries.' in explain.table(config)


@pytest.mark.parametrize('argument,said', [
    ('--config.train.steps=60', 'train.steps is no value of this config; train '
     'has batch_size, '),
    ('--config.train.steps=60', 'Did you mean train.steps_per_round?'),
    ('--config.trian.loss=softmax', 'Did you mean train.loss?'),
    ('--config.coreset_ratio=3', 'Did you mean acquisition.coreset_ratio?'),
    ('--config.rounds.first=3', 'rounds is no section'),
    ('--config.rounds=x', 'rounds=\'x\' must be an integer of at least 1; the '
     'config says 4'),
    ('--config.whole_pool=perhaps', 'whole_pool=\'perhaps\' must be True or '),
    ('--config.train.peak_lr=fast', 'must be a number of at least 0.0'),
    ('--batch=many', 'flag --batch=many: it must be an integer'),
    ('--config=colorswop', f'Did you mean {_FOLDER}/colorswap.py?'),
    ('--config=no/where.py', 'there is no file \'no/where.py\''),
    (f'--config={_FOLDER}/colorswap.py:x', 'takes no argument: leave \':x\''),
    (f'--config={_FOLDER}/saved.py', 'saved.py needs an argument'),
    (f'--config={_FOLDER}/images_and_texts.py:x', 'dataset \'x\' is unknown'),
    (f'--config={__file__}', 'has no attribute \'get_config\'')])
def test_what_is_refused_is_one_plain_line(argument, said):
  with programs.ends() as e:
    programs.call(run, '--workdir=unused', argument, parse=run.parse_flags)
  assert said in e.value.code
  assert '\n' not in e.value.code and 'Traceback' not in e.value.code
  assert 'invalid literal' not in e.value.code


def test_a_config_file_that_is_broken_is_one_line(tmp_path):
  for text, said in (
      ('def get_config(:', 'SyntaxError'), ('import no_such_module', 'no_such'),
      ('def get_config():\n  return {}', 'returns no ConfigDict'),
      ('def get_config():\n  return 1 / 0', 'ZeroDivisionError')):
    (tmp_path / 'mine.py').write_text(text)
    with pytest.raises(ValueError, match=said):
      config_file.load(str(tmp_path / 'mine.py'))


@pytest.mark.parametrize('module', [run, sweep])
def test_the_config_can_be_shown(capsys, module):
  with programs.ends(None):
    programs.call(
        module, '--show_config', f'--config={_FOLDER}/features.py',
        '--config.rounds=3', parse=run.parse_flags)
  said = ' '.join(capsys.readouterr().out.split())
  assert '--config.rounds=3 Rounds of queries.' in said
  assert '--config.dataset.images=None ' in said
  assert '(one of gradient, closed_form, fine_tune)' in said


def test_help_lists_the_values_of_the_config(capsys):
  app.define_help_flags()
  with pytest.raises(SystemExit):
    programs.call(
        run, f'--config={_FOLDER}/features.py', '--help',
        parse=run.parse_flags)
  said = capsys.readouterr().out
  assert '--config.closed_form.rank=256' in said


def test_flags_of_other_programs_are_refused_in_words():
  with programs.ends() as e:
    programs.call(match, '--k=some', parse=program.parse_flags)
  assert e.value.code == (
      'error: flag --k=some: it must be an integer. (--help lists all '
      'flags)')


def test_the_batch_fits_the_pool():
  config = features.get_config()
  for n, rounds, batch in (
      (60, 6, 5), (60, 60, 1), (60, 2, 15), (9000, 6, 100)):
    config.rounds = rounds
    pairs = tiny.feature_pairs(n, 0)
    data = encode.encode(schema.Dataset('features', pairs, pairs))
    found = fits.fitted(config, data)
    assert found.batch == batch and config.batch is None
  config.stream.buffer, config.rounds = 20, 3
  assert fits.fitted(config, data).batch == 20
  config.batch = 7
  assert fits.fitted(config, data) is config


@pytest.mark.long
def test_the_batch_of_a_run_is_kept(tmp_path, capsys):
  arguments = [
      *programs.save_features(tmp_path / 'f'), '--rounds=2', '--seeds=0',
      '--strategies=random', f'--workdir={tmp_path / "w"}',
      f'--cache_dir={tmp_path / "c"}']
  programs.call(run, *arguments)
  assert 'batch=8: half of the pool over 2 rounds, at most 100.' in (
      capsys.readouterr().err)
  assert layout.read(tmp_path / 'w/config.json')['batch'] == 8
  programs.call(run, *arguments, '--resume')
  programs.call(run, *arguments, '--overwrite', '--batch=7')
  (tmp_path / 'w/summary.json').unlink()
  programs.call(run, *arguments, '--resume')  # What was begun is gone on with.
  assert layout.read(tmp_path / 'w/config.json')['batch'] == 7
  with programs.ends() as e:
    programs.call(run, *arguments, '--overwrite', '--budget=12')
  assert 'budget=12: give --batch as well' in e.value.code


@pytest.mark.long
def test_ctrl_c_is_one_line(tmp_path):
  arguments = programs.save_features(tmp_path / 'f', 400)
  command = [
      sys.executable, '-m', 'experiments.run', *arguments, '--rounds=100',
      '--batch=1', '--seeds=0', '--strategies=random',
      '--config.train.learner=gradient', '--config.model.width=8',
      '--config.train.steps_per_round=2', f'--workdir={tmp_path / "w"}',
      f'--cache_dir={tmp_path / "c"}']
  started = time.perf_counter()
  with subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                        cwd=pathlib.Path(__file__).parents[2]) as process:
    while not (tmp_path / 'w/metrics.jsonl').exists():
      assert process.poll() is None and time.perf_counter() - started < 300
      time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
  assert process.returncode == preemption.INTERRUPTED, said
  last = said.replace('\r', '\n').strip().splitlines()[-1]
  assert last == (
      'Interrupted: every finished round and every answer is saved. --resume '
      'goes on, or begins.')
  assert 'Traceback' not in said


def test_ctrl_c_while_a_program_is_being_imported_leaves_no_traceback():
  with subprocess.Popen(
      [sys.executable, '-m', 'experiments.run', '--workdir=unused'],
      stderr=subprocess.PIPE, text=True,
      cwd=pathlib.Path(__file__).parents[2]) as process:
    path = pathlib.Path(f'/proc/{process.pid}/maps')
    while 'jaxlib' not in path.read_text():  # So that it is in the midst of it.
      assert process.poll() is None
      time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
  assert process.returncode == -signal.SIGINT and 'Traceback' not in said
