"""What a sweep should not find out late: cells that cannot or need not be run.
"""

from collections.abc import Mapping, Sequence

import ml_collections
import numpy as np

from mmal_jax.acquire import modality
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.config import config as config_lib
from mmal_jax.config import differences
from mmal_jax.config import sections
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.experiment import cells as cells_lib
from mmal_jax.experiment import datasets
from mmal_jax.experiment import fits
from mmal_jax.learn import registry as learners

# Sections by which cells have other pools, or ask more of them.
_OF_POOLS = ('dataset', 'rounds', 'batch', 'missing', 'stream', 'costs',
             'oracle')


def unread(config: ml_collections.ConfigDict, key: str) -> str | None:
  """Why nothing in a run reads the value at a dotted key; None if it is read.

  Args:
    config: checked.
    key: of the config.
  """
  section, _, name = key.partition('.')
  learner = config.train.learner
  reads = learners.LEARNERS[learner].reads
  if section == 'train' and section not in reads and (
      name not in sections.TRAIN_OF_ALL):
    return f'train.learner={learner!r} does not train by gradient'
  if section in learners.LEARNERS and section not in (*reads, learner):
    words = section.replace('_', ' ')
    return f'train.learner={learner!r} has no {words}'
  knob = config_lib.knobs_of(config).get(key)
  if knob is not None and knob.read_with is not None and (
      not differences.value(config.to_dict(), knob.read_with)):
    return f'{knob.read_with} is 0'
  if section == 'acquisition' and name != 'metric' and not any(
      _takes(strategy, name) for strategy in config.strategies):
    return f'no such value goes into {", ".join(config.strategies)}'
  return None


def _takes(strategy: str, name: str) -> bool:
  """Whether a strategy has such a value, of its own or of all, that is open."""
  found = strategies_lib.find(strategy)
  owner, _, value = name.rpartition('.')
  return owner in ('', found.name) and value in found.open


def check_read(
    cells: Sequence[cells_lib.Cell], settings: Mapping[str, Sequence[str]]
) -> None:
  """Refuses settings of which no cell reads any: all would come to the same.

  Args:
    cells: of the sweep.
    settings: as for `cells.product`.

  Raises:
    ValueError: naming the setting, and why it is not read.
  """
  for keys, values in settings.items():
    if len(values) < 2:
      continue
    reasons = [unread(cell.config, key) for cell in cells
               for key in keys.split('+')]
    if None not in reasons:
      raise ValueError(
          f'set={keys}={",".join(values)}: no cell reads it, as {reasons[0]}: '
          'all would come to the same. Leave it out.')


def check_pools(cells: Sequence[cells_lib.Cell], cache_dir: str) -> None:
  """Refuses what a cell asks beyond its pools, before the first one runs.

  Where all cells ask the same of the same pools, that one reports it itself.

  Args:
    cells: that are still to be run.
    cache_dir: of rendered datasets.

  Raises:
    ValueError: naming the cell.
  """
  different = {_asked(cell.config): cell for cell in reversed(cells)}
  if len(different) < 2:
    return
  pools = {}
  for cell in reversed(different.values()):
    of = cells_lib.shared(cell.config, ['dataset'])
    if of not in pools:
      pools[of] = _stand_in(datasets.load_seen(cell.config, cache_dir).pool)
    try:
      fits.fitted(cell.config, pools[of])
    except ValueError as e:
      raise ValueError(f'{cell.name}: {e}') from e


def _asked(config) -> str:
  """All that decides whether the pools suffice, to be compared."""
  of = list(_OF_POOLS)
  if config.missing:  # Each seed has other pools.
    of.append('seeds')
  needs = sorted(map(_needs, config.strategies))
  return f'{cells_lib.shared(config, of)} {needs}'


def _needs(strategy: str) -> tuple[str, ...]:
  """What a strategy needs that not all data have: a modality, or costs."""
  found = strategies_lib.find(strategy)
  names = {found.rule} - {*modality.RULES} if isinstance(
      found.rule, str) else ()
  return (*names, *{'costs'} & {*found.needed})


def _stand_in(pool: schema.Pairs | schema.Loose) -> encode.EncodedDataset:
  """A dataset of pools as large, of items that are nothing."""
  items = {name: encode.Items(np.zeros((len(of), 0), np.float32),
                              np.arange(len(of), dtype=np.int32))
           for name, of in pool.items.items()}
  found = (encode.EncodedLoose(items) if isinstance(pool, schema.Loose)
           else encode.EncodedPairs(items, pool.groups))
  return encode.EncodedDataset(found, found, None, None)
