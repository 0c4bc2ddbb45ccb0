"""Refuses a config that cannot be run, before any data is read."""

from collections.abc import Mapping
import inspect
from typing import Any

import ml_collections

from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.config import config as config_lib
from mmal_jax.config import knobs
from mmal_jax.config import sections
from mmal_jax.data import registry as datasets_lib
from mmal_jax.experiment import pretrained as pretrained_lib
from mmal_jax.files import json_object
from mmal_jax.files import plain_text
from mmal_jax.learn import registry as learners
from mmal_jax.models import registry as models_lib
from mmal_jax.models.pretrained import presets
from mmal_jax.oracles import registry as oracles_lib
from mmal_jax.oracles.people.studio import client


def lookup(registry: Mapping[str, Any], kind: str, name: str) -> Any:
  """An entry of a registry, or an error that lists its names."""
  if name not in registry:
    raise ValueError(f'{kind}={name!r} is unknown; known are '
                     f'{", ".join(sorted(registry))}.')
  return registry[name]


def check(config: ml_collections.ConfigDict) -> None:
  """Refuses what can be refused before any data is read.

  Args:
    config: complete.

  Raises:
    ValueError: naming the value and what is allowed.
  """
  config_lib.check(config)
  learners.LEARNERS[config.train.learner].check(config)
  for name in ('strategies', 'seeds'):
    values = config[name]
    if not isinstance(values, (list, tuple)):
      raise ValueError(f'{name}={values!r} must be a tuple.')
    kind = str if name == 'strategies' else int
    if any(not isinstance(v, kind) or isinstance(v, bool) for v in values):
      raise ValueError(f'{name}={json_object.quote(values)} must be '
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
  _check_oracle(config)
  load = datasets_lib.DATASETS[config.dataset.name]
  # Configs leave the user's own paths open: a None there was never set.
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
  lacking = [f'dataset.{key}' for key, knob in sections.of(
      'dataset', config.dataset.name).items()
             if knob.default is knobs.REQUIRED and key not in config.dataset]
  if lacking and sections.is_closed('dataset', config.dataset.name):
    raise ValueError(
        f'the config lacks {", ".join(lacking)}, without a default in the '
        'loader of the dataset: give the config a value, or the argument a '
        'default.')
  check_model(config)


def _check_oracle(config) -> None:
  """Whether what is asked of an oracle goes together."""
  oracle, beyond = config.oracle, config.stream.beyond
  if oracle.name in oracles_lib.ASK_PEOPLE:
    if not oracle.folder:
      raise ValueError(
          f'oracle={oracle.name!r} needs a folder for questions and answers: '
          'add --config.oracle.folder=DIR.')
    for key, example in oracles_lib.NEED_VALUES.get(oracle.name, {}).items():
      if not oracle[key]:
        raise ValueError(f'oracle={oracle.name!r} needs oracle.{key}: add '
                         f'--config.oracle.{key}={example}.')
    if oracle.url is not None:
      client.check_url(oracle.url)
    if oracle.port is not None and oracle.wait_seconds is None:
      raise ValueError(
          f'oracle.port={oracle.port!r} serves a page while the run waits for '
          'answers, and it does not wait: add --config.oracle.wait_seconds, as '
          '86400 for a day.')
    for key, is_there in (('oracle.wrong', oracle.wrong),
                          ('oracle.refuse', oracle.refuse),
                          ('stream.beyond=False', not beyond)):
      if is_there:
        raise ValueError(
            f'{key} does not go with oracle={oracle.name!r}: it would take the '
            'place of what people answer.')
  if not beyond:
    if config.stream.buffer is None:
      raise ValueError('stream.beyond=False needs stream.buffer.')
    if oracle.wrong:
      raise ValueError('stream.beyond=False does not go with oracle.wrong: '
                       'most wrong answers would lie in other buffers, and not '
                       'be seen.')


def check_model(config: ml_collections.ConfigDict) -> None:
  """Whether the model can be built: of its own, or from a checkpoint.

  Raises:
    ValueError: naming what does not go with it.
  """
  config = config_lib.complete(config)
  name, init = config.model.name, config.init
  published = dict.fromkeys((pretrained_lib.ANY, *presets.PRESETS))
  lookup(models_lib.MODELS | published, 'model.name', name)
  if name in published and init is None:
    raise ValueError(f'model.name={name!r} needs a checkpoint: add '
                     '--init=DIR.')
  if name in models_lib.FIXED and (
      not learners.LEARNERS[config.train.learner].works_on_features):
    able = ' or '.join(repr(learner) for learner, maker in (
        learners.LEARNERS.items()) if maker.works_on_features)
    raise ValueError(f'model.name={name!r} has nothing to train: it goes with '
                     f'train.learner={able} alone.')
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
  if set(config.text) - {'folder'}:
    raise ValueError(f'text={list(config.text)!r} may hold folder alone where '
                     'a checkpoint is given.')
