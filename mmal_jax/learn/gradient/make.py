"""From a config to the learner by gradient."""

import math
from typing import Any

from mmal_jax.data import encode
from mmal_jax.learn import maker as maker_lib
from mmal_jax.learn.gradient import freeze
from mmal_jax.learn.gradient import learner as learner_lib
from mmal_jax.learn.gradient import losses
from mmal_jax.learn.gradient import optimizer as optimizer_lib
from mmal_jax.learn.gradient import replay as replay_lib
from mmal_jax.learn.gradient import step as step_lib
from mmal_jax.learn.gradient import twins as twins_lib
from mmal_jax.learn.gradient import unaligned as unaligned_lib
from mmal_jax.models import names


def by_gradient(given: maker_lib.Given) -> learner_lib.ByGradient:
  """The steps of the optimizer that `config.train` describes.

  Args:
    given: with a `DualEncoder`. Of the data, `pretrain` may be replayed.

  Raises:
    ValueError: for values of `train` that do not fit one another, the model or
      the data.
  """
  config, train = given.config, given.config.train
  frozen = freeze.patterns(train.freeze, given.params)
  factors = lr_factors(train.lr_factors)
  names.check(list(factors), given.params, 'train.lr_factors')
  loss = train.loss or given.default_loss
  if loss == 'softmax' and train.unaligned:
    raise ValueError('train.unaligned is a sigmoid loss and does not go with '
                     'train.loss=\'softmax\'.')
  optimizer = optimizer_lib.make_optimizer(
      train.peak_lr, train.steps_per_round, train.weight_decay,
      train.warmup_fraction, name=train.optimizer or optimizer_lib.ADAMW,
      final_lr_fraction=train.final_lr_fraction, clip=train.clip,
      frozen=frozen, lr_factors=factors, ema=train.ema)
  unaligned = unaligned_lib.Unaligned(
      train.unaligned, train.unaligned_size, train.unaligned_temperature)
  recipe = step_lib.Recipe(
      given.graphdef, optimizer, train.batch_size, train.shift,
      losses.LOSSES[loss](given.mesh), frozen, train.parts, given.mesh,
      unaligned if train.unaligned else None, _twins(config, given.data))
  if train.halfway and (train.ema or not train.restart):
    raise ValueError(
        f'train.halfway={train.halfway!r} leads from the start of all rounds, '
        'so it wants train.restart=True, and train.ema=0.')
  return learner_lib.ByGradient(
      recipe, train.steps_per_round, _replay(config, given.data), train.halfway)


def _twins(
    config: Any, data: encode.EncodedDataset
) -> twins_lib.Twins | None:
  train = config.train
  if not train.twins:
    return None
  if not any(map(twins_lib.has_words, data.pool.items.values())):
    raise ValueError(
        f'train.twins={train.twins!r} is for texts, and dataset.name='
        f'{config.dataset.name!r} has none: give --config.train.twins=0.')
  return twins_lib.Twins(train.twins, train.twins_size)


def _replay(
    config: Any, data: encode.EncodedDataset
) -> replay_lib.Replay | None:
  worth = config.train.replay
  if not worth:
    return None
  if data.pretrain is None:
    raise ValueError(
        f'train.replay={worth!r} needs known pairs, and dataset.name='
        f'{config.dataset.name!r} has no pretrain split: give '
        '--config.train.replay=0.')
  return replay_lib.Replay(data.pretrain.items, worth)


def lr_factors(value: str) -> dict[str, float]:
  """Factors by pattern, of `PATTERN=FACTOR,PATTERN=FACTOR`.

  >>> lr_factors('*_tower.*=0.1,logit_*=0')
  {'*_tower.*': 0.1, 'logit_*': 0.0}

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


def check(config: Any) -> None:
  """Refuses learning rates by name that are written wrongly.

  Raises:
    ValueError: as `lr_factors`.
  """
  lr_factors(config.train.lr_factors)


MAKER = maker_lib.Maker(
    'steps of an optimizer on minibatches of the answers',
    lambda given: (by_gradient(given), given.params), ('train',), check=check)
