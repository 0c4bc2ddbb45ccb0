"""From a config to what is hidden, what it costs to ask, and who answers."""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import pathlib

from absl import logging
import ml_collections

from mmal_jax.config import knobs
from mmal_jax.data import encode
from mmal_jax.data import feature_rows
from mmal_jax.data import schema
from mmal_jax.experiment import datasets
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles import refusing
from mmal_jax.oracles import registry as oracles_lib
from mmal_jax.oracles import wrong
from mmal_jax.oracles.people import inbox
from mmal_jax.oracles.people import status
from mmal_jax.pools import costs as costs_lib
from mmal_jax.pools import pools as pools_lib
from mmal_jax.pools import stream as stream_lib


def hide(
    config: ml_collections.ConfigDict,
    pool: encode.EncodedPairs | encode.EncodedLoose,
    seed: int,
) -> tuple[pools_lib.Pools, pools_lib.Hidden | None]:
  """The learner's pools of one seed, and what only the oracle may see.

  Loose pools stay in their order, and nothing is hidden: no pairing is known.
  """
  if isinstance(pool, encode.EncodedLoose):
    if config.missing:
      raise ValueError('missing: which items of loose pools are counterparts '
                       'is unknown, and so none can be taken away.')
    pools, hidden = pools_lib.Pools(pool.items), None
  else:
    pools, hidden = pools_lib.hide_pairing(
        pool, seed, config.missing)
  if has_costs(config):
    pools = dataclasses.replace(
        pools, costs=costs_lib.draw(pools.sizes, seed, **_costs(config)))
  return pools, hidden


def _costs(config: ml_collections.ConfigDict) -> dict[str, float]:
  return {name: value for name, value in config.costs.items()
          if name != 'budget' and value is not None}


def has_costs(config: ml_collections.ConfigDict) -> bool:
  """Whether answers differ in what they cost."""
  costs = _costs(config)
  return bool(costs.pop('spread', 0.0) or costs)


def make_oracle(
    config: ml_collections.ConfigDict,
    pools: pools_lib.Pools,
    hidden: pools_lib.Hidden | None,
    seed: int,
    load_seen: Callable[[], schema.Dataset],
) -> oracle_lib.Oracle:
  """The oracle that `config.oracle` describes.

  Args:
    config: checked.
    pools: of the learner.
    hidden: what `hide` hid.
    seed: of the run.
    load_seen: returns the dataset as people see it, for an oracle of them.
  """
  settings = config.oracle

  def shown():
    items = load_seen().pool.items
    _warn_once(_on_rows(items), settings.folder)
    if hidden is None:
      return items
    return {m: datasets.in_order(items[m], hidden.rows[m]) for m in pools.items}

  asking = {name: settings[name] for name in knobs.of_function(
      *oracles_lib.values_of(settings.name))}
  if settings.name in oracles_lib.ASK_PEOPLE:
    # Item numbers are those of the seed's pools.
    asking['folder'] = folder_of(config, seed)
  oracle = oracles_lib.ORACLES[settings.name](
      None if hidden is None else hidden.tuples, tuple(pools.items), shown,
      **asking)
  if settings.wrong:
    mistake = oracles_lib.MISTAKES[settings.mistake](pools, seed)
    oracle = wrong.wrong(oracle, pools.sizes, settings.wrong, mistake, seed)
  if settings.refuse:
    oracle = refusing.refusing(oracle, pools.sizes, settings.refuse, seed)
  buffer = buffer_of(config)
  if buffer is not None and not config.stream.beyond:
    oracle = stream_lib.within_buffer(oracle, tuple(pools.sizes), buffer)
  return oracle


def rules_of(config: ml_collections.ConfigDict) -> status.Rules:
  """When people's answers count, as `config.oracle` says it."""
  return status.Rules(**{
      name: config.oracle[name] for name in status.Rules._fields})


def look(
    config: ml_collections.ConfigDict, seed: int, queries: Sequence[str]
) -> None:
  """Takes what people have answered, before any data are read.

  Args:
    config: of a run that waits.
    seed: of the run.
    queries: for which it waits.

  Raises:
    oracle.Waiting: if it still has to wait, and is to end then.
    ValueError: for what is wrong with the answers.
  """
  if not config.oracle.wait_seconds:
    inbox.look(folder_of(config, seed), queries,
               config.oracle.enough, rules_of(config))


def check_asked(config: ml_collections.ConfigDict, seed: int) -> None:
  """Refuses a folder in which a run that waits has asked nothing.

  Raises:
    ValueError: if there are no questions.
  """
  folder = folder_of(config, seed)
  if not (folder / inbox.POOLS).exists():
    raise ValueError(
        f'{str(folder)!r} holds none of the questions for whose answers the '
        'experiment waits: give --config.oracle.folder as it was at the start, '
        'or put the folder back.')


def _on_rows(items) -> str:
  """How people can see more of features than their rows; '' if they do."""
  bare = [modality for modality, rows in items.items() if isinstance(
      rows, feature_rows.FeatureRows) and not rows.labelled]
  if not bare:
    return ''
  given = ' '.join(f'--config.dataset.labels.{m}=FILE' for m in bare)
  return (f'People see only rows of your files of {" and ".join(bare)}. With '
          f'{given} they see texts or images: FILE has a line for each row, a '
          'text or the path of an image, or is a folder of images.')


@functools.lru_cache(maxsize=None)
def _warn_once(words: str, folder: str) -> None:
  """Logs a warning once for all strategies and seeds that ask in a folder."""
  del folder
  if words:
    logging.warning('%s', words)


def folder_of(config: ml_collections.ConfigDict, seed: int) -> pathlib.Path:
  """Where people are asked by the runs of one seed."""
  return pathlib.Path(config.oracle.folder) / f'seed{seed}'


def buffer_of(config: ml_collections.ConfigDict) -> int | None:
  """Items that arrive in a round; None where all are at hand."""
  return config.stream.buffer
