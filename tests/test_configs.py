"""Configs ask for what they lack, and refuse what does not go together."""

import inspect

import pytest

from experiments import build
from experiments import check
from experiments.configs import colorswap
from experiments.configs import features
from experiments.configs import images_and_texts
from experiments.configs import trio
from mmal_jax.data import registry as datasets_lib


def test_the_unaligned_do_not_go_with_softmax():
  config = colorswap.get_config()
  with config.unlocked():
    config.train.loss, config.train.unaligned = 'softmax', 0.1
  with pytest.raises(ValueError, match='train.unaligned is a sigmoid loss'):
    build.make_learner(config, None, {}, None)


@pytest.mark.parametrize('module,dataset', [
    (images_and_texts, name) for name in (
        'paired_folder', 'unpaired_folder', 'colorswap', 'karpathy',
        'coco_captions', 'webdataset')] + [(trio, None), (features, None)])
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
