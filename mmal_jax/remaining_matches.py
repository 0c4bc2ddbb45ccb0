"""What a run has not asked about, matched with what its answers taught."""

from collections.abc import Mapping

import jax
import numpy as np

from mmal_jax import state as state_lib
from mmal_jax.learn import learner as learner_lib
from mmal_jax.matching import pool as pool_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.pools import pools as pools_lib


def match(
    state: state_lib.RunState,
    learner: learner_lib.HoldsOut,
    pools: pools_lib.Pools,
    k: int = 5,
    chosen: bool = True,
    apart: Mapping[tuple[str, str], np.ndarray] | None = None,
    recall: float | None = None,
) -> dict[tuple[str, str], pool_lib.Matches]:
  """The likeliest counterparts of every item that remains; at any time.

  An item remains until an answer names it, whether with counterparts or
  without. What was refused counts as an item without a counterpart: the state
  cannot distinguish them.

  Args:
    state: after any round.
    learner: of the run.
    pools: of the run.
    k: counterparts for each item.
    chosen: whether the queries after the first round were chosen by a strategy;
      False where all were drawn at random.
    apart: as for `matching.pool.match`.
    recall: as for `matching.pool.match`.

  Returns:
    By modality of the items and of their counterparts, item numbers in place
    of rows. Nothing but the state and the items decides them.

  Raises:
    ValueError: as `matching.pool.match`, and for a stream.
  """
  if not pools.is_fixed:
    raise ValueError('the items of a stream have passed: what remains of them '
                     'cannot be matched.')
  key = jax.random.fold_in(state.key, len(state.queries) + int(state.round))
  return pool_lib.match(
      learner, state.params, state.learner_state, known(state, pools), key, k,
      _answers(state, chosen), apart, recall)


def known(
    state: state_lib.RunState, pools: pools_lib.Pools
) -> learner_lib.Known:
  """The aligned tuples, and the items that no answer names."""
  gone = np.concatenate([state.aligned_rows, _alone(state)])
  arrived = pools.arrived(0)
  left = {m: np.flatnonzero(~np.isin(numbers, gone[:, column]))
          for column, (m, numbers) in enumerate(arrived.numbers.items())}
  return learner_lib.Known(
      arrived.items, state.aligned, int(state.num_aligned),
      learner_lib.Pool(arrived.items, left, numbers=arrived.numbers),
      is_new=False, share=state_lib.counterpart_share(state))


def _is_alone(answers):
  """Whether an answer names nothing but the item that was asked about."""
  return np.sum(answers != oracle_lib.NONE, axis=-1) == 1


def _alone(state) -> np.ndarray:
  return state.answers[_is_alone(state.answers)].astype(int)


def _answers(state, chosen) -> pool_lib.Answers:
  """How each tuple came about, and which items the answers left alone."""
  alone = _is_alone(state.answers)
  at_random = np.ones(alone.shape, bool)
  at_random[1:] = not chosen
  about = {}
  for place in zip(*np.nonzero(state.answered & ~alone)):
    about.setdefault(
        tuple(state.answers[place].tolist()),
        (state.query_modalities[place], at_random[place]))
  found = [about[tuple(row)] for row in state.aligned_rows.tolist()]
  return pool_lib.Answers(
      np.array([asked for asked, _ in found], int),
      np.array([is_random for _, is_random in found], bool),
      _alone(state))
