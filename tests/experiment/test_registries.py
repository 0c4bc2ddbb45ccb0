"""A learner, a dataset, an oracle or a model: a file, and a line in a registry.
"""

import importlib.util
import json
import types

import ml_collections
import numpy as np
import pytest

from experiments import run
from experiments.configs import common
from experiments.configs import features
from mmal_jax.config import explain
from mmal_jax.data import registry as datasets
from mmal_jax.experiment import build
from mmal_jax.experiment import cells
from mmal_jax.experiment import cells_check
from mmal_jax.experiment import check
from mmal_jax.experiment import datasets as dataset_lib
from mmal_jax.experiment import diagnose
from mmal_jax.learn import maker
from mmal_jax.learn import registry as learners
from mmal_jax.models import registry as models
from mmal_jax.oracles import registry as oracles
from mmal_jax.workdir import layout
from tests.support import programs

_LEARNER = '''
from typing import Any, NamedTuple
from mmal_jax.learn import learner, maker

class Still(NamedTuple):
  """Learns nothing."""
  graphdef: Any
  says: float
  needs_reference = False
  def init(self, params):
    return {}
  def learn(self, params, state, start, key, known):
    return learner.Learned(params, state, self.says)
  def encoder(self, params, state):
    return params
  def embeds_anew(self, modality, params):
    return False

def make(given, *, says: float = 2.0):
  """Makes it.

  Args:
    says: what it calls its loss.
  """
  return Still(given.graphdef, says), given.params

ENTRY = maker.Maker('nothing', make)
'''
_DATASET = '''
import os
import numpy as np
from mmal_jax.data import schema

def ENTRY(file: str | os.PathLike[str], test: int = 8):
  """Rows of noise.

  Args:
    file: of the pool.
    test: rows of the test set.
  """
  rows = np.load(file)
  pairs = [schema.Pairs({'image': part, 'text': part[:, ::-1].copy()},
                        schema.no_groups(len(part)))
           for part in (rows[test:], rows[:test])]
  return schema.Dataset('noise', *pairs)
'''
_ORACLE = '''
import numpy as np
from mmal_jax.oracles import exact
from mmal_jax.oracles import oracle as oracle_lib

def ENTRY(tuples, modalities, shown, *, below: int = 1000):
  """Knows the items of low numbers alone.

  Args:
    below: which number.
  """
  def ask(modality, numbers, suggest=None):
    answers = exact.exact(tuples, modalities)(modality, numbers)
    column = modalities.index(modality)
    return np.where(np.asarray(numbers)[:, None] < below, answers,
                    oracle_lib.alone(answers, column))
  return ask
'''
_MODEL = '''
from mmal_jax.models import dual_encoder, linear

def ENTRY(items, num_tokens, *, rngs, size: int = 4):
  """Linear maps.

  Args:
    size: of the embeddings.
  """
  towers = {m: linear.Linear(item.shape[0], size, False, rngs=rngs)
            for m, item in items.items()}
  return dual_encoder.DualEncoder(towers, size, rngs=rngs)
'''


def _entry(tmp_path, text):
  path = tmp_path / 'mine.py'
  path.write_text(text)
  spec = importlib.util.spec_from_file_location('mine', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.ENTRY


def _run(tmp_path, *arguments, data=None):
  data = data or programs.save_features(tmp_path / 'f')
  programs.call(
      run, *data, *programs.SMALL, *arguments, f'--workdir={tmp_path / "w"}',
      f'--cache_dir={tmp_path / "c"}', parse=run.parse_flags)
  lines = (tmp_path / 'w' / layout.METRICS).read_text().splitlines()
  return list(map(json.loads, lines))


def test_a_learner(tmp_path, monkeypatch):
  monkeypatch.setitem(learners.LEARNERS, 'still', _entry(tmp_path, _LEARNER))
  config = features.get_config()
  assert config.still.says == 2.0
  assert '=2.0\n      What it calls its loss. (a number)' in explain.table(
      config)
  records = _run(
      tmp_path, '--config.train.learner=still', '--config.still.says=7')
  assert [record.get('loss') for record in records] == [None, 7.0, 7.0]
  scores = [record['scores'] for record in records]
  assert scores[0] == scores[1] == scores[2]
  saved = layout.read(tmp_path / 'w' / layout.CONFIG)
  assert saved['still'] == {'says': 7.0}
  with programs.ends() as e:
    _run(tmp_path, '--config.still.say=7')
  assert 'Did you mean still.says?' in e.value.code


def test_what_is_another_learners_is_not_read(tmp_path, monkeypatch):
  monkeypatch.setitem(learners.LEARNERS, 'still', _entry(tmp_path, _LEARNER))
  config = features.get_config()
  config.dataset.images = config.dataset.texts = '/x.npy'
  for learner, key, reason in (
      ('closed_form', 'still.says', 'has no still'),
      ('gradient', 'closed_form.rank', 'has no closed form'),
      ('still', 'train.peak_lr', 'does not train by gradient'),
      ('still', 'still.says', None), ('fine_tune', 'closed_form.rank', None)):
    config.train.learner = learner
    said = cells_check.unread(config, key)
    assert said is None if reason is None else reason in said
  config.strategies, config.train.learner = ('probcover', 'mmal'), 'gradient'
  for settings in ({'acquisition.probcover.delta': ['0.1', '0.2']},):
    cells_check.check_read(cells.product(config, settings), settings)
  settings = {'acquisition.badge.negatives': ['2', '3']}
  with pytest.raises(ValueError, match='no such value goes into probcover'):
    cells_check.check_read(cells.product(config, settings), settings)


@pytest.mark.long
def test_a_dataset(tmp_path, monkeypatch):
  monkeypatch.setitem(datasets.DATASETS, 'noise', _entry(tmp_path, _DATASET))
  np.save(tmp_path / 'rows.npy', np.random.default_rng(0).normal(
      size=(30, 6)).astype(np.float32))
  (tmp_path / 'config.py').write_text(
      'import ml_collections\n'
      'def get_config():\n'
      '  return ml_collections.ConfigDict({\n'
      '      "dataset": {"name": "noise"}, "model": {"name": "mlp"},\n'
      '      "strategies": ("mmal",), "rounds": 2})\n')
  config = f'--config={tmp_path / "config.py"}'
  with programs.ends() as e:
    _run(tmp_path, data=[config])
  assert 'dataset.file is not given: add --config.dataset.file=P' in (
      e.value.code)
  records = _run(tmp_path, data=[
      config, f'--config.dataset.file={tmp_path / "rows.npy"}',
      '--config.dataset.test=6'])
  assert records[-1]['annotations'] == 6
  saved = layout.read(tmp_path / 'w' / layout.CONFIG)
  assert saved['dataset'] == {
      'name': 'noise', 'file': str(tmp_path / 'rows.npy'), 'test': 6}


def test_an_oracle(tmp_path, monkeypatch):
  monkeypatch.setitem(oracles.ORACLES, 'forgetful', _entry(tmp_path, _ORACLE))
  records = _run(tmp_path, '--oracle=forgetful')
  assert records[-1]['aligned'] == 6
  with pytest.raises(ValueError, match='were all answered rightly'):
    diagnose.diagnose(tmp_path / 'w', tmp_path / 'c')
  with monkeypatch.context() as patch:  # It knows all of these items.
    patch.setattr(oracles, 'RIGHT', oracles.RIGHT | {'forgetful'})
    assert 'mmal' in diagnose.diagnose(tmp_path / 'w', tmp_path / 'c')
  records = _run(tmp_path, '--oracle=forgetful', '--config.oracle.below=0',
                 '--overwrite')
  assert records[-1]['aligned'] == 0 and records[-1]['annotations'] == 6
  with programs.ends() as e:
    _run(tmp_path, '--oracle=forgetful', '--config.oracle.below=low')
  assert "oracle.below='low' must be an integer" in e.value.code


@pytest.mark.long
def test_a_model(tmp_path, monkeypatch):
  monkeypatch.setitem(models.MODELS, 'maps', _entry(tmp_path, _MODEL))
  config = f'--config={tmp_path / "config.py"}'
  (tmp_path / 'config.py').write_text(
      'from experiments.configs import common\n'
      'def get_config():\n'
      '  return common.config(\n'
      '      dataset={"name": "features"}, model={"name": "maps"},\n'
      '      strategies=("mmal",), rounds=2)\n')
  arguments = [a for a in programs.save_features(tmp_path / 'f')
               if not a.startswith('--config=')]
  monkeypatch.setattr(programs, 'SMALL', tuple(
      a for a in programs.SMALL if 'model.width' not in a))
  _run(tmp_path, '--config.model.size=3', data=[config, *arguments])
  saved = layout.read(tmp_path / 'w' / layout.CONFIG)
  assert saved['model'] == {'name': 'maps', 'size': 3}
  with programs.ends() as e:
    _run(tmp_path, '--overwrite', '--config.model.width=3',
         data=[config, *arguments])
  assert 'model.width is no value of this config; model has name, size' in (
      e.value.code)


def _loader(returned):
  def load(noise: float, test: int = 8):
    """Of no dataset."""
    return returned
  return load


def test_a_loader_that_cannot_be_used_is_named(monkeypatch):
  monkeypatch.setitem(datasets.DATASETS, 'mine', _loader(('pool', 'test')))
  rest = {'model': {'name': 'mlp'}, 'strategies': ('random', ), 'rounds': 2}
  with pytest.raises(ValueError, match=(
      'the config lacks dataset.noise, without a default in the loader')):
    check.check(common.config(dataset={'name': 'mine'}, **rest))
  config = common.config(dataset={'name': 'mine', 'noise': 1.0}, **rest)
  check.check(config)
  with pytest.raises(TypeError, match=(
      "the loader of dataset.name='mine' has returned tuple; a schema.Dataset "
      'is needed')):
    dataset_lib.load_raw(config, 'none')


def test_the_oracle_of_the_data_takes_values(monkeypatch):
  monkeypatch.setattr(oracles.exact, 'exact', lambda *of, **values: values)
  assert oracles.ORACLES['exact']([], (), None, forget=1) == {'forget': 1}


def test_a_learner_without_parameters_to_start_from_is_named(monkeypatch):
  monkeypatch.setitem(
      learners.LEARNERS, 'mine', maker.Maker('mine', lambda given: 'learner'))
  built = types.SimpleNamespace(
      config=ml_collections.ConfigDict({'train': {'learner': 'mine'}}))
  with pytest.raises(TypeError, match=(
      "train.learner='mine' has returned str; .learner, parameters")):
    build._made(built, maker.Given(None, None))
