"""Refuses a config that cannot be run, before any data is read."""

from collections.abc import Mapping
import inspect
import math
from typing import Any

import ml_collections

from mmal_jax import loop
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.config import kinds
from mmal_jax.data import registry as datasets_lib
from mmal_jax.experiment import pretrained as pretrained_lib
from mmal_jax.files import json_object
from mmal_jax.files import plain_text
from mmal_jax.learn import registry as learners
from mmal_jax.learn.gradient import losses
from mmal_jax.learn.gradient import optimizer as optimizer_lib
from mmal_jax.models import config as config_lib
from mmal_jax.models import registry as models_lib
from mmal_jax.models.pretrained import presets
from mmal_jax.oracles import registry as oracles_lib

# Values of `train` that the closed form has no use for, and what they usually
# are.
_ONLY_BY_GRADIENT = {
    'freeze': 'none', 'lr_factors': '', 'ema': 0.0, 'pseudo_pairs': 0.0}


def lookup(registry: Mapping[str, Any], kind: str, name: str) -> Any:
  """An entry of a registry, or an error that lists its names."""
  if name not in registry:
    raise ValueError(f'{kind}={name!r} is unknown; known are '
                     f'{", ".join(sorted(registry))}.')
  return registry[name]


def check(config: ml_collections.ConfigDict) -> None:
  """Refuses what can be refused before any data is read.

  Raises:
    ValueError: naming the value and what is allowed.
  """
  kinds.check(config)
  lookup(metric_lib.METRICS, 'acquisition.metric',
         config.acquisition.get('metric', 'cosine'))
  if config.train.get('loss') is not None:
    lookup(losses.LOSSES, 'train.loss', config.train.loss)
  if config.train.get('optimizer') is not None:
    lookup(dict.fromkeys(optimizer_lib.OPTIMIZERS), 'train.optimizer',
           config.train.optimizer)
  if config.train.get('learner') is not None:
    lookup(learners.LEARNERS, 'train.learner', config.train.learner)
  if config.train.get('learner') == learners.CLOSED_FORM:
    for key, usual in _ONLY_BY_GRADIENT.items():
      if config.train.get(key) not in (None, usual):
        raise ValueError(
            f'train.{key}={config.train[key]!r} is of training by gradient and '
            'does not go with train.learner=\'closed_form\': give '
            f'--config.train.{key}={usual!r}.')
  if config.train.get('learner') == learners.CLOSED_FORM and config.train.get(
      'unaligned'):
    raise ValueError(
        'train.unaligned is a loss of training by gradient and does not go '
        'with train.learner=\'closed_form\', which learns from unaligned items '
        'by itself (closed_form.world).')
  if config.train.get('learner') == learners.FINE_TUNE and config.train.get(
      'pseudo_pairs'):
    raise ValueError(
        f'train.pseudo_pairs={config.train.pseudo_pairs!r} does not go with '
        'train.learner=\'fine_tune\', whose heads would take them for answers '
        'and learn from unaligned items by themselves (closed_form.world): '
        'leave it at 0.')
  if config.train.get('divergence') is not None:
    lookup(dict.fromkeys(loop.DIVERGENCE), 'train.divergence',
           config.train.divergence)
  lr_factors(config.train.get('lr_factors') or '')
  for name in ('strategies', 'seeds'):
    values = config[name]
    if not isinstance(values, (list, tuple)):
      raise ValueError(f'{name}={values!r} must be a tuple.')
    kind = str if name == 'strategies' else int
    if any(not isinstance(v, kind) or isinstance(v, bool) for v in values):
      raise ValueError(f'{name}={json_object.told(values)} must be '
                       + ('names.' if kind is str
                          else 'integers within [0, 2**32).'))
    if not values or len(set(values)) < len(values):
      raise ValueError(f'{name}={list(values)!r}: at least one is needed, and '
                       'none twice.')
  for name in config.strategies:
    strategies_lib.configured(name, config.acquisition.to_dict())
  for seed in config.seeds:
    if not 0 <= seed < 2**32:
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
  # Configs leave the user's own paths open: a None there was never filled.
  missing = [
      name for name, parameter in inspect.signature(load).parameters.items()
      if parameter.default is parameter.empty
      and config.dataset.get(name, '') is None]
  if missing:
    raise ValueError(
        f'{", ".join(f"dataset.{name}" for name in missing)} '
        f'{"is" if len(missing) == 1 else "are"} not given: add '
        f'{" ".join(f"--config.dataset.{name}=PATH" for name in missing)}. '
        f'--show_config tells what '
        f'{"it is" if len(missing) == 1 else "they are"}.')
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
  if name in models_lib.FIXED and (
      config.train.get('learner') != learners.CLOSED_FORM):
    raise ValueError(f'model.name={name!r} has nothing to train: it goes with '
                     'train.learner=\'closed_form\' alone.')
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
    key = plain_text.for_terminal(f'model.{min(unknown)}')
    raise ValueError(f'{key} is not for a checkpoint, which says that itself.')
  if set(config.get('text', {})) - {'folder'}:
    raise ValueError(f'text={list(config.text)!r} may hold folder alone where '
                     'a checkpoint is given.')
