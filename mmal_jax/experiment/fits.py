"""Whether a config fits the pools, and a batch that does."""

import copy

import ml_collections

from mmal_jax import state as state_lib
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.config import sections
from mmal_jax.data import encode
from mmal_jax.experiment import settings as settings_lib
from mmal_jax.oracles import registry as oracles_lib


def fitted(
    config: ml_collections.ConfigDict, data: encode.EncodedDataset
) -> ml_collections.ConfigDict:
  """Refuses what the pools cannot give; the config with a batch that fits them.

  Where the config leaves the batch open, half of the smallest pool is asked
  about over all rounds, but no more than `sections.LARGEST_DEFAULT_BATCH` items
  a round.

  Raises:
    ValueError: for a budget, or buffers of a stream, beyond the pools of a
      seed, for costs out of range, for loose pools without annotators, or
      for a strategy whose rule names no modality, or needs costs that are not
      there.
  """
  every, annotators = [], settings_lib.annotators_of(config)
  for seed in config.seeds:
    pools, hidden = annotators.hide(data.pool, seed)
    if hidden is None and annotators.name in oracles_lib.NEED_PAIRS:
      raise ValueError(
          f'oracle={annotators.name!r} needs pairs, and the pools of this '
          'dataset are loose: ask people, --oracle=files.')
    # Of what is not missing, which differs from seed to seed.
    every.append(pools.sizes)
  buffer = annotators.buffer
  if config.batch is None:
    pool = min(min(sizes.values()) for sizes in every)
    config = copy.deepcopy(config)
    with config.unlocked():
      config.batch = max(1, min(
          pool // (2 * config.rounds), buffer or pool,
          sections.LARGEST_DEFAULT_BATCH))
  for sizes in every:
    state_lib.check_budget(config.rounds, config.batch, sizes)
    if buffer is not None and config.rounds * buffer > min(sizes.values()):
      smallest = min(sizes.values())
      raise ValueError(
          f'rounds={config.rounds} of stream.buffer={buffer} items are beyond '
          f'the pool of {smallest}: with these rounds, stream.buffer can be at '
          f'most {smallest // config.rounds}.')
    if buffer is not None and config.batch > buffer:
      raise ValueError(f'batch={config.batch} queries are beyond '
                       f'stream.buffer={buffer} items.')
  for strategy in config.strategies:
    needed = strategies_lib.find(strategy, tuple(sizes)).needed
    if 'costs' in needed and not annotators.has_costs:
      raise ValueError(f'strategy={strategy!r} needs costs: give '
                       '--config.costs.image, or another.')
  return config
