"""Configs ask for what they lack, and refuse what does not go together."""

import inspect

import pytest

from experiments import check
from experiments import datasets
from experiments import learners
from experiments.configs import colorswap
from experiments.configs import emoji
from experiments.configs import features
from experiments.configs import images_and_texts
from experiments.configs import trio
from mmal_jax.data import registry as datasets_lib


def test_the_unaligned_do_not_go_with_softmax():
  config = colorswap.get_config()
  with config.unlocked():
    config.train.loss, config.train.unaligned = 'softmax', 0.1
  with pytest.raises(ValueError, match='train.unaligned is a sigmoid loss'):
    learners.make_learner(config, None, {}, None)


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
    with pytest.raises(ValueError, match=f'dataset.{needed[0]} is not given'):
      check.check(config)
  for name in needed:
    config.dataset[name] = 'x'
  check.check(config)
  # Each path is a value of its own.
  paths = [k for k, v in config.dataset.items() if v is None]
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
      datasets.make_absolute(config)
    for name in given:
      assert config.dataset[name] == str(tmp_path / f'{name}-*')
    if argument == 'sound':
      assert config.dataset.others.sound == str(tmp_path.parent / 'sound.npy')
    for name, value in left.items():
      assert config.dataset[name] == value
  trio_config = trio.get_config()
  datasets.make_absolute(trio_config)
  assert trio_config.to_dict() == trio.get_config().to_dict()
