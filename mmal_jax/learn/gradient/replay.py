"""Replay of pretraining pairs in the minibatches of fine-tuning."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mmal_jax.data import encode


class Replay(NamedTuple):
  """Known pairs, as of the data that a model was pretrained on.

  A model that is trained on few answers forgets what it knew. Part of each
  minibatch is therefore drawn from pairs like those that it has learnt from,
  the larger a part, the fewer answers there are.

  Attributes:
    items: by modality, n pairs or tuples, row by row.
    worth: how many answers weigh as much as all of them together, above 0.

  References:
    Robins, Catastrophic Forgetting, Rehearsal and Pseudorehearsal, 1995.
  """

  items: Mapping[str, encode.Items]
  worth: float

  def rows(self, batch_size: int, num_aligned: int) -> int:
    r"""How many rows of a minibatch are replayed.

    .. math::
      b\, \frac{w}{w + n}

    rounded, with w the worth and n the number of aligned tuples, pseudo-pairs
    among them; at least one row is left to these.

    >>> Replay({}, 300.0).rows(64, 100), Replay({}, 300.0).rows(64, 900)
    (48, 16)
    """
    share = self.worth / (self.worth + num_aligned)
    return min(round(batch_size * share), batch_size - 1)

  def ids(
      self, modality: str, rows: np.ndarray, items: encode.Items,
      others: np.ndarray,
  ) -> np.ndarray:
    """Numbers of replayed items beside items of a pool.

    A caption may stand in both, and equal items are not to be pushed apart.

    Args:
      modality: of both.
      rows: any shape, int, of the replay.
      items: of the pool, numbered from 0 on.
      others: `[k]` int, rows of those that are in the same minibatches.

    Returns:
      int32 of the shape of `rows`: an item that equals one of the others has
      its number, and any other one below 0.
    """
    mine = self.items[modality]
    others = np.unique(others)
    number = dict(zip(encode.digests(items, others), items.ids[others]))
    distinct, where = np.unique(rows, return_inverse=True)
    found = [number.get(key, -1 - mine.ids[row]) for row, key in zip(
        distinct, encode.digests(mine, distinct), strict=True)]
    return np.array(found, np.int32)[where].reshape(np.shape(rows))
