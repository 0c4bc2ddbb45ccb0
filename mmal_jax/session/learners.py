"""The learners of sessions: on features, by the names of the registry."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmal_jax import extras
from mmal_jax import loop
from mmal_jax.acquire import arguments
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.acquire import strategy as strategy_lib
from mmal_jax.acquire import values as values_lib
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.learn import maker as maker_lib
from mmal_jax.learn import registry as learners_lib
from mmal_jax.models import registry as models_lib
from mmal_jax.pools import pools as pools_lib
from mmal_jax.session import state as state_lib

CLOSED_FORM, GRADIENT = LEARNERS = 'closed_form', 'gradient'


def check_types(strategy: Any, values: Any, shared_space: Any) -> None:
  """Refuses what is no argument of `make`; None stands for a default."""
  if not isinstance(values, (Mapping, type(None))):
    raise TypeError(f'values={arguments.shown(values)} must be values by name.')
  if not isinstance(strategy, (str, strategy_lib.Strategy, type(None))):
    raise TypeError(f'strategy={arguments.shown(strategy)} must be a name, or '
                    'a strategy.')
  if not isinstance(shared_space, (bool, np.bool_, type(None))):
    raise TypeError(f'shared_space={arguments.shown(shared_space)} must be True'
                    ' or False.')


def make(
    pools: pools_lib.Pools,
    learner: str,
    values: Mapping[str, Any],
    strategy: str | strategy_lib.Strategy,
    shared_space: bool,
    budget: int | None,
    seed: int,
) -> state_lib.Made:
  """Makes a session of features.

  Args:
    pools: of features.
    learner: one of `LEARNERS`.
    values: of the learner by name: of `closed_form` those of its `make`, of
      `gradient` those of a config's section `train`.
    strategy: a name as `acquire.registry.find` takes it, or a strategy.
    shared_space: whether features of all modalities lie in one space.
    budget: questions in all.
    seed: of all that is random.

  Raises:
    ImportError: if configs are needed, and their package is missing.
    ValueError: for a learner, a strategy or a value that is unknown or refused.
  """
  if learner not in LEARNERS:
    raise ValueError(f'learner={arguments.shown(learner)} is none of '
                     f'{", ".join(LEARNERS)}.')
  if isinstance(strategy, str):
    strategy = strategies_lib.find(strategy, list(pools.sizes))
  reference = strategy.needs_reference
  if learner == CLOSED_FORM:
    made, params = _closed_form(pools, values, shared_space)
    return state_lib.Made(pools, made, params, strategy, loop.Plan(
        reference=reference), seed, budget=budget)
  made, params = _gradient(pools, values, shared_space, seed)
  return state_lib.Made(
      pools, made, params, strategy,
      loop.Plan(values.get('pseudo_pairs', 0.0), reference=reference), seed,
      values.get('restart', True), budget)


def _closed_form(pools, values, shared_space):
  maker = learners_lib.LEARNERS[CLOSED_FORM]
  known = values_lib.read(maker.make)
  for name, value in values.items():
    if name not in known:
      raise ValueError(f'values: {arguments.shown(name)} is none of those of '
                       f'{CLOSED_FORM}, which are {", ".join(known)}.')
    values_lib.check(f'values: {name}', value, known[name])
  return maker.make(
      maker_lib.Given(None, _data(pools), has_prior=shared_space), **values)


def _gradient(pools, values, shared_space, seed) -> maker_lib.Made:
  create = extras.load(
      'mmal_jax.config.create', 'for a session that learns by gradient')
  config = create.config_of(  # Of which the learner reads `train` alone.
      dataset={'name': 'features'}, model={'name': 'mlp'},
      strategies=('random',), rounds=1, train={**values, 'learner': GRADIENT})
  data = _data(pools)
  graphdef, params = models_lib.initial('mlp', data.pool.items, 0, seed)
  given = maker_lib.Given(
      config, data, graphdef=graphdef, params=params, has_prior=shared_space)
  maker = learners_lib.LEARNERS[GRADIENT]
  maker.check(config)
  return maker.make(given)


def _data(pools) -> encode.EncodedDataset:
  nothing = encode.EncodedPairs(
      {m: items.take(slice(0)) for m, items in pools.items.items()},
      schema.no_groups(0))
  return encode.EncodedDataset(
      encode.EncodedLoose(pools.items), nothing, None, None)
