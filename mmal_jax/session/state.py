"""The state of a session, and its steps: those of the loop, one at a time."""

from collections.abc import Iterable, Mapping
import dataclasses
from typing import NamedTuple
import zlib

from flax import nnx
import numpy as np

from mmal_jax import loop
from mmal_jax import state as state_lib
from mmal_jax.acquire import strategy as strategy_lib
from mmal_jax.learn import learner as learner_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.pools import pools as pools_lib

# Tables grow by doubling, so that few sizes are compiled.
_LEAST_ROUNDS, _LEAST_BATCH, _LEAST_ANSWERS = 8, 8, 64

Item = tuple[str, int]  # its modality and number
Row = tuple[int, ...]  # an answer, as of an `oracle.Oracle`


class Made(NamedTuple):
  """What a session is made of; it never changes.

  Attributes:
    pools: of features.
    learner: on these.
    params: that every round starts from.
    strategy: chooses the questions of every round but the first.
    plan: of training.
    seed: of all that is random.
    restart: whether every round learns anew.
    budget: how many questions may be asked in all; None for any number.
  """

  pools: pools_lib.Pools
  learner: learner_lib.Learner
  params: nnx.State
  strategy: strategy_lib.Strategy
  plan: loop.Plan
  seed: int = 0
  restart: bool = True
  budget: int | None = None


@dataclasses.dataclass(frozen=True)
class State:
  """Where a session is.

  Attributes:
    run: as of the loop, with the queries of the present round and the answers
      of all rounds before it.
    told: by item, the answers that nothing was learnt from yet.
    aside: items of questions that were put aside, without an answer.
    is_stale: whether the model was made of an answer that was taken back.
  """

  run: state_lib.RunState
  told: Mapping[Item, Row] = dataclasses.field(default_factory=dict)
  aside: frozenset[Item] = frozenset()
  is_stale: bool = False


def begin(made: Made) -> State:
  """The state before the first question."""
  sizes = made.pools.sizes
  return State(_grown(made, state_lib.initial_state(
      made.params, made.learner.init(made.params), sizes, (), 1, 1, made.seed,
      made.restart), 0))


def open_items(state: State) -> list[Item]:
  """Items of the questions without an answer, in the order of asking."""
  return [item for item in unanswered(state) if item not in state.aside]


def unanswered(state: State) -> list[Item]:
  """Items of all questions without an answer, also of those put aside."""
  return [item for item in _items(
      state.run, state_lib.open_queries(state.run)) if item not in state.told]


def answered(state: State) -> dict[Item, Row]:
  """By item, all answers so far, in the order of asking."""
  run = state.run
  found = {item: state.told[item] for item in _items(
      run, state_lib.open_queries(run)) if item in state.told}
  where = np.nonzero(run.answered)
  rows = map(tuple, run.answers[where].tolist())
  return dict(zip(_items(run, where), rows)) | found


def known(state: State) -> np.ndarray:
  """`[a, M]` int32, all tuples that were answered to belong together."""
  rows = dict.fromkeys(row for row in answered(state).values()
                       if sum(number != oracle_lib.NONE for number in row) > 1)
  return np.array(list(rows), np.int32).reshape(-1, len(state.run.modalities))


def asked(state: State) -> dict[Item, int]:
  """By item, the round in which it was asked about."""
  where = np.nonzero(state.run.queries >= 0)
  return dict(zip(_items(state.run, where), where[0].tolist()))


def is_due(state: State) -> bool:
  """Whether there is anything to learn, or the present round was asked."""
  return bool(state.told) or state.is_stale or bool(
      (state.run.queries[int(state.run.round):][:1] >= 0).any())


def most(made: Made, state: State) -> int:
  """How many questions can still be asked, of all modalities together."""
  left = sum(int(np.count_nonzero(state_lib.remaining(
      state.run, m, np.arange(n)))) for m, n in made.pools.sizes.items())
  spent = np.count_nonzero(state.run.queries >= 0)
  return left if made.budget is None else min(left, made.budget - int(spent))


def with_questions(
    made: Made, state: State, seen: loop.Seen, batch: int
) -> State:
  """Chooses the questions of a round, as the loop does.

  Args:
    made: the session.
    state: of a round in which nothing was asked.
    seen: of this round.
    batch: how many.
  """
  run = loop.ask(
      _grown(made, state.run, batch), made.strategy, seen, batch)
  return dataclasses.replace(state, run=run)


def with_items(made: Made, state: State, items: Iterable[Item]) -> State:
  """Enters questions that were chosen before into the present round."""
  run, items = state.run, list(items)
  there = np.count_nonzero(run.queries[int(run.round):][:1] >= 0)
  columns, numbers = (
      np.array([*before[:there], *new], np.int32) for before, new in (
          (run.query_modalities[int(run.round)],
           [run.modalities.index(m) for m, _ in items]),
          (run.queries[int(run.round)], [n for _, n in items])))
  run = _grown(made, run, len(numbers))
  costs = np.ones(len(numbers), np.float32)
  return dataclasses.replace(
      state, run=state_lib.record_query(run, columns, numbers, costs))


def with_answers(state: State, rows: Mapping[Item, Row]) -> State:
  """Takes answers to questions that were asked, in place of earlier ones.

  A row of nothing but `NONE` takes an answer back: the question is open again.
  """
  before = answered(state)
  state = _without(state, {item for item, row in rows.items()
                           if before.get(item, row) != row})
  given = {item: row for item, row in rows.items()
           if max(row) != oracle_lib.NONE and before.get(item) != row}
  return dataclasses.replace(
      state, told={**state.told, **given}, aside=state.aside - set(given))


def _without(state: State, items: set[Item]) -> State:
  """Without the answers about items, as if they had not been given yet."""
  run = state.run
  where = [(*place,) for place in np.argwhere(run.answered)]
  taken = [place for place, item in zip(where, _items(
      run, np.nonzero(run.answered))) if item in items]
  told = {item: row for item, row in state.told.items() if item not in items}
  if not taken:
    return dataclasses.replace(state, told=told)
  answers = run.answers.copy()
  answers[tuple(np.array(taken).T)] = oracle_lib.NONE
  # Another answer may say the same, from the other side.
  left = {*map(tuple, answers.reshape(-1, answers.shape[2]).tolist())}
  rows = run.aligned_rows[[tuple(row) in left
                           for row in run.aligned_rows.tolist()]]
  aligned = np.full_like(run.aligned, -1)
  aligned[:len(rows)] = rows
  return dataclasses.replace(
      state, told=told, is_stale=True, run=dataclasses.replace(
          run, answers=answers, aligned=aligned,
          num_aligned=np.asarray(len(rows), np.int32)))


def with_aside(state: State, items: Iterable[Item]) -> State:
  """Puts questions aside."""
  return dataclasses.replace(state, aside=state.aside | set(items))


def fitted(made: Made, state: State, seen: loop.Seen) -> State:
  """Learns from all answers, and begins the next round."""
  run = loop.learn(
      _recorded(made, state), made.learner, made.pools, seen, made.plan)
  return State(_grown(made, run, 0), {}, state.aside)


class Fit(NamedTuple):
  """What was learnt.

  Attributes:
    rounds: of learning so far.
    answers: that it is made of.
    skill: how well answers that were held out are predicted, relative to
      chance, which is 1; NaN where the learner holds none out.
  """

  rounds: int
  answers: int
  skill: float


class Learnt(NamedTuple):
  """What a round's learning has left, beside the answers; of fixed shapes.

  Attributes:
    params: of the encoder.
    learner_state: of the learner.
    round: scalar int32, rounds done.
    skill: scalar float32.
    loss: scalar float32.
    answers: scalar uint32, a checksum of the answers that it is of.
  """

  params: nnx.State
  learner_state: object
  round: np.ndarray
  skill: np.ndarray
  loss: np.ndarray
  answers: np.ndarray


def learnt(state: State) -> Learnt:
  """Of the last round that is done; of none, as the session begins."""
  run, last = state.run, int(state.run.round) - 1
  skill, loss = ((run.skills[last], run.losses[last]) if last >= 0
                 else (np.nan, np.nan))
  # In any order of telling the same.
  rows = sorted(
      (column, number, *answer) for column, number, answer in zip(
          run.query_modalities[run.answered].tolist(),
          run.queries[run.answered].tolist(),
          run.answers[run.answered].tolist()))
  return Learnt(
      run.params, run.learner_state, np.asarray(run.round, np.int32),
      np.asarray(skill, np.float32), np.asarray(loss, np.float32),
      np.asarray(zlib.crc32(repr(rows).encode()), np.uint32))


def fit_of(state: State) -> Fit:
  """What the last round has learnt."""
  return Fit(int(state.run.round), len(answered(state)),
             float(learnt(state).skill))


def without_learning(made: Made, state: State) -> State:
  """Enters all answers, and begins the next round; `with_learnt` completes it.
  """
  run = _recorded(made, state)
  run = dataclasses.replace(run, round=np.asarray(run.round + 1, np.int32))
  return State(_grown(made, run, 0), {}, state.aside)


def with_learnt(state: State, found: Learnt) -> State:
  """The state with what was learnt in the rounds before it."""
  run, last = state.run, int(found.round) - 1
  skills, losses = run.skills.copy(), run.losses.copy()
  if last >= 0:
    skills[last], losses[last] = found.skill, found.loss
  return dataclasses.replace(state, run=dataclasses.replace(
      run, params=found.params, learner_state=found.learner_state,
      skills=skills, losses=losses))


def _recorded(made, state) -> state_lib.RunState:
  """All answers, entered in the order of asking, in whichever they came."""
  run = _grown(made, state.run, 0)
  where = state_lib.open_queries(run)
  refused = (oracle_lib.NONE,) * len(run.modalities)
  rows = np.array([state.told.get(item, refused) for item in _items(
      run, where)], np.int32).reshape(-1, len(run.modalities))
  return state_lib.record_answers(run, where, rows, made.pools.sizes)


def _items(run, where) -> list[Item]:
  return [(run.modalities[column], number) for column, number in zip(
      run.query_modalities[where].tolist(), run.queries[where].tolist())]


def _grown(made, run, batch) -> state_lib.RunState:
  """The run with room for its present round, and a batch in it."""
  asked_so_far = int(np.count_nonzero(run.queries >= 0))
  rounds = _room(int(run.round) + 1, len(run.queries), _LEAST_ROUNDS)
  width = _room(batch, run.queries.shape[1], _LEAST_BATCH)
  # As long as those of a run of that budget, and so computed alike.
  answers = (_room(asked_so_far + batch, len(run.aligned), _LEAST_ANSWERS)
             if made.budget is None else max(made.budget, asked_so_far + batch,
                                             len(run.aligned)))
  return dataclasses.replace(
      run,
      aligned=_padded(run.aligned, (answers,), -1),
      query_modalities=_padded(run.query_modalities, (rounds, width), -1),
      queries=_padded(run.queries, (rounds, width), -1),
      query_costs=_padded(run.query_costs, (rounds, width), 0),
      answers=_padded(run.answers, (rounds, width), oracle_lib.NONE),
      losses=_padded(run.losses, (rounds,), np.nan),
      skills=_padded(run.skills, (rounds,), np.nan))


def _room(needed: int, there: int, least: int) -> int:
  """How long a table is to be: doubled until there is room."""
  return max(there, least, 1 << max(needed - 1, 0).bit_length())


def _padded(values, shape, fill) -> np.ndarray:
  return np.pad(
      values, [(0, n - m) for n, m in zip(shape, values.shape)]
      + [(0, 0)] * (values.ndim - len(shape)), constant_values=fill)
