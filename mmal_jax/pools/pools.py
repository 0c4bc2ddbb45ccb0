"""From pairs to loose pools; the pairing leaves for the oracle."""

from collections.abc import Mapping
import dataclasses
from typing import NamedTuple, Protocol

import numpy as np

from mmal_jax.data import encode


class Arrived(NamedTuple):
  """What can be asked about in one round.

  Attributes:
    items: by modality, `n_m` of them, as many in every round.
    numbers: by modality, `[n_m]` int32, by which state and oracle know them.
    costs: by modality, `[n_m]` float32, what it costs to ask about each, above
      0; None where all cost 1.
  """

  items: Mapping[str, encode.Items]
  numbers: Mapping[str, np.ndarray]
  costs: Mapping[str, np.ndarray] | None = None


class Source(Protocol):
  """The learner's view of the data: `Pools`, or a `stream.Stream`.

  Attributes:
    sizes: by modality, how many items there are in all.
    is_fixed: whether every round has the same items, numbered by their rows.
  """

  sizes: Mapping[str, int]
  is_fixed: bool

  def arrived(self, at_round: int) -> Arrived:
    """What can be asked about in a round, from 0 on."""

  def fetch(self, modality: str, numbers: np.ndarray) -> encode.Items:
    """Items by number: of the present round, or aligned."""

  def training_items(
      self, tuples: np.ndarray, at_hand: Mapping[str, np.ndarray]
  ) -> tuple[Mapping[str, encode.Items], np.ndarray]:
    """Items to train on, and `[k, M]` tuples of numbers as their rows.

    `at_hand` are the numbers of the present round's items, by modality.
    """


@dataclasses.dataclass(frozen=True)
class Pools:
  """All items, in hand from the start, each modality in its own order.

  Attributes:
    items: by modality; they differ in length where counterparts are missing.
    costs: as in `Arrived`.
  """

  items: Mapping[str, encode.Items]
  costs: Mapping[str, np.ndarray] | None = None
  is_fixed = True

  @property
  def sizes(self) -> dict[str, int]:
    """By modality, how many items there are."""
    return {modality: len(items) for modality, items in self.items.items()}

  def arrived(self, at_round: int) -> Arrived:
    """Everything, in every round."""
    del at_round
    return Arrived(self.items, {
        m: np.arange(n, dtype=np.int32) for m, n in self.sizes.items()},
                   self.costs)

  def fetch(self, modality: str, numbers: np.ndarray) -> encode.Items:
    """Items by number."""
    return self.items[modality].take(numbers)

  def training_items(
      self, tuples: np.ndarray, at_hand: Mapping[str, np.ndarray]
  ) -> tuple[Mapping[str, encode.Items], np.ndarray]:
    """The whole pools, whose rows the numbers are."""
    del at_hand
    return self.items, tuples


class Hidden(NamedTuple):
  """What only an oracle may see.

  Attributes:
    tuples: `[n, M]` int32, the item numbers of what belongs together, a column
      a modality; -1 where the item is missing.
    rows: by modality, `[n_m]` int, the row of the data that each item of the
      pool was.
  """

  tuples: np.ndarray
  rows: dict[str, np.ndarray]


def hide_pairing(
    pairs: encode.EncodedPairs, seed: int, missing: float = 0.0
) -> tuple[Pools, Hidden]:
  """Shuffles the items of each modality independently.

  Args:
    pairs: n pairs or tuples, row by row. Their groups are left behind, too:
      they would reveal what is alike.
    seed: of the shuffles, and of what is missing.
    missing: share of the rows that lose one of their items, whichever, as if it
      had never been collected; the others of the row have no counterpart of
      that modality then.

  Returns:
    The pools, and what is hidden. That is for an oracle alone.

  Raises:
    ValueError: if `missing` is not within [0, 1).
  """
  if not 0 <= missing < 1:
    raise ValueError(f'missing={missing!r} must lie within [0, 1).')
  rng = np.random.default_rng(seed)
  n = len(pairs)
  orders = {modality: rng.permutation(n) for modality in pairs.items}
  lost = np.full(n, -1)  # The column that each row loses.
  broken = rng.permutation(n)[:round(missing * n)]
  lost[broken] = rng.integers(len(orders), size=len(broken))
  tuples = np.full((n, len(orders)), -1, np.int32)
  rows, items = {}, {}
  for column, (modality, order) in enumerate(orders.items()):
    rows[modality] = order[lost[order] != column]
    tuples[rows[modality], column] = np.arange(len(rows[modality]))
    # Numbers in order of the pairs would betray the pairing: number anew.
    items[modality] = _renumber(pairs.items[modality].take(rows[modality]))
  return Pools(items), Hidden(tuples, rows)


def _renumber(items: encode.Items) -> encode.Items:
  _, first, inverse = np.unique(
      items.ids, return_index=True, return_inverse=True)
  # Rank of each number by its first appearance.
  ranks = np.argsort(np.argsort(first))
  return encode.Items(items.values, ranks[inverse].astype(np.int32))
