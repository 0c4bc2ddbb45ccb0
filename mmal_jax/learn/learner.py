"""What every learner is given each round, and what it gives back."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from flax import nnx
import jax
import numpy as np

from mmal_jax.data import encode
from mmal_jax.learn import checkpointer as checkpointer_lib


class Pool(NamedTuple):
  """Items that have arrived, of which some remain unaligned; on the host.

  Attributes:
    items: by modality, n_m of them.
    rows: by modality, `[k]` int of those that remain unaligned.
    reference: by modality, `[n_m, r]` float32 rows of norm 1 of all items
      (`embed.reference`); None where the learner does not ask for it.
    aligned_reference: by modality, `[capacity, r]`, of the items that each row
      of the aligned table names; where it names none, of any.
    numbers: by modality, `[n_m]` int, by which errors call the items; None: by
      their rows.
  """

  items: Mapping[str, encode.Items]
  rows: Mapping[str, np.ndarray]
  reference: Mapping[str, np.ndarray] | None = None
  aligned_reference: Mapping[str, np.ndarray] | None = None
  numbers: Mapping[str, np.ndarray] | None = None


class Known(NamedTuple):
  """All that a learner may know in a round. No pairing but the answers'.

  Attributes:
    items: by modality, on the host, the items that `aligned` names.
    aligned: `[capacity, M]` int32, rows of these items, a column a modality in
      their order; -1 where an item is missing, and beyond the rows in use.
    num_aligned: how many rows of `aligned` are in use; they come first.
    pool: what has arrived.
    is_new: whether the pool's items have arrived in this round; False where
      they are those of the round before.
    share: share of the answered queries whose item has a counterpart; 1 where
      nothing was answered.
    numbers: by modality, `[n]` int, by which errors call `items`; None: by
      their rows.
  """

  items: Mapping[str, encode.Items]
  aligned: np.ndarray
  num_aligned: int
  pool: Pool
  is_new: bool = True
  share: float = 1.0
  numbers: Mapping[str, np.ndarray] | None = None


class Learned(NamedTuple):
  """What a round's learning has come to.

  Attributes:
    params: of the encoder.
    state: of the learner itself; the next round's `learn` is given it.
    loss: scalar; NaN where there was nothing to learn from.
    skill: mean reciprocal rank of held-out answers, divided by that of a random
      order; NaN where the learner does not hold any out.
  """

  params: nnx.State
  state: Any
  loss: float | jax.Array
  skill: float = float('nan')


class Learner(Protocol):
  """Makes an encoder of answers; the loop knows nothing else of it.

  Attributes:
    graphdef: of the encoder, a `DualEncoder`; it never changes.
    needs_reference: whether `Known.pool` has to hold the items' reference.
  """

  graphdef: nnx.GraphDef
  needs_reference: bool

  def init(self, params: nnx.State) -> Any:
    """The learner's own state before the first round, of a fixed structure."""

  def learn(
      self,
      params: nnx.State,
      state: Any,
      start: nnx.State | None,
      key: jax.Array,
      known: Known,
  ) -> Learned:
    """Learns from all that is known; called once a round.

    `params` and `state` are those of the round before; `start` is where every
    round starts anew, None where a round goes on from the one before.

    Raises:
      divergence.Diverged: if a value is NaN or infinite.
    """

  def encoder(self, params: nnx.State, state: Any) -> nnx.State:
    """The parameters to embed with."""

  def embeds_anew(self, modality: str, params: nnx.State) -> bool:
    """Whether learning can change the embeddings of a modality."""


@runtime_checkable
class Resumable(Learner, Protocol):
  """A learner that learns for long, and can go on from within a round."""

  def learn_on(
      self,
      params: nnx.State,
      state: Any,
      start: nnx.State | None,
      key: jax.Array,
      known: Known,
      checkpointer: checkpointer_lib.Checkpointer | None,
  ) -> Learned:
    """As `learn`, from the last state on that the checkpointer has."""


def learn(
    learner: Learner,
    params: nnx.State,
    state: Any,
    start: nnx.State | None,
    key: jax.Array,
    known: Known,
    checkpointer: checkpointer_lib.Checkpointer | None,
) -> Learned:
  """`Learner.learn`, with checkpoints within it where the learner can use them.
  """
  if isinstance(learner, Resumable):
    return learner.learn_on(params, state, start, key, known, checkpointer)
  return learner.learn(params, state, start, key, known)


@runtime_checkable
class HoldsOut(Learner, Protocol):
  """A learner that can learn anew without some answers, quickly enough."""

  def held_out(
      self,
      params: nnx.State,
      state: Any,
      key: jax.Array,
      known: Known,
      folds: int,
  ) -> Iterator[tuple[np.ndarray, nnx.State]]:
    """Yields rows of `known.aligned`, and an encoder that never saw them."""
