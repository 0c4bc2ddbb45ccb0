"""Replay: pairs that cost nothing, in the same minibatches as the answers."""

from collections.abc import Mapping
from typing import NamedTuple

from mmal_jax.data import encode


class Replay(NamedTuple):
  """Known pairs, as of the data that a model was pretrained on.

  A model that is trained on few answers forgets what it knew. Part of each
  minibatch is therefore drawn from pairs like those that it has learnt from,
  the larger a part, the fewer answers there are.

  Attributes:
    items: by modality, n pairs or tuples, row by row.
    worth: so many answers weigh as much as all of them together, above 0.

  References:
    Robins, Catastrophic Forgetting, Rehearsal and Pseudorehearsal, 1995.
  """

  items: Mapping[str, encode.Items]
  worth: float

  def rows(self, batch_size: int, num_aligned: int) -> int:
    r"""How many rows of a minibatch are replayed.

    .. math::
      b\, \frac{w}{w + n}

    rounded, with w the worth and n the number of aligned tuples; at least one
    row is left to these.

    >>> Replay({}, 300.0).rows(64, 100), Replay({}, 300.0).rows(64, 900)
    (48, 16)
    """
    share = self.worth / (self.worth + num_aligned)
    return min(round(batch_size * share), batch_size - 1)
