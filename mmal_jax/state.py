"""The whole state of a run, as one value of fixed shapes."""

import dataclasses

from flax import nnx
import jax
import numpy as np
import optax

from mmal_jax.acquire import views as views_lib
from mmal_jax.align import pools as pools_lib


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RunState:
  """Everything that decides how a run goes on; T rounds of B queries.

  Host-side bookkeeping is NumPy, what the accelerator works on is JAX.

  Attributes:
    params: of the dual encoder.
    opt_state: of the optimizer.
    key: typed random key of the run; never changes, rounds fold into it.
    round: scalar int32, rounds done.
    aligned: `[T * B, 2]` int32 (image index, text index), -1 beyond the filled
      rows, which come first.
    num_aligned: scalar int32, filled rows of `aligned`.
    remaining: by modality, `[n]` bool.
    modalities: `[T]` int32, the place in `views.MODALITIES` of each round's
      query; -1 in rounds to come.
    queries: `[T, B]` int32 pool indices; -1 in rounds to come.
    losses: `[T]` float32, each round's mean training loss; NaN to come.
    scores: by metric, `[T + 1]` float32 percentages; entry 0 is before any
      annotation; NaN to come.
  """

  params: nnx.State
  opt_state: optax.OptState
  key: jax.Array
  round: np.ndarray
  aligned: np.ndarray
  num_aligned: np.ndarray
  remaining: dict[str, np.ndarray]
  modalities: np.ndarray
  queries: np.ndarray
  losses: np.ndarray
  scores: dict[str, np.ndarray]


def initial_state(
    params: nnx.State,
    opt_state: optax.OptState,
    pools: pools_lib.Pools,
    metrics: tuple[str, ...],
    rounds: int,
    batch: int,
    seed: int,
) -> RunState:
  """The state before anything was asked.

  Args:
    params: of the warm start.
    opt_state: fresh.
    pools: the learner's pools.
    metrics: names of the scores to record.
    rounds: T.
    batch: B, queries a round.
    seed: of everything random in the run.

  Raises:
    ValueError: if T or B is below 1, or T * B is beyond either pool.
  """
  for name, value in (('rounds', rounds), ('batch', batch)):
    if value < 1:
      raise ValueError(f'{name}={value!r} must be at least 1.')
  sizes = {'image': len(pools.images), 'text': len(pools.texts)}
  if rounds * batch > min(sizes.values()):
    raise ValueError(
        f'a budget of rounds * batch = {rounds} * {batch} = {rounds * batch} '
        f'annotations is beyond the pools of {sizes["image"]} images and '
        f'{sizes["text"]} texts.')
  return RunState(
      params=params,
      opt_state=opt_state,
      key=jax.random.key(seed),
      round=np.zeros((), np.int32),
      aligned=np.full((rounds * batch, 2), -1, np.int32),
      num_aligned=np.zeros((), np.int32),
      remaining={m: np.ones(sizes[m], bool) for m in views_lib.MODALITIES},
      modalities=np.full(rounds, -1, np.int32),
      queries=np.full((rounds, batch), -1, np.int32),
      losses=np.full(rounds, np.nan, np.float32),
      scores={m: np.full(rounds + 1, np.nan, np.float32) for m in metrics},
  )


def record_scores(state: RunState, scores: dict[str, float]) -> RunState:
  """Enters the scores that hold after the rounds done so far."""
  recorded = {}
  for name, curve in state.scores.items():
    recorded[name] = curve.copy()
    recorded[name][state.round] = scores[name]
  return dataclasses.replace(state, scores=recorded)


def record_answers(
    state: RunState, query: views_lib.Query, answers: np.ndarray
) -> RunState:
  """Moves queried items and their counterparts to the aligned set.

  Args:
    state: before the answers.
    query: `[B]` indices, -1 for none.
    answers: `[B]` int, the counterparts; ignored where the index is -1.

  Raises:
    ValueError: if an index or an answer is out of range, double, or aligned
      already.
  """
  asked = np.asarray(query.indices)
  side = views_lib.MODALITIES.index(query.modality)
  pairs = np.empty((len(asked), 2), np.int32)
  pairs[:, side], pairs[:, 1 - side] = asked, answers
  pairs = pairs[asked >= 0]
  remaining = {}
  for column, modality in enumerate(views_lib.MODALITIES):
    left = state.remaining[modality].copy()
    for index in pairs[:, column]:
      if not 0 <= index < len(left) or not left[index]:
        raise ValueError(
            f'{modality} {index} cannot be aligned in round {state.round}: its '
            f'pool has {len(left)} items, and none may be aligned twice.')
      left[index] = False
    remaining[modality] = left
  filled = int(state.num_aligned)
  aligned = state.aligned.copy()
  aligned[filled:filled + len(pairs)] = pairs
  modalities, queries = state.modalities.copy(), state.queries.copy()
  modalities[state.round], queries[state.round] = side, asked
  return dataclasses.replace(
      state, remaining=remaining, aligned=aligned, modalities=modalities,
      queries=queries, num_aligned=np.asarray(filled + len(pairs), np.int32))
