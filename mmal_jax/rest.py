"""What a run has not asked about, matched with what its answers taught."""

import jax
import numpy as np

from mmal_jax import state as state_lib
from mmal_jax.align import oracle as oracle_lib
from mmal_jax.align import pools as pools_lib
from mmal_jax.learn import learner as learner_lib
from mmal_jax.match import pool as pool_lib


def match(
    state: state_lib.RunState,
    learner: learner_lib.HoldsOut,
    pools: pools_lib.Pools,
    k: int = 5,
    chosen: bool = True,
) -> dict[tuple[str, str], pool_lib.Matches]:
  """The likeliest counterparts of every item that remains; at any time.

  An item remains until an answer names it, whether with counterparts or
  without. What was refused counts as an item without a counterpart: the state
  cannot tell them apart.

  Args:
    state: after any round.
    learner: of the run.
    pools: of the run.
    k: counterparts for each item.
    chosen: whether the queries after the first round were chosen by a strategy;
      False where all were drawn at random.

  Returns:
    By modality of the items and of their counterparts, item numbers in place
    of rows. Nothing but the state and the items decides them.

  Raises:
    ValueError: as `match.pool.match`, and for a stream.
  """
  if not pools.stays:
    raise ValueError('the items of a stream have passed: what remains of them '
                     'cannot be matched.')
  tuples = state.filled
  answers = _answers(state, tuples, chosen)
  gone = np.concatenate([tuples, answers.alone])
  arrived = pools.arrived(0)
  left = {m: np.flatnonzero(~np.isin(numbers, gone[:, column]))
          for column, (m, numbers) in enumerate(arrived.numbers.items())}
  padding = np.full(
      (len(state.aligned) - len(tuples), tuples.shape[1]), oracle_lib.NONE,
      np.int32)
  known = learner_lib.Known(
      arrived.items, np.concatenate([tuples, padding]), len(tuples),
      learner_lib.Pool(arrived.items, left, numbers=arrived.numbers),
      is_new=False, share=state_lib.counterpart_share(state))
  key = jax.random.fold_in(state.key, len(state.queries) + int(state.round))
  return pool_lib.match(
      learner, state.params, state.learner_state, known, key, k, answers)


def _answers(state, tuples, chosen) -> pool_lib.Answers:
  """How each tuple came about, and whom the answers left alone."""
  about, alone, at_random = {}, [], []
  for t, place in zip(*np.nonzero(state.answered)):
    row = state.answers[t, place]
    is_random = not chosen or t == 0
    if np.sum(row != oracle_lib.NONE) > 1:
      about.setdefault(
          tuple(row.tolist()), (state.query_modalities[t, place], is_random))
    else:
      alone.append(row)
      at_random.append(is_random)
  found = [about[tuple(row)] for row in tuples.tolist()]
  return pool_lib.Answers(
      np.array([asked for asked, _ in found], int),
      np.array([is_random for _, is_random in found], bool),
      np.array(alone, int).reshape(-1, tuples.shape[1]),
      np.array(at_random, bool))
