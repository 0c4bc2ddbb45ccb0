"""Refuses a config that cannot be run, before any data is read."""

from collections.abc import Mapping
import inspect
import math
from typing import Any

import ml_collections

from experiments import annotators
from experiments import pretrained as pretrained_lib
from mmal_jax import loop
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.align import registry as oracles_lib
from mmal_jax.data import registry as datasets_lib
from mmal_jax.models import config as config_lib
from mmal_jax.models import presets
from mmal_jax.models import registry as models_lib
from mmal_jax.train import losses


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
    'train.parts': 1, 'train.ema': 0.0, 'train.clip': 1e-6,
    'train.warmup_fraction': 0.0, 'mesh.data': -1, 'mesh.fsdp': 1,
    'model.image_size': 1, 'train.pseudo_pairs': 0.0,
    'train.unaligned': 0.0, 'train.unaligned_size': 1,
    'train.unaligned_temperature': 1e-6, 'oracle.wrong': 0.0,
    'oracle.refuse': 0.0, 'missing': 0.0, 'stream.buffer': 1,
    'stream.beyond': 0, 'costs.budget': 1e-6,
}
_MOST = {'train.ema': 0.999999, 'train.warmup_fraction': 1.0,
         'oracle.wrong': 1.0, 'oracle.refuse': 1.0, 'missing': 0.99}
# All that sections may hold which no constructor checks.
_KNOWN = {
    'train': ('steps_per_round', 'batch_size', 'peak_lr', 'weight_decay',
              'shift', 'restart', 'loss', 'freeze', 'lr_factors', 'parts',
              'ema', 'clip', 'warmup_fraction', 'pseudo_pairs', 'unaligned',
              'unaligned_size', 'unaligned_temperature', 'divergence'),
    'mesh': ('data', 'fsdp'),
    'acquisition': ('coreset_ratio', 'metric'),
    'oracle': ('name', 'wrong', 'mistake', 'refuse', *annotators.PEOPLE),
    'stream': ('buffer', 'beyond'),
}


def check(config: ml_collections.ConfigDict) -> None:
  """Refuses what can be refused before any data is read.

  Raises:
    ValueError: naming the value and what is allowed.
  """
  for key in (*_LEAST, 'strategies', 'seeds', 'oracle.name',
              'dataset.name',
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
  for section, known in _KNOWN.items():
    values = config.get(section)
    unknown = [] if values is None else [
        key for key in values if key not in known]
    if unknown:
      raise ValueError(f'{section}.{unknown[0]} is unknown; known are '
                       f'{", ".join(known)}.')
  lookup(metric_lib.METRICS, 'acquisition.metric',
         config.acquisition.get('metric', 'cosine'))
  for key, most in _MOST.items():
    value = _value(config, key)
    if value is not None and value > most:
      raise ValueError(f'{key}={value!r} must be at most {most}.')
  if config.train.get('loss') is not None:
    lookup(losses.LOSSES, 'train.loss', config.train.loss)
  if config.train.get('divergence') is not None:
    lookup(dict.fromkeys(loop.DIVERGENCE), 'train.divergence',
           config.train.divergence)
  lr_factors(config.train.get('lr_factors') or '')
  for kind in ('strategies', 'seeds'):
    values = config[kind]
    if not isinstance(values, (list, tuple)):
      raise ValueError(f'{kind}={values!r} must be a tuple.')
    if not values or len(set(values)) < len(values):
      raise ValueError(f'{kind}={list(values)!r}: at least one is needed, and '
                       'none twice.')
  for name in config.strategies:
    strategies_lib.find(name)
  for seed in config.seeds:
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
      raise ValueError(f'seeds={list(config.seeds)!r} must be integers within '
                       '[0, 2**32).')
  lookup(oracles_lib.ORACLES, 'oracle', config.oracle.name)
  if config.oracle.name == 'files' and not config.oracle.get('folder'):
    raise ValueError('oracle=\'files\' needs a folder for questions and '
                     'answers: add --config.oracle.folder=DIR.')
  stream = config.get('stream') or {}
  if config.oracle.name == 'files':
    for key, is_there in (
        ('oracle.wrong', config.oracle.get('wrong')),
        ('oracle.refuse', config.oracle.get('refuse')),
        ('stream.beyond=False', not stream.get('beyond', True))):
      if is_there:
        raise ValueError(f'{key} does not go with oracle=\'files\': it would '
                         'take the place of what people say.')
  if not stream.get('beyond', True):
    if stream.get('buffer') is None:
      raise ValueError('stream.beyond=False needs stream.buffer.')
    if config.oracle.get('wrong'):
      raise ValueError('stream.beyond=False does not go with oracle.wrong: '
                       'most wrong answers would lie in other buffers, and not '
                       'be seen.')
  lookup(oracles_lib.MISTAKES, 'oracle.mistake',
         config.oracle.get('mistake', 'uniform'))
  load = lookup(datasets_lib.DATASETS, 'dataset.name', config.dataset.name)
  for name, parameter in inspect.signature(load).parameters.items():
    # Configs leave the user's own paths open: a None there was never filled.
    if parameter.default is parameter.empty and config.dataset.get(
        name, '') is None:
      raise ValueError(f'dataset.{name} is not given: '
                       f'add --config.dataset.{name}=PATH.')
  check_model(config)


def lr_factors(value: str) -> dict[str, float]:
  """Factors by pattern, of `PATTERN=FACTOR,PATTERN=FACTOR`.

  Raises:
    ValueError: if it is written otherwise, or a factor is not within [0, inf).
  """
  factors = {}
  for part in filter(None, value.split(',')):
    pattern, _, number = part.rpartition('=')
    if pattern in factors:
      raise ValueError(
          f'train.lr_factors={value!r} has {pattern!r} more than once.')
    try:
      factors[pattern] = float(number)
    except ValueError:
      pattern = ''
    if not pattern or not 0 <= factors[pattern] < math.inf:
      raise ValueError(f'train.lr_factors={value!r} must be written as '
                       'PATTERN=FACTOR,PATTERN=FACTOR.')
  return factors


def check_model(config) -> None:
  """Whether the model can be built: of its own, or from a checkpoint."""
  name, init = config.model.name, config.get('init')
  dtype = config.model.get('dtype', 'float32')
  if dtype not in config_lib.DTYPES:
    raise ValueError(f'model.dtype={dtype!r} is none of '
                     f'{", ".join(config_lib.DTYPES)}.')
  published = dict.fromkeys((pretrained_lib.ANY, *presets.PRESETS))
  lookup(models_lib.MODELS | published, 'model.name', name)
  if name in published and init is None:
    raise ValueError(f'model.name={name!r} needs a checkpoint: add '
                     '--init=DIR.')
  if init is None:
    return
  if name not in published:
    raise ValueError(
        f'init={init!r} is given, but model.name={name!r} is none of '
        f'{", ".join(published)}.')
  if config.get('warm_start') is not None:
    raise ValueError(f'init={init!r} takes the place of warm_start: leave one '
                     'of the two out.')
  unknown = set(config.model) - {'name', 'dtype', 'remat', 'image_size'}
  if unknown:
    raise ValueError(f'model.{min(unknown)} is not for a checkpoint, which says'
                     ' that itself.')
  if set(config.get('text', {})) - {'folder'}:
    raise ValueError(f'text={list(config.text)!r} may hold folder alone where '
                     'a checkpoint is given.')


def _value(config, key: str) -> Any:
  """The value at a dotted key, or None."""
  for name in key.split('.'):
    config = None if config is None else config.get(name)
  return config
