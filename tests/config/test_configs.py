"""Configs ask for what they lack, and refuse what does not go together."""

import inspect

import pytest

from experiments.configs import colorswap
from experiments.configs import colorswap_siglip
from experiments.configs import emoji
from experiments.configs import features
from experiments.configs import images_and_texts
from experiments.configs import pretrained_authors
from experiments.configs import trio
from mmal_jax.config import paths
from mmal_jax.data import encode
from mmal_jax.data import registry as datasets_lib
from mmal_jax.data import schema
from mmal_jax.experiment import check
from mmal_jax.learn import maker
from mmal_jax.learn.gradient import make as gradient
from tests.support import tiny


def _learner(config, data):
  return gradient.by_gradient(maker.Given(config, data, params={}))


def test_the_unaligned_do_not_go_with_softmax():
  config = colorswap.get_config()
  with config.unlocked():
    config.train.loss, config.train.unaligned = 'softmax', 0.1
  with pytest.raises(ValueError, match='train.unaligned is a sigmoid loss'):
    _learner(config, None)


@pytest.mark.parametrize('key,value', [('ema', 0.9), ('restart', False)])
def test_halfway_wants_one_start_and_no_average(key, value):
  config, encoded = _features(False)
  config.train.halfway = 10.0
  assert _learner(config, encoded).halfway == 10.0
  with config.unlocked():
    config.train[key] = value
  with pytest.raises(ValueError, match='train.halfway=10.0 leads from'):
    _learner(config, encoded)


def _features(pretrain):
  encoded = encode.encode(schema.Dataset(
      'x', tiny.feature_pairs(6, 0), tiny.feature_pairs(4, 1),
      tiny.feature_pairs(5, 2) if pretrain else None))
  return features.get_config(), encoded


def test_twins_without_texts_are_refused():
  config, encoded = _features(pretrain=False)
  config.train.learner = 'gradient'
  config.train.twins = 0.5
  with pytest.raises(ValueError, match=(
      'train.twins=0.5 is for texts, and dataset.name=\'features\' has none: '
      'give --config.train.twins=0.$')):
    _learner(config, encoded)
  config.train.twins = 0.0
  learner = _learner(config, encoded)
  assert learner.recipe.twins is learner.replay is None


def test_a_replay_without_known_pairs_is_refused():
  config, encoded = _features(pretrain=False)
  config.train.learner = 'gradient'
  config.train.replay = 30.0
  with pytest.raises(ValueError, match=(
      'train.replay=30.0 needs known pairs, .*\'features\' has no pretrain '
      'split: give --config.train.replay=0.$')):
    _learner(config, encoded)
  _, encoded = _features(pretrain=True)
  found = _learner(config, encoded).replay
  assert found.items is encoded.pretrain.items and found.worth == 30.0


def test_an_unknown_optimizer_is_refused():
  config = colorswap.get_config()
  for name in (None, 'adamw', 'muon'):
    with config.unlocked():
      config.train.optimizer = name
    check.check(config)
  config.train.optimizer = 'sgd'
  with pytest.raises(ValueError, match=(
      'train.optimizer=\'sgd\' is unknown; known are adamw, muon.$')):
    check.check(config)


@pytest.mark.parametrize('key,value', [
    ('twins', -0.1), ('twins_size', 0), ('replay', -1.0), ('halfway', -1.0),
    ('final_lr_fraction', 1.5)])
def test_values_out_of_range_are_refused(key, value):
  config = colorswap.get_config()
  config.train[key] = value
  with pytest.raises(ValueError, match=f'train.{key}={value}'):
    check.check(config)


def test_the_recipe_of_the_authors():
  config = pretrained_authors.get_config()
  config.init = 'x'
  check.check(config)
  train = config.train
  assert (train.peak_lr, train.final_lr_fraction, train.weight_decay,
          train.batch_size, train.steps_per_round) == (1e-5, .1, .05, 50, 840)
  assert config.rounds * config.batch == 1400


def test_the_default_and_its_better_start():
  config = colorswap_siglip.get_config()
  check.check(config)
  assert config.warm_start.steps == 8000
  config.warm_start.steps = colorswap.get_config().warm_start.steps
  assert config.to_dict() == colorswap.get_config().to_dict()


@pytest.mark.parametrize('module,dataset', [
    (images_and_texts, name) for name in (
        'paired_folder', 'unpaired_folder', 'colorswap', 'karpathy',
        'coco_captions', 'webdataset')] + [
        (trio, None), (features, None), (emoji, None)])
def test_every_config_says_what_it_lacks(module, dataset):
  config = module.get_config(*([dataset] if dataset else []))
  needed = [name for name, p in inspect.signature(
      datasets_lib.DATASETS[config.dataset.name]).parameters.items()
            if p.default is p.empty]
  if needed:
    # All at once.
    lacks = ', '.join(f'dataset.{name}' for name in needed)
    with pytest.raises(ValueError, match=f'{lacks} (is|are) not given: add '):
      check.check(config)
  for name in needed:
    config.dataset[name] = 'x'
  check.check(config)
  # Each path is a value of its own.
  paths = [k for k, v in config.dataset.items()
           if v is None and k != 'drop_duplicates']
  for name in paths:
    config.dataset[name] = name
  assert [config.dataset[name] for name in paths] == paths


def test_paths_mean_the_same_from_any_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for module, argument, given, left in (
      (features, 'sound', ('images', 'texts', 'split'),
       {'pool_split': 'train'}),
      (images_and_texts, 'paired_folder', ('folder', 'classes'),
       {'pairs': 'pairs.jsonl'}),
      (images_and_texts, 'unpaired_folder', ('images', 'texts', 'test_pairs'),
       {'image_size': 32}),
      (images_and_texts, 'karpathy', ('annotations', 'images'), {}),
      (images_and_texts, 'coco_captions', ('data_dir',), {}),
      (images_and_texts, 'webdataset', ('shards',), {'test_shards': None})):
    config = module.get_config(argument)
    for name in given:
      config.dataset[name] = f'{name}-*'
    if argument == 'sound':
      config.dataset.others.sound = '../sound.npy'
    for _ in range(2):
      paths.make_absolute(config)
    for name in given:
      assert config.dataset[name] == str(tmp_path / f'{name}-*')
    if argument == 'sound':
      assert config.dataset.others.sound == str(tmp_path.parent / 'sound.npy')
    for name, value in left.items():
      assert config.dataset[name] == value
  trio_config = trio.get_config()
  paths.make_absolute(trio_config)
  assert trio_config.to_dict() == trio.get_config().to_dict()
