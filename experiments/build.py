"""From a config to the values that a run is made of."""

from collections.abc import Iterator, Mapping
import functools
import inspect
import math
from typing import Any, NamedTuple

from absl import logging
from flax import nnx
import ml_collections
import numpy as np

from mmal_jax import loop
from mmal_jax import state as state_lib
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.align import pools as pools_lib
from mmal_jax.align import registry as oracles_lib
from mmal_jax.data import encode
from mmal_jax.data import registry as datasets_lib
from mmal_jax.data import tokenizer as tokenizer_lib
from mmal_jax.evaluate import evaluate
from mmal_jax.models import registry as models_lib
from mmal_jax.train import optimizer as optimizer_lib
from mmal_jax.train import step as step_lib
from mmal_jax.train import warm_start as warm_start_lib


class Experiment(NamedTuple):
  """What is shared by every strategy and seed."""

  config: ml_collections.ConfigDict
  data: encode.EncodedDataset
  learner: step_lib.Learner
  warm: nnx.State | None  # None: every seed starts from a fresh model


def lookup(registry: Mapping[str, Any], kind: str, name: str) -> Any:
  """An entry of a registry, or an error that lists its names."""
  if name not in registry:
    raise ValueError(f'{kind}={name!r} is unknown; known are '
                     f'{", ".join(sorted(registry))}.')
  return registry[name]


# The least value of every number that a config must have. Where it is an
# integer, the number must be one; where it is a float, it may be either.
_LEAST = {
    'rounds': 1, 'batch': 1, 'acquisition.coreset_ratio': 1.0,
    'train.steps_per_round': 1, 'train.batch_size': 1, 'train.peak_lr': 0.0,
    'train.weight_decay': 0.0, 'train.shift': 0, 'train.restart': 0,
}
# And of those that it may have.
_LEAST_OPTIONAL = {
    'text.vocab_size': 256, 'text.max_tokens': 1, 'warm_start.steps': 1,
    'warm_start.batch_size': 1, 'warm_start.peak_lr': 0.0,
    'warm_start.weight_decay': 0.0, 'warm_start.shift': 0,
}


def check(config: ml_collections.ConfigDict) -> None:
  """Refuses what can be refused before any data is read.

  Raises:
    ValueError: naming the value and what is allowed.
  """
  for key in (*_LEAST, 'strategies', 'seeds', 'oracle', 'dataset.name',
              'model.name'):
    if _value(config, key) is None:
      raise ValueError(f'the config lacks {key}.')
  for key, least in (_LEAST | _LEAST_OPTIONAL).items():
    value = _value(config, key)
    kind = int if isinstance(least, int) else (int, float)
    if value is not None and not (
        isinstance(value, kind) and least <= value < math.inf):
      raise ValueError(f'{key}={value!r} must be a finite number of at least '
                       f'{least}.')
  if list(config.acquisition) != ['coreset_ratio']:
    raise ValueError(f'acquisition={list(config.acquisition)!r} may hold '
                     'coreset_ratio alone.')
  for kind in ('strategies', 'seeds'):
    values = config[kind]
    if not isinstance(values, (list, tuple)):
      raise ValueError(f'{kind}={values!r} must be a tuple.')
    if not values or len(set(values)) < len(values):
      raise ValueError(f'{kind}={list(values)!r}: at least one is needed, and '
                       'none twice.')
  for name in config.strategies:
    lookup(strategies_lib.STRATEGIES, 'strategies', name)
  for seed in config.seeds:
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
      raise ValueError(f'seeds={list(config.seeds)!r} must be integers within '
                       '[0, 2**32).')
  lookup(oracles_lib.ORACLES, 'oracle', config.oracle)
  load = lookup(datasets_lib.DATASETS, 'dataset.name', config.dataset.name)
  for name, parameter in inspect.signature(load).parameters.items():
    # Configs leave the user's own paths open: a None there was never filled.
    if parameter.default is parameter.empty and config.dataset.get(
        name, '') is None:
      raise ValueError(f'dataset.{name} is not given: '
                       f'add --config.dataset.{name}=PATH.')
  lookup(models_lib.MODELS, 'model.name', config.model.name)


def _value(config, key: str) -> Any:
  """The value at a dotted key, or None."""
  for name in key.split('.'):
    config = None if config is None else config.get(name)
  return config


def _arguments(section: ml_collections.ConfigDict) -> dict[str, Any]:
  return {k: v for k, v in section.to_dict().items() if k != 'name'}


def load_data(
    config: ml_collections.ConfigDict, cache_dir: str
) -> encode.EncodedDataset:
  """Reads (or renders) the dataset and encodes it."""
  load = datasets_lib.DATASETS[config.dataset.name]
  arguments = _arguments(config.dataset)
  if config.dataset.name == 'synthetic_colorswap':
    arguments['data_dir'] = f'{cache_dir}/datasets'
  return encode.encode(load(**arguments), **config.get('text', {}))


def init_params(
    config: ml_collections.ConfigDict, data: encode.EncodedDataset, seed: int
) -> tuple[nnx.GraphDef, nnx.State]:
  """A model's structure and its initial parameters of one seed."""
  num_tokens = (0 if data.tokenizer is None
                else tokenizer_lib.num_tokens(data.tokenizer))
  model = models_lib.MODELS[config.model.name](
      data.pool.images.values.shape[1:], data.pool.texts.values.shape[1:],
      num_tokens, rngs=nnx.Rngs(seed), **_arguments(config.model))
  return nnx.split(model, nnx.Param)


def build(config: ml_collections.ConfigDict, cache_dir: str) -> Experiment:
  """Loads the data and trains, or finds, the warm start.

  Raises:
    ValueError: for a budget beyond the pool, and all that the dataset, the
      model and the warm start refuse.
  """
  data = load_data(config, cache_dir)
  state_lib.check_budget(
      config.rounds, config.batch, len(data.pool), len(data.pool))
  warm_config = dict(config.get('warm_start', {}))
  seed = warm_config.pop('seed', 0)
  graphdef, params = init_params(config, data, seed)
  train = config.train
  learner = step_lib.Learner(
      graphdef,
      optimizer_lib.make_optimizer(
          train.peak_lr, train.steps_per_round, train.weight_decay),
      train.batch_size, train.shift)
  if data.pretrain is None:
    logging.info('No pretrain split: every seed starts from a fresh model.')
    return Experiment(config, data, learner, None)
  warm = warm_start_lib.warm_start(
      graphdef, params, data.pretrain, seed, **warm_config,
      cache_dir=f'{cache_dir}/warm_starts')
  return Experiment(config, data, learner, warm)


def rounds(
    experiment: Experiment,
    strategy: str,
    pools: pools_lib.Pools,
    pairing: np.ndarray,
    seed: int,
) -> Iterator[state_lib.RunState]:
  """Starts a run: its states, one a round, as `loop.run_rounds` yields them."""
  config, data, learner, params = experiment
  if params is None:
    _, params = init_params(config, data, seed)
  state = state_lib.initial_state(
      params, optimizer_lib.init(learner.optimizer, params), pools,
      evaluate.metric_names(data.test), config.rounds, config.batch, seed,
      config.train.restart)
  return loop.run_rounds(
      state, learner, configured_strategy(config, strategy),
      oracles_lib.ORACLES[config.oracle](pairing), pools, data.test,
      config.train.steps_per_round)


def configured_strategy(
    config: ml_collections.ConfigDict, name: str
) -> views_lib.Strategy:
  """A strategy with those values of `config.acquisition` that it takes.

  What a registered variant fixes itself stays as it is.
  """
  strategy = strategies_lib.STRATEGIES[name]
  fixed = getattr(strategy, 'keywords', {})
  taken = inspect.signature(strategy).parameters
  return functools.partial(strategy, **{
      k: v for k, v in config.acquisition.items()
      if k in taken and k not in fixed})
