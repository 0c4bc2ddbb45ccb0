"""The streaming setting: items come in buffers, and what is not asked is gone.
"""

from collections.abc import Callable, Mapping
import dataclasses

import numpy as np

from mmal_jax.data import encode
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.pools import pools as pools_lib


@dataclasses.dataclass(frozen=True)
class Stream:
  """Items of every modality, a buffer of each a round.

  Item i of a modality is in buffer `i // buffer`. Nothing is held but what is
  fetched: of each round its buffer, and the aligned set.

  Attributes:
    sizes: by modality, how many items there are in all.
    buffer: items of a modality in a round.
    fetch: `(modality, numbers [k]) -> k items`, from wherever they lie.
    fetch_costs: `(modality, numbers [k]) -> [k] float32`, what it costs to ask
      about each; None where all cost 1.
  """

  sizes: Mapping[str, int]
  buffer: int
  fetch: Callable[[str, np.ndarray], encode.Items]
  fetch_costs: Callable[[str, np.ndarray], np.ndarray] | None = None
  is_fixed = False

  def arrived(self, at_round: int) -> pools_lib.Arrived:
    """The buffer of a round.

    Raises:
      ValueError: if the stream has ended before.
    """
    first, last = at_round * self.buffer, (at_round + 1) * self.buffer
    for modality, size in self.sizes.items():
      if last > size:
        raise ValueError(
            f'round {at_round} needs {last} items of {modality}, buffers of '
            f'{self.buffer} each; the stream has {size}.')
    numbers = np.arange(first, last, dtype=np.int32)
    costs = self.fetch_costs
    return pools_lib.Arrived(
        {m: self.fetch(m, numbers) for m in self.sizes},
        dict.fromkeys(self.sizes, numbers),
        None if costs is None else {m: costs(m, numbers) for m in self.sizes})

  def training_items(
      self, tuples: np.ndarray, at_hand: Mapping[str, np.ndarray]
  ) -> tuple[dict[str, encode.Items], np.ndarray]:
    """The k items of each modality that the tuples name, and rows 0 to k - 1.

    Args:
      tuples: `[k, M]` int32 numbers; -1 for what is missing.
      at_hand: by modality, numbers of the present buffer's items.

    Returns:
      Items by modality, k of each, and `[k, M]` int32; -1 for what is missing,
      in whose row an item of the present buffer stands.
    """
    items = {
        m: self.fetch(m, np.where(column >= 0, column, at_hand[m][0]))
        for m, column in zip(self.sizes, tuples.T)}
    rows = np.arange(len(tuples), dtype=np.int32)[:, None]
    return items, np.where(tuples >= 0, rows, oracle_lib.NONE).astype(np.int32)


def of_pools(pools: pools_lib.Pools, buffer: int) -> Stream:
  """Deals out pools buffer by buffer, in their (shuffled) order.

  Args:
    pools: all that will come.
    buffer: items of a modality in a round, at least 1.

  Raises:
    ValueError: if `buffer` is below 1.
  """
  if buffer < 1:
    raise ValueError(f'buffer={buffer!r} must be at least 1.')
  costs = pools.costs
  return Stream(
      pools.sizes, buffer, pools.fetch,
      None if costs is None else lambda m, numbers: costs[m][numbers])


def within_buffer(
    oracle: oracle_lib.Oracle, modalities: tuple[str, ...], buffer: int
) -> oracle_lib.Oracle:
  """An oracle that sees the present buffer alone, and no other item.

  (The paper's answers, even where the counterpart has passed or not yet come.)

  Args:
    oracle: who knows all.
    modalities: in the order of the columns.
    buffer: items of a modality in a buffer.

  Returns:
    The oracle: counterparts in other buffers are none.
  """
  def answer(modality, numbers, suggest=None):
    answers = oracle(modality, numbers, suggest)
    own = answers[:, [modalities.index(modality)]] // buffer
    return np.where(
        answers // buffer == own, answers, oracle_lib.NONE).astype(np.int32)

  return answer
