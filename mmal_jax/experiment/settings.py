"""What the parts of an experiment take of its config, as plain typed values.

Data, model and learner are made of a config; all else is given these values,
which have the names of their knobs (`mmal_jax/config/sections.py`).
"""

import dataclasses
import pathlib
from typing import NamedTuple

import ml_collections

from mmal_jax.config import knobs
from mmal_jax.experiment import annotators as annotators_lib
from mmal_jax.oracles import registry as oracles_lib
from mmal_jax.workdir import layout as workdir_lib


class Matches(NamedTuple):
  """What is written of the items that remain.

  Attributes:
    k: counterparts of each.
    least_probability: of the pairs.
    image_folders: where images may lie that are files of the dataset's.
  """

  k: int
  least_probability: float
  image_folders: tuple[pathlib.Path, ...] = ()


@dataclasses.dataclass(frozen=True)
class Settings:
  """The values of a config.

  Attributes:
    strategies: that are compared.
    seeds: of the runs of each.
    rounds: of queries.
    init: checkpoint to start from, if any.
    states: where states to resume from lie, if not in the workdir.
    mirror: where the workdir is copied to.
    whole_pool: whether each seed is trained once more with all pairs.
    dataset: its name.
    learner: its name.
    divergence: what becomes of a round whose loss is no number.
    save_every: steps after which the state within long training is saved.
    annotators: who answers.
    matches: of what remains.
  """

  strategies: tuple[str, ...]
  seeds: tuple[int, ...]
  rounds: int
  init: str | None
  states: str | None
  mirror: str | None
  whole_pool: bool
  dataset: str
  learner: str
  divergence: str | None
  save_every: int
  annotators: annotators_lib.Annotators
  matches: Matches


def of(config: ml_collections.ConfigDict) -> Settings:
  """The values of a config that is complete and checked."""
  folders = (config.dataset.get(name) for name in ('folder', 'images'))
  return Settings(
      tuple(config.strategies), tuple(config.seeds), config.rounds, config.init,
      workdir_lib.states_of(config.states, config.mirror), config.mirror,
      config.whole_pool, config.dataset.name, config.train.learner,
      config.train.divergence, config.train.save_every, annotators_of(config),
      Matches(**config.matches, image_folders=tuple(
          pathlib.Path(folder) for folder in folders if folder is not None)))


def annotators_of(
    config: ml_collections.ConfigDict
) -> annotators_lib.Annotators:
  """Who answers, of a config that is complete."""
  oracle = config.oracle
  costs = {name: value for name, value in config.costs.items()
           if name != 'budget' and value is not None}
  return annotators_lib.Annotators(
      oracle.name, {name: oracle[name] for name in knobs.of_function(
          *oracles_lib.values_of(oracle.name))},
      oracle.folder, oracle.wrong, oracle.mistake, oracle.refuse,
      config.missing, costs, config.stream.buffer, config.stream.beyond)
