"""The whole state of a run, as one value of fixed shapes."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from flax import nnx
import jax
import numpy as np

from mmal_jax.acquire import views as views_lib
from mmal_jax.oracles import oracle as oracle_lib


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RunState:
  """Everything that decides how a run goes on; T rounds of B queries.

  Host-side bookkeeping is NumPy, what the accelerator works on is JAX.

  Attributes:
    params: of the encoder.
    learner_state: of the learner itself: of its optimizer, or its running
      statistics.
    start_params: the parameters from which every round trains anew on all pairs
      aligned so far; None where a round goes on from the one before. Going on
      costs accuracy where the first rounds' few pairs are learnt by heart (Ash
      and Adams, On Warm-Starting Neural Network Training, 2020).
    key: typed random key of the run; never changes, rounds fold into it.
    round: scalar int32, rounds done.
    aligned: `[T * B, M]` int32 item numbers of what is known to belong
      together, a column a modality; -1 for an item that is missing, and beyond
      the rows in use, which come first.
    num_aligned: scalar int32, rows of `aligned` in use.
    query_modalities: `[T, B]` int32, the column of each query's modality; -1
      where there is no query.
    queries: `[T, B]` int32 item numbers; -1 where there is no query.
    query_costs: `[T, B]` float32, what an answer to each costs; 0 where there
      is no query.
    answers: `[T, B, M]` int32, as of an `oracle.Oracle`: nothing but -1 where
      there is no answer yet.
    skills: `[T]` float32, how well held-out answers were retrieved in each
      round's learning, relative to chance; NaN to come, and where the learner
      does not hold any out.
    losses: `[T]` float32, each round's mean training loss; NaN to come, where
      there was nothing to train on, and where training was undone.
    scores: by metric, `[T + 1]` float32 percentages; entry 0 is before any
      annotation; NaN to come.
    modalities: M names, of the columns; static under `jit`.
  """

  params: nnx.State
  learner_state: Any
  start_params: nnx.State | None
  key: jax.Array
  round: np.ndarray
  aligned: np.ndarray
  num_aligned: np.ndarray
  query_modalities: np.ndarray
  queries: np.ndarray
  query_costs: np.ndarray
  answers: np.ndarray
  losses: np.ndarray
  skills: np.ndarray
  scores: dict[str, np.ndarray]
  modalities: tuple[str, ...] = dataclasses.field(metadata={'static': True})

  @property
  def aligned_rows(self) -> np.ndarray:
    """`[num_aligned, M]` int32, the rows of `aligned` that count."""
    return self.aligned[:self.num_aligned]

  @property
  def answered(self) -> np.ndarray:
    """`[T, B]` bool, the queries that were answered, or refused."""
    return (self.answers != oracle_lib.NONE).any(axis=2)

  @property
  def annotations(self) -> int:
    """How many answers were given so far."""
    return int(np.count_nonzero(self.answered))

  @property
  def spent(self) -> float:
    """What all answers so far cost."""
    return float(np.sum(self.query_costs, where=self.answered, dtype=float))


def check_budget(rounds: int, batch: int, sizes: Mapping[str, int]) -> None:
  """Refuses a budget that the pools cannot meet.

  Args:
    rounds: T.
    batch: B, queries a round.
    sizes: items of each modality.

  Raises:
    ValueError: if T or B is below 1, or T * B is beyond any pool.
  """
  for name, value in (('rounds', rounds), ('batch', batch)):
    if value < 1:
      raise ValueError(f'{name}={value!r} must be at least 1.')
  if rounds * batch > min(sizes.values()):
    most = min(sizes.values()) // rounds
    raise ValueError(
        f'a budget of rounds * batch = {rounds} * {batch} = {rounds * batch} '
        'annotations is beyond the pools: '
        f'{", ".join(f"{m} has {n}" for m, n in sizes.items())}. '
        + (f'With rounds={rounds}, batch can be at most {most}.' if most else
           f'rounds can be at most {min(sizes.values())}.'))


def initial_state(
    params: nnx.State,
    learner_state: Any,
    sizes: Mapping[str, int],
    metrics: tuple[str, ...],
    rounds: int,
    batch: int,
    seed: int,
    restart: bool = False,
) -> RunState:
  """The state before anything was asked.

  Args:
    params: of the warm start.
    learner_state: fresh, of `learner.init`.
    sizes: items of each modality, in the order of the columns.
    metrics: names of the scores to record.
    rounds: T.
    batch: B, queries a round.
    seed: of everything random in the run.
    restart: every round trains `params` anew.

  Raises:
    ValueError: as `check_budget`, and for a seed that a key cannot hold.
  """
  check_budget(rounds, batch, sizes)
  if not 0 <= seed < 2**32:  # Larger ones would wrap around to other seeds.
    raise ValueError(f'seed={seed!r} must lie within [0, 2**32).')
  return RunState(
      params=params,
      learner_state=learner_state,
      start_params=params if restart else None,
      key=jax.random.key(seed),
      round=np.zeros((), np.int32),
      aligned=np.full((rounds * batch, len(sizes)), -1, np.int32),
      num_aligned=np.zeros((), np.int32),
      query_modalities=np.full((rounds, batch), -1, np.int32),
      queries=np.full((rounds, batch), -1, np.int32),
      query_costs=np.zeros((rounds, batch), np.float32),
      answers=np.full(
          (rounds, batch, len(sizes)), oracle_lib.NONE, np.int32),
      losses=np.full(rounds, np.nan, np.float32),
      skills=np.full(rounds, np.nan, np.float32),
      scores={m: np.full(rounds + 1, np.nan, np.float32) for m in metrics},
      modalities=tuple(sizes),
  )


def record_scores(state: RunState, scores: dict[str, float]) -> RunState:
  """Enters the scores that hold after the rounds done so far."""
  recorded = {}
  for name, curve in state.scores.items():
    recorded[name] = curve.copy()
    recorded[name][state.round] = scores[name]
  return dataclasses.replace(state, scores=recorded)


def counterpart_share(state: RunState) -> float:
  """Share of the answered queries whose item has a counterpart; 1 of none."""
  answered = state.answers[state.answered]
  if not len(answered):
    return 1.0
  return float(np.mean((answered != oracle_lib.NONE).sum(axis=1) > 1))


def asked_of(state: RunState, modality: str) -> np.ndarray:
  """Numbers of all items of a modality that were asked about, `[q]` int32."""
  column = state.modalities.index(modality)
  return state.queries[state.query_modalities == column]


def remaining(
    state: RunState, modality: str, numbers: np.ndarray
) -> np.ndarray:
  """What may still be asked about, or be a counterpart.

  Args:
    state: present.
    modality: of the items.
    numbers: `[n]` int32.

  Returns:
    `[n]` bool, False for what is aligned or was asked about, be it answered,
    refused, or still open.
  """
  column = state.modalities.index(modality)
  gone = np.concatenate(
      [state.aligned_rows[:, column], asked_of(state, modality)])
  return ~np.isin(numbers, gone)


def check_query(
    state: RunState,
    query: views_lib.Query,
    left: Mapping[str, np.ndarray],
    batch: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Refuses a query that would corrupt the state, before it is asked.

  Args:
    state: before the query.
    query: of a strategy; indices are rows of what has arrived.
    left: by modality, `[n_m]` bool, the rows that remain.
    batch: how many were wanted, at most B.

  Returns:
    `(columns, rows)`, `[k]` int32 each, of the k items that it names.

  Raises:
    ValueError: if there are not as many, if one is out of range, double or
      not left, or if there are fewer though more items remain.
  """
  at = f'the query in round {state.round}'
  asked = np.asarray(query.indices)
  names = ((query.modality,) * batch if isinstance(query.modality, str)
           else tuple(query.modality))
  unknown = [name for name in names if name not in state.modalities]
  if unknown:
    raise ValueError(f'modality={unknown[0]!r} of {at} is none of '
                     f'{state.modalities}.')
  if asked.shape != (batch,) or not np.issubdtype(asked.dtype, np.integer):
    raise ValueError(
        f'{at} has indices of shape {asked.shape} and type {asked.dtype}; '
        f'({batch},) integers are needed.')
  if len(names) != batch:
    raise ValueError(f'{at} names {len(names)} modalities for {batch} items.')
  there = asked != -1
  for name in set(names):
    mine = [row for row, m in zip(asked[there], np.array(names)[there])
            if m == name]
    _check_left(left[name], name, mine, state.round)
  expected = min(batch, sum(np.count_nonzero(left[m]) for m in set(names)))
  if np.count_nonzero(there) != expected:
    raise ValueError(f'{at} names {np.count_nonzero(there)} items; {expected} '
                     'are needed.')
  columns = np.array([state.modalities.index(name) for name in names], np.int32)
  return columns[there], asked[there].astype(np.int32)


def record_query(
    state: RunState, columns: np.ndarray, numbers: np.ndarray, costs: np.ndarray
) -> RunState:
  """Enters the queries of a round.

  Args:
    state: before them.
    columns: `[k]` int32, of their modalities; k is at most B.
    numbers: `[k]` int32.
    costs: `[k]` float32, of an answer to each.
  """
  t, k = int(state.round), len(columns)
  changed = {}
  for name, values in (('query_modalities', columns), ('queries', numbers),
                       ('query_costs', costs)):
    changed[name] = getattr(state, name).copy()
    changed[name][t, :k] = values
  return dataclasses.replace(state, **changed)


def open_queries(state: RunState) -> tuple[np.ndarray, np.ndarray]:
  """`(rounds, places)` of the queries without an answer yet."""
  return np.nonzero((state.queries >= 0) & ~state.answered)


def check_answers(said: Any, shape: tuple[int, int]) -> np.ndarray:
  """What an oracle has answered, if it may be answers.

  Args:
    said: by the oracle.
    shape: `(q, M)`.

  Raises:
    ValueError: if it is no array of integers of this shape.
  """
  found = np.asarray(said)
  if found.shape != shape or not np.issubdtype(found.dtype, np.integer):
    raise ValueError(
        f'the oracle has answered with {type(said).__name__} of shape '
        f'{found.shape} and type {found.dtype}; {shape} integers are needed: a '
        'row a query, a column a modality, '
        f'{oracle_lib.NONE} where there is no counterpart.')
  return found


def record_answers(
    state: RunState,
    where: tuple[np.ndarray, np.ndarray],
    answers: np.ndarray,
    sizes: Mapping[str, int],
) -> RunState:
  """Moves queried items and their counterparts to the aligned set.

  An item may be named in several answers: annotators err, and all their answers
  are kept. Only what says the very same as an earlier answer adds nothing.

  Args:
    state: before the answers.
    where: `(rounds, places)`, `[q]` each, of open queries.
    answers: `[q, M]` int, as of an `oracle.Oracle`.
    sizes: items of each modality.

  Raises:
    ValueError: if an answer is of another shape, about another item than the
      query, or names an item that does not exist.
  """
  answers = np.asarray(answers)
  at, q = f'the answers in round {state.round}', len(where[0])
  if answers.shape != (q, len(state.modalities)) or not np.issubdtype(
      answers.dtype, np.integer):
    raise ValueError(
        f'{at} have shape {answers.shape} and type {answers.dtype}; '
        f'({q}, {len(state.modalities)}) integers are needed.')
  for column, (modality, size) in enumerate(sizes.items()):
    bad = (answers[:, column] < oracle_lib.NONE) | (answers[:, column] >= size)
    if bad.any():
      raise ValueError(f'{at} name {modality} {answers[bad, column][0]}; there '
                       f'are {size}.')
  given = (answers != oracle_lib.NONE).any(axis=1)
  own = answers[np.arange(q), state.query_modalities[where]]
  wrong = np.flatnonzero(given & (own != state.queries[where]))
  if wrong.size:
    raise ValueError(f'{at} are about item {own[wrong[0]]} where '
                     f'{state.queries[where][wrong[0]]} was asked about.')
  known = {tuple(row) for row in state.aligned_rows.tolist()}
  fresh = []
  for row in map(tuple, answers[given].tolist()):
    # A refused query, or one without a counterpart, teaches nothing.
    if row not in known and sum(number >= 0 for number in row) > 1:
      known.add(row)
      fresh.append(row)
  aligned, recorded = state.aligned.copy(), state.answers.copy()
  first = int(state.num_aligned)
  last = first + len(fresh)
  aligned[first:last] = np.array(fresh, np.int32).reshape(-1, answers.shape[1])
  recorded[where] = answers
  return dataclasses.replace(
      state, aligned=aligned, answers=recorded,
      num_aligned=np.asarray(last, np.int32))


def _check_left(left, modality, rows, at_round):
  left = left.copy()
  for row in rows:
    if not 0 <= row < len(left) or not left[row]:
      raise ValueError(
          f'{modality} {row} cannot be asked about in round {at_round}: its '
          f'pool has {len(left)} items, and none may be asked about twice.')
    left[row] = False
