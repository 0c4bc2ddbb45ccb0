"""Of which kind every value of a config is, and how small or large."""

from collections.abc import Iterable
import inspect
import math
import sys
from typing import Any

import ml_collections

from mmal_jax.data import registry as datasets_lib
from mmal_jax.files import json_object
from mmal_jax.files import plain_text
from mmal_jax.models import registry as models_lib

_SECTIONS = ('dataset', 'text', 'model', 'warm_start', 'train',
             'closed_form', 'matches', 'mesh', 'acquisition', 'oracle',
             'stream', 'costs')
_VALUES = ('init', 'missing', 'strategies', 'seeds', 'rounds', 'batch', 'sweep',
           'states', 'whole_pool')
# The least value of every number that a config must have. Where it is an
# integer, the number must be one; where it is a float, it may be either.
_LEAST = {
    'rounds': 1, 'acquisition.coreset_ratio': 1.0,
    'train.steps_per_round': 1, 'train.batch_size': 1, 'train.peak_lr': 0.0,
    'train.weight_decay': 0.0, 'train.shift': 0, 'train.restart': 0,
}
# And of those that it may have.
_LEAST_OPTIONAL = {
    'batch': 1, 'text.vocab_size': 256, 'text.max_tokens': 1,
    'warm_start.steps': 1,
    'warm_start.batch_size': 1, 'warm_start.peak_lr': 0.0,
    'warm_start.weight_decay': 0.0, 'warm_start.shift': 0,
    'warm_start.seed': 0, 'model.width': 1, 'model.depth': 1, 'model.heads': 1,
    'model.patch': 1, 'model.embed_dim': 1, 'model.cells': 1, 'model.bins': 1,
    'train.parts': 1, 'train.ema': 0.0, 'train.clip': 1e-6,
    'train.warmup_fraction': 0.0, 'train.final_lr_fraction': 0.0,
    'mesh.data': -1, 'mesh.fsdp': 1,
    'model.image_size': 1, 'train.pseudo_pairs': 0.0,
    'train.unaligned': 0.0, 'train.unaligned_size': 1,
    'train.unaligned_temperature': 1e-6, 'train.twins': 0.0,
    'train.twins_size': 1, 'train.replay': 0.0, 'train.halfway': 0.0,
    'oracle.wrong': 0.0,
    'oracle.refuse': 0.0, 'oracle.candidates': 1, 'oracle.enough': 0.0,
    'oracle.wait_seconds': 0.0, 'oracle.people': 1, 'missing': 0.0,
    'stream.buffer': 1, 'stream.beyond': 0, 'costs.budget': 1e-6,
    'closed_form.rank': 1, 'matches.k': 1, 'matches.least_probability': 0.0,
    'costs.spread': 0.0,
}
_MOST = {'train.ema': 0.999999, 'train.warmup_fraction': 1.0,
         'train.final_lr_fraction': 1.0,
         'oracle.wrong': 1.0, 'oracle.refuse': 1.0, 'oracle.enough': 1.0,
         'missing': 0.99, 'model.image_size': 4096,
         'matches.least_probability': 1.0}
_MOST_INTEGER = 2**31 - 1
# Of a config that leaves the batch to the pool.
LARGEST_DEFAULT_BATCH = 100
# Of these numbers, those that are mostly true or false.
_SWITCHES = ('train.restart', 'stream.beyond')
_ONLY_SWITCHES = ('closed_form.world', 'oracle.skip_is_refusal', 'oracle.link',
                  'model.remat', 'model.shared', 'whole_pool')
_TEXTS = ('init', 'states', 'dataset.name', 'model.name', 'model.dtype',
          'oracle.name', 'oracle.folder', 'oracle.conflicts', 'oracle.mistake',
          'text.folder', 'train.loss', 'train.freeze', 'train.lr_factors',
          'train.divergence', 'train.learner', 'train.optimizer',
          'acquisition.metric')
# What `config.oracle` may say of people who answer.
PEOPLE = ('folder', 'candidates', 'enough', 'wait_seconds', 'conflicts',
          'people', 'skip_is_refusal', 'link')
# All that sections may hold; those of a dataset, a model and costs depend on
# which they are.
_KNOWN = {
    'text': ('vocab_size', 'max_tokens', 'folder'),
    'warm_start': ('seed', 'steps', 'batch_size', 'peak_lr', 'weight_decay',
                   'shift'),
    'train': ('steps_per_round', 'batch_size', 'peak_lr', 'weight_decay',
              'shift', 'restart', 'loss', 'freeze', 'lr_factors', 'parts',
              'ema', 'clip', 'warmup_fraction', 'final_lr_fraction',
              'pseudo_pairs', 'unaligned',
              'unaligned_size', 'unaligned_temperature', 'twins', 'twins_size',
              'replay', 'halfway', 'optimizer', 'divergence', 'learner'),
    'closed_form': ('rank', 'world'),
    'matches': ('k', 'least_probability'),
    'mesh': ('data', 'fsdp'),
    'acquisition': ('coreset_ratio', 'metric'),
    'oracle': ('name', 'wrong', 'mistake', 'refuse', *PEOPLE),
    'stream': ('buffer', 'beyond'),
}


def check(config: ml_collections.ConfigDict) -> None:
  """Refuses what is no config, whatever its values come to together.

  Raises:
    ValueError: naming the key, its value and what is allowed.
  """
  _refuse_unknown('', config, (*_SECTIONS, *_VALUES))
  for section in _SECTIONS:
    value = config.get(section)
    if value is not None and not isinstance(value, ml_collections.ConfigDict):
      raise ValueError(f'{section}={_told(value)} must be a section of values.')
  if 'text' in config and config.text is None:
    raise ValueError('text=None must be a section of values.')
  for key in (*_LEAST, 'strategies', 'seeds', 'oracle.name', 'dataset.name',
              'model.name'):
    if value_of(config, key) is None:
      raise ValueError(f'the config lacks {key}.')
  for key in _TEXTS:
    value = value_of(config, key)
    if value is not None and not isinstance(value, str):
      raise ValueError(f'{key}={_told(value)} must be a text.')
  for key in _ONLY_SWITCHES:
    value = value_of(config, key)
    if value is not None and not isinstance(value, bool):
      raise ValueError(f'{key}={_told(value)} must be True or False.')
  for key, least in (_LEAST | _LEAST_OPTIONAL).items():
    _check_number(key, value_of(config, key), least)
  for key, value in (config.get('costs') or {}).items():
    _check_number(f'costs.{key}', value, -math.inf)
  for section, known in _KNOWN.items():
    _refuse_unknown(f'{section}.', config.get(section) or (), known)
  load = datasets_lib.DATASETS.get(config.dataset.name)
  build = models_lib.MODELS.get(config.model.name)
  for section, function, given in (
      ('dataset', load, ('preprocess',)),
      ('model', build, ('items', 'num_tokens', 'rngs'))):
    if function is not None:
      _check_arguments(section, config[section], function, given)


def allowed(key: str) -> str:
  """What kind of value a key takes, in words; '' where a config decides."""
  if key in _ONLY_SWITCHES or key in _SWITCHES:
    return 'True or False'
  if key in _TEXTS:
    return 'a text'
  least = (_LEAST | _LEAST_OPTIONAL).get(key)
  if least is None:
    return ''
  kind = 'an integer' if isinstance(least, int) else 'a number'
  most = f' and at most {_MOST[key]}' if key in _MOST else ''
  return f'{kind} of at least {least}{most}'


def value_of(config: ml_collections.ConfigDict, key: str) -> Any:
  """The value at a dotted key, or None."""
  for name in key.split('.'):
    config = None if config is None else config.get(name)
  return config


def _told(value: Any) -> str:
  if isinstance(value, ml_collections.ConfigDict):
    value = value.to_dict()
  return json_object.told(value)


def _check_number(key: str, value: Any, least: float) -> None:
  if value is None or key in _SWITCHES and isinstance(value, bool):
    return
  kind = int if isinstance(least, int) else (int, float)
  if isinstance(value, bool) or not isinstance(value, kind) or not (
      least <= value < math.inf):
    raise ValueError(f'{key}={_told(value)} must be a finite number of at '
                     f'least {least}.')
  # An integer may be beyond all floats.
  most = _MOST.get(key, _MOST_INTEGER if kind is int else sys.float_info.max)
  if value > most:
    raise ValueError(f'{key}={_told(value)} must be at most {most}.')


def _refuse_unknown(
    prefix: str, given: Iterable[str], known: Iterable[str]
) -> None:
  unknown = [key for key in given if key not in known]
  if unknown:
    raise ValueError(
        f'{prefix}{plain_text.for_terminal(str(unknown[0])[:100])} is unknown; '
        f'known are {", ".join(known)}.')


def _check_arguments(section, values, function, given) -> None:
  """Whether a function takes what a section says, beside what it is given."""
  taken = inspect.signature(function).parameters
  if any(p.kind is p.VAR_KEYWORD for p in taken.values()):
    return  # It says itself what it takes.
  known = [name for name in taken if name not in given]
  beside = ('name', 'classes') if section == 'dataset' else ('name', )
  _refuse_unknown(f'{section}.', values, (*beside, *known))
