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
    start_params: the parameters from which every round trains anew on all pairs
      aligned so far; None where a round goes on from the one before. Going on
      costs accuracy where the first rounds' few pairs are learnt by heart (Ash
      and Adams, On Warm-Starting Neural Network Training, 2020).
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
  start_params: nnx.State | None
  key: jax.Array
  round: np.ndarray
  aligned: np.ndarray
  num_aligned: np.ndarray
  remaining: dict[str, np.ndarray]
  modalities: np.ndarray
  queries: np.ndarray
  losses: np.ndarray
  scores: dict[str, np.ndarray]


def check_budget(rounds: int, batch: int, images: int, texts: int) -> None:
  """Refuses a budget that the pools cannot meet.

  Args:
    rounds: T.
    batch: B, queries a round.
    images: size of the image pool.
    texts: size of the text pool.

  Raises:
    ValueError: if T or B is below 1, or T * B is beyond either pool.
  """
  for name, value in (('rounds', rounds), ('batch', batch)):
    if value < 1:
      raise ValueError(f'{name}={value!r} must be at least 1.')
  if rounds * batch > min(images, texts):
    raise ValueError(
        f'a budget of rounds * batch = {rounds} * {batch} = {rounds * batch} '
        f'annotations is beyond the pools of {images} images and {texts} '
        'texts.')


def initial_state(
    params: nnx.State,
    opt_state: optax.OptState,
    pools: pools_lib.Pools,
    metrics: tuple[str, ...],
    rounds: int,
    batch: int,
    seed: int,
    restart: bool = False,
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
    restart: every round trains `params` anew.

  Raises:
    ValueError: as `check_budget`, and for a seed that a key cannot hold.
  """
  sizes = {'image': len(pools.images), 'text': len(pools.texts)}
  check_budget(rounds, batch, sizes['image'], sizes['text'])
  if not 0 <= seed < 2**32:  # Larger ones would wrap around to other seeds.
    raise ValueError(f'seed={seed!r} must lie within [0, 2**32).')
  return RunState(
      params=params,
      opt_state=opt_state,
      start_params=params if restart else None,
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


def check_query(state: RunState, query: views_lib.Query) -> np.ndarray:
  """Refuses a query that would spoil the books, before anybody is asked.

  Args:
    state: before the query.
    query: of a strategy.

  Returns:
    Its indices, `[B]` int32 NumPy.

  Raises:
    ValueError: if there are not B of them, if one is out of range, double or
      aligned already, or if there are fewer than B though more items remain.
  """
  batch = state.queries.shape[1]
  asked = np.asarray(query.indices)
  if query.modality not in views_lib.MODALITIES:
    raise ValueError(f'modality={query.modality!r} of the query in round '
                     f'{state.round} is none of {views_lib.MODALITIES}.')
  if asked.shape != (batch,) or not np.issubdtype(asked.dtype, np.integer):
    raise ValueError(
        f'the query in round {state.round} has indices of shape {asked.shape} '
        f'and type {asked.dtype}; ({batch},) integers are needed.')
  left = state.remaining[query.modality]
  _take(left, query.modality, asked[asked != -1], state.round)
  expected = min(batch, np.count_nonzero(left))
  if np.count_nonzero(asked != -1) != expected:
    raise ValueError(
        f'the query in round {state.round} names '
        f'{np.count_nonzero(asked != -1)} items; {expected} are needed.')
  return asked.astype(np.int32)


def record_answers(
    state: RunState, query: views_lib.Query, answers: np.ndarray
) -> RunState:
  """Moves queried items and their counterparts to the aligned set.

  Args:
    state: before the answers.
    query: `[B]` indices, -1 for none.
    answers: `[B]` int, the counterparts; ignored where the index is -1.

  Raises:
    ValueError: as `check_query`, and if an answer is out of range, double, or
      aligned already.
  """
  asked = check_query(state, query)
  answers = np.asarray(answers)
  if answers.shape != asked.shape:
    raise ValueError(f'the answers in round {state.round} have shape '
                     f'{answers.shape}; {asked.shape} is needed.')
  side = views_lib.MODALITIES.index(query.modality)
  pairs = np.empty((len(asked), 2), np.int32)
  pairs[:, side], pairs[:, 1 - side] = asked, answers
  pairs = pairs[asked != -1]
  remaining = {
      modality: _take(
          state.remaining[modality], modality, pairs[:, column], state.round)
      for column, modality in enumerate(views_lib.MODALITIES)}
  filled = int(state.num_aligned)
  aligned = state.aligned.copy()
  aligned[filled:filled + len(pairs)] = pairs
  modalities, queries = state.modalities.copy(), state.queries.copy()
  modalities[state.round], queries[state.round] = side, asked
  return dataclasses.replace(
      state, remaining=remaining, aligned=aligned, modalities=modalities,
      queries=queries, num_aligned=np.asarray(filled + len(pairs), np.int32))


def _take(left, modality, indices, at_round) -> np.ndarray:
  """`left` without the items at `indices`."""
  left = left.copy()
  for index in indices:
    if not 0 <= index < len(left) or not left[index]:
      raise ValueError(
          f'{modality} {index} cannot be aligned in round {at_round}: its '
          f'pool has {len(left)} items, and none may be aligned twice.')
    left[index] = False
  return left
