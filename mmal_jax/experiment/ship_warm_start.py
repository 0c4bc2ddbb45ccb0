"""The warm starts that come with the package, and how they are made."""

import os

import ml_collections

from mmal_jax.experiment import build as build_lib
from mmal_jax.experiment import datasets
from mmal_jax.learn.gradient import shipped


def make(
    config: ml_collections.ConfigDict,
    path: str | os.PathLike[str],
    cache_dir: str,
    command: str,
) -> None:
  """Trains the warm start, whatever is shipped or cached, and writes it.

  Args:
    config: checked.
    path: of the two files, without an ending.
    cache_dir: of rendered datasets.
    command: to state in the description.

  Raises:
    ValueError: if the dataset has no pretrain split, among others.
  """
  data = datasets.load(config, cache_dir)
  if data.pretrain is None:
    raise ValueError(f'dataset {config.dataset.name!r} has no pretrain split, '
                     'which a warm start is trained on.')
  graphdef, params = build_lib.init_params(
      config, data, config.warm_start.seed)
  trained = build_lib.train_warm_start(config, data, graphdef, params)
  shipped.save(
      path, build_lib.made_of(config, data, params), trained, command)
