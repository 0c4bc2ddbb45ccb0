"""What is hidden of a dataset, what it costs to ask, and who answers."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
import pathlib
from typing import Any

from absl import logging

from mmal_jax.data import encode
from mmal_jax.data import feature_rows
from mmal_jax.data import schema
from mmal_jax.experiment import datasets
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles import refusing
from mmal_jax.oracles import registry as oracles_lib
from mmal_jax.oracles import wrong
from mmal_jax.oracles.people import files
from mmal_jax.oracles.people import inbox
from mmal_jax.oracles.people import status
from mmal_jax.pools import costs as costs_lib
from mmal_jax.pools import pools as pools_lib
from mmal_jax.pools import stream as stream_lib


@dataclasses.dataclass(frozen=True)
class Annotators:
  """Who answers queries, about which items, and at what cost.

  Attributes:
    name: of the oracle.
    values: what it takes of its own, by name.
    folder: where people are asked, a folder a seed within; None if nobody is.
    wrong: share of the items that are answered wrongly.
    mistake: how wrong answers are drawn.
    refuse: share of the items about which no answer is given.
    missing: share of the pairs that lost one of their items.
    costs: of an answer, by modality, and their `spread`; none where each costs
      the same.
    buffer: items that arrive in a round; None where all are at hand.
    beyond: whether counterparts may lie in other buffers.
  """

  name: str
  values: Mapping[str, Any]
  folder: str | None
  wrong: float
  mistake: str
  refuse: float
  missing: float
  costs: Mapping[str, float]
  buffer: int | None
  beyond: bool

  @property
  def are_people(self) -> bool:
    return self.name in oracles_lib.ASK_PEOPLE

  @property
  def repeat(self) -> bool:
    """Whether all runs of a seed are answered alike."""
    return (self.name in oracles_lib.REPEAT
            and not self.wrong and not self.refuse)

  @property
  def has_costs(self) -> bool:
    """Whether answers differ in what they cost."""
    return any(name != 'spread' or value for name, value in self.costs.items())

  @property
  def rules(self) -> status.Rules:
    """When people's answers count."""
    return status.Rules(**{
        name: self.values[name] for name in status.Rules._fields})

  def folder_of(self, seed: int) -> pathlib.Path:
    """Where people are asked by the runs of one seed."""
    return pathlib.Path(self.folder) / f'seed{seed}'

  def hide(
      self, pool: encode.EncodedPairs | encode.EncodedLoose, seed: int
  ) -> tuple[pools_lib.Pools, pools_lib.Hidden | None]:
    """The learner's pools of one seed, and what only the oracle may see.

    Loose pools stay in their order, and nothing is hidden: no pairing is known.
    """
    if isinstance(pool, encode.EncodedLoose):
      if self.missing:
        raise ValueError('missing: which items of loose pools are counterparts '
                         'is unknown, and so none can be taken away.')
      pools, hidden = pools_lib.Pools(pool.items), None
    else:
      pools, hidden = pools_lib.hide_pairing(pool, seed, self.missing)
    if self.has_costs:
      pools = dataclasses.replace(
          pools, costs=costs_lib.draw(pools.sizes, seed, **self.costs))
    return pools, hidden

  def oracle(
      self,
      pools: pools_lib.Pools,
      hidden: pools_lib.Hidden | None,
      seed: int,
      load_seen: Callable[[], schema.Dataset],
  ) -> oracle_lib.Oracle:
    """The oracle of one seed.

    Args:
      pools: of the learner.
      hidden: what `hide` hid.
      seed: of the run.
      load_seen: returns the dataset as people see it, for an oracle of them.
    """

    def shown():
      items = load_seen().pool.items
      _warn_once(_on_rows(items), self.folder)
      if hidden is None:
        return items
      return {m: datasets.in_order(items[m], hidden.rows[m])
              for m in pools.items}

    values = dict(self.values)
    if self.are_people:
      # Item numbers are those of the seed's pools.
      values['folder'] = self.folder_of(seed)
    oracle = oracles_lib.ORACLES[self.name](
        None if hidden is None else hidden.tuples, tuple(pools.items), shown,
        **values)
    if self.wrong:
      mistake = oracles_lib.MISTAKES[self.mistake](pools, seed)
      oracle = wrong.wrong(oracle, pools.sizes, self.wrong, mistake, seed)
    if self.refuse:
      oracle = refusing.refusing(oracle, pools.sizes, self.refuse, seed)
    if self.buffer is not None and not self.beyond:
      oracle = stream_lib.within_buffer(
          oracle, tuple(pools.sizes), self.buffer)
    return oracle

  def look(self, seed: int, queries: Sequence[str]) -> None:
    """Takes what people have answered, before any data are read.

    Args:
      seed: of a run that waits.
      queries: for which it waits.

    Raises:
      oracle.Waiting: if it still has to wait, and is to end then.
      ValueError: for what is wrong with the answers.
    """
    if not self.values['wait_seconds']:
      exchange = self._exchange(seed)
      if exchange is not None:
        # A question that is not there any more would be waited for in vain.
        exchange.send()
        exchange.fetch()
      inbox.look(
          self.folder_of(seed), queries, self.values['enough'], self.rules,
          exchange and exchange.where)

  def fetch(self, seed: int) -> None:
    """Has answers brought into a seed's folder, if people answer elsewhere.

    Raises:
      OSError: if those who have them do not answer for minutes.
      ValueError: if they refuse to.
    """
    exchange = self._exchange(seed)
    if exchange is not None:
      exchange.fetch()

  def _exchange(self, seed: int) -> files.Exchange | None:
    """What brings questions and answers, if people answer elsewhere."""
    if self.name not in oracles_lib.EXCHANGES:
      return None
    return oracles_lib.EXCHANGES[self.name](
        **{**self.values, 'folder': self.folder_of(seed)})

  def check_asked(self, seed: int) -> None:
    """Refuses a folder in which a run that waits has asked nothing.

    Raises:
      ValueError: if there are no questions.
    """
    folder = self.folder_of(seed)
    if not (folder / inbox.POOLS).exists():
      raise ValueError(
          f'{str(folder)!r} holds none of the questions for whose answers the '
          'experiment waits: give --config.oracle.folder as it was at the '
          'start, or put the folder back.')


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
