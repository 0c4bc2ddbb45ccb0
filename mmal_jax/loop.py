"""The loop: acquire, align, learn, evaluate, T times over."""

from collections.abc import Callable, Iterator, Mapping
import dataclasses
from typing import NamedTuple

from absl import logging
import jax
import numpy as np

from mmal_jax import observe
from mmal_jax import state as state_lib
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.data import encode
from mmal_jax.embed import in_memory as embed_lib
from mmal_jax.embed import reference as reference_lib
from mmal_jax.evaluate import evaluate as evaluate_lib
from mmal_jax.learn import checkpointer as checkpointer_lib
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn import pseudo as pseudo_lib
from mmal_jax.learn.gradient import divergence
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles import suggest as suggest_lib
from mmal_jax.pools import pools as pools_lib

# What becomes of a run whose training diverges: it ends, or it goes on with the
# next round from what was there before this one's training.
STOP, ROLL_BACK = 'stop', 'roll_back'
DIVERGENCE = STOP, ROLL_BACK


@dataclasses.dataclass(frozen=True)
class Plan:
  """How a run goes, beyond its strategy.

  Attributes:
    pseudo_pairs: the number of pairs predicted by the model that join the
      training for each that is known; 0 for none (`pseudo`).
    budget: cost of all answers, of which every round may spend an equal share
      and what the rounds before it left; None where only the number of queries
      counts.
    metric: of the distances and similarities that strategies see.
    reference: whether strategies see what is alike by what was known before
      training (`View.reference`), which may cost an embedding.
    divergence: one of `DIVERGENCE`.

  Raises:
    ValueError: if a number is below 0, or `divergence` is unknown.
  """

  pseudo_pairs: float = 0.0
  budget: float | None = None
  metric: metric_lib.Metric = metric_lib.COSINE
  reference: bool = False
  divergence: str = STOP

  def __post_init__(self):
    for name, least in (('pseudo_pairs', 0), ('budget', 0)):
      value = getattr(self, name)
      if value is not None and not value >= least:
        raise ValueError(f'{name}={value!r} must be at least {least}.')
    if self.divergence not in DIVERGENCE:
      raise ValueError(f'divergence={self.divergence!r} is none of '
                       f'{", ".join(DIVERGENCE)}.')


def run_rounds(
    state: state_lib.RunState,
    learner: learner_lib.Learner,
    strategy: views_lib.AcquisitionFunction,
    oracle: oracle_lib.Oracle,
    source: pools_lib.Source,
    test: encode.EncodedPairs,
    plan: Plan,
    report: embed_lib.Report | None = None,
    undone: Callable[[str], None] | None = None,
    checkpointer: Callable[[int], checkpointer_lib.Checkpointer] | None = None,
) -> Iterator[state_lib.RunState]:
  """Runs all rounds that `state` has still to come.

  Args:
    state: from `initial_state`, or any state that was yielded before.
    learner: makes the encoder of the answers.
    strategy: chooses the queries of every round but the first, which is a
      random batch, the same for every strategy of a seed. Where the encoder
      lies over a mesh, so do the pools that a `strategy.Strategy` sees, unless
      it is of `one_device`; any other function sees them on one device.
    oracle: answers them; the only holder of the pairing.
    source: what arrives in each round: the whole pools, or a stream's buffer.
    test: held-out pairs.
    plan: of training and costs.
    report: called with how long each pool's embedding took.
    undone: called with why a round's training was undone.
    checkpointer: saves states within the training of a round, by its number
      from 1 on.

  Yields:
    The state with its zero-shot scores, if it is a fresh one; then the state
    after every round.

  Raises:
    ValueError: if a strategy or an oracle names an item that it may not, the
      source has other modalities than the state, or the state to start from is
      not finite.
    divergence.Diverged: if training diverges and the plan is to stop then. The
      state that was yielded last is good; of the round, the answers are lost
      but to an oracle that keeps them (`oracles.journal`).
    oracle.Waiting: if people have not answered enough yet.
  """
  if tuple(source.sizes) != state.modalities:
    raise ValueError(
        f'the source has the modalities {tuple(source.sizes)}, the state '
        f'{state.modalities}: they must be the same, in the same order.')
  _check_finite(state)
  embedded = None  # of the test
  if all(np.isnan(curve[0]) for curve in state.scores.values()):
    state, embedded = _evaluated(state, learner, test, embedded)
    yield state
  seen = None
  while state.round < len(state.queries):
    seen = see(state, learner, source, plan, seen, report)
    state = ask(state, strategy, seen, state.queries.shape[1], plan.budget)
    state = _answered(state, oracle, source.sizes, suggester(state, seen))
    state = learn(state, learner, source, seen, plan, undone, checkpointer)
    state, embedded = _evaluated(state, learner, test, embedded)
    yield state


class Seen(NamedTuple):
  """What a round's queries are chosen by.

  Attributes:
    arrived: in the round.
    views: by modality, of what has arrived.
    spaces: by modality, what is alike in it; None where nothing goes by that.
  """

  arrived: pools_lib.Arrived
  views: Mapping[str, views_lib.View]
  spaces: Mapping[str, reference_lib.Space] | None


def see(
    state: state_lib.RunState,
    learner: learner_lib.Learner,
    source: pools_lib.Source,
    plan: Plan,
    before: Seen | None = None,
    report: embed_lib.Report | None = None,
) -> Seen:
  """Embeds what has arrived in the present round, as the model has it now.

  Args:
    state: before the round's queries.
    learner: makes the encoder.
    source: what arrives.
    plan: of the run.
    before: of the round before, of which is kept what has not changed.
    report: called with how long each pool's embedding took.
  """
  arrived = source.arrived(int(state.round))
  views, spaces = (None, None) if before is None else (
      before.views, before.spaces)
  views = observe.make_views(
      state, learner, source, arrived, views, plan.metric, report)
  if plan.reference or learner.needs_reference:
    spaces = observe.spaces(state, learner, source, arrived, views, spaces)
    views = observe.with_reference(
        views, state, learner, source, arrived, spaces)
  return Seen(arrived, views, spaces)


def ask(
    state: state_lib.RunState,
    strategy: views_lib.AcquisitionFunction,
    seen: Seen,
    batch: int,
    budget: float | None = None,
) -> state_lib.RunState:
  """Enters the present round's queries; those of round 0 are drawn at random.

  Args:
    state: before them.
    strategy: chooses them.
    seen: of this round.
    batch: how many, as far as items remain; at most what a round has room for.
    budget: as in `Plan`.

  Raises:
    ValueError: if the strategy names an item that it may not.
  """
  choose = strategies_lib.FIRST if state.round == 0 else strategy
  views = seen.views
  if getattr(choose, 'one_device', True):
    views = whole.on_one_device(views)
  query = choose(views, batch, _keys(state)[0])
  return _asked(state, query, seen.arrived, batch, budget)


def suggester(state: state_lib.RunState, seen: Seen) -> oracle_lib.Suggest:
  """Names the likeliest counterparts among all that is not aligned."""
  return suggest_lib.suggester(
      _unaligned(state, seen.views, seen.arrived), seen.arrived.numbers)


def learn(
    state: state_lib.RunState,
    learner: learner_lib.Learner,
    source: pools_lib.Source,
    seen: Seen,
    plan: Plan,
    undone: Callable[[str], None] | None = None,
    checkpointer: Callable[[int], checkpointer_lib.Checkpointer] | None = None,
) -> state_lib.RunState:
  """Learns from all answers, and ends the round.

  Args:
    state: with the round's answers.
    learner: makes the encoder of them.
    source: what has arrived.
    seen: of this round.
    plan: of training.
    undone: called with why the training was undone.
    checkpointer: as of `run_rounds`.

  Raises:
    divergence.Diverged: if training diverges and the plan is to stop then.
  """
  arrived = seen.arrived
  left = {
      m: state_lib.remaining(state, m, numbers)
      for m, numbers in arrived.numbers.items()}
  tuples = _with_pseudo_pairs(
      state, seen.views, left, arrived, plan.pseudo_pairs)
  return _learned(
      state, learner, source, arrived, tuples, left, seen.spaces,
      _keys(state)[1], plan, undone, checkpointer)


def _keys(state) -> jax.Array:
  """Of the present round: to choose by, and to train by."""
  return jax.random.split(jax.random.fold_in(state.key, int(state.round)))


def _check_finite(state) -> None:
  """Refuses parameters that would only show in what is asked or scored."""
  wrong = divergence.not_finite(state.params, state.learner_state)
  if state.start_params is not None:
    wrong += divergence.not_finite(state.start_params, ())
  if wrong:
    raise ValueError(
        f'the state to start from is NaN or infinite in {", ".join(wrong[:3])} '
        f'({len(wrong)} arrays in all).')


def _asked(state, query, arrived, batch, budget) -> state_lib.RunState:
  """Enters the query, as far as the budget goes."""
  left = {m: state_lib.remaining(state, m, numbers)
          for m, numbers in arrived.numbers.items()}
  columns, rows = state_lib.check_query(state, query, left, batch)
  names = [state.modalities[column] for column in columns]
  numbers = np.array(
      [arrived.numbers[m][row] for m, row in zip(names, rows)], np.int32)
  costs = np.ones(len(rows), np.float32)
  if arrived.costs is not None:
    for m, values in arrived.costs.items():
      if not np.all((values > 0) & np.isfinite(values)):
        raise ValueError(
            f'costs of {m} reach from {np.min(values)} to {np.max(values)}: '
            'they must be finite and above 0.')
    costs = np.array(
        [arrived.costs[m][row] for m, row in zip(names, rows)], np.float32)
  if budget is not None:
    share = budget * (state.round + 1) / len(state.queries)
    left_over = share - np.sum(state.query_costs, dtype=float)
    left_over += 1e-6 * budget  # Rounding must not cost the last.
    # What was wanted most comes first; but what is too dear alone must not keep
    # all others waiting.
    alone = costs <= left_over
    together = np.cumsum(np.where(alone, costs, 0), dtype=float) <= left_over
    columns, numbers, costs = (
        x[alone & together] for x in (columns, numbers, costs))
  return state_lib.record_query(state, columns, numbers, costs)


def _unaligned(state, views, arrived):
  """Views in which all that is not aligned remains, asked about or not."""
  return {
      m: views_lib.with_remaining(view, ~np.isin(
          arrived.numbers[m], state.aligned_rows[:, column]))
      for column, (m, view) in enumerate(views.items())}


def _answered(state, oracle, sizes, suggest) -> state_lib.RunState:
  """Asks the oracle, of the earlier queries only whether they are answered."""
  rounds, places = state_lib.open_queries(state)
  columns = state.query_modalities[rounds, places]
  answers = np.full(
      (len(rounds), len(state.modalities)), oracle_lib.NONE, np.int32)
  # The earlier ones last: while people were waited for, they may have answered
  # these, too, and after the last round nothing is asked again.
  for is_new in (True, False):
    waiting = []
    for column, modality in enumerate(state.modalities):
      mine = (columns == column) & ((rounds == state.round) == is_new)
      if mine.any():
        numbers = state.queries[rounds[mine], places[mine]]
        try:
          said = oracle(modality, numbers, suggest if is_new else None)
          answers[mine] = state_lib.check_answers(said, answers[mine].shape)
        except oracle_lib.Waiting as e:
          # Not before all questions of the round have gone out.
          waiting.append(e)
    if waiting:
      raise oracle_lib.together(waiting)
  return state_lib.record_answers(state, (rounds, places), answers, sizes)


def _with_pseudo_pairs(state, views, left, arrived, ratio) -> np.ndarray:
  """`[k, M]` item numbers of all that a round trains on."""
  count = round(ratio * len(state.aligned_rows))
  # A model that has learnt from no answer yet would only teach its own errors.
  if not count or np.isnan(state.losses[:state.round]).all():
    return state.aligned_rows
  remaining = {m: views_lib.with_remaining(view, left[m])
               for m, view in views.items()}
  return np.concatenate([
      state.aligned_rows, pseudo_lib.pairs(remaining, arrived.numbers, count)])


def _known(state, learner, source, arrived, tuples, left, spaces, capacity):
  """What the learner may know; tables are as long in every round."""
  padding = np.full(
      (capacity - len(tuples), tuples.shape[1]), oracle_lib.NONE, np.int32)
  tuples = np.concatenate([tuples, padding])
  items, rows = source.training_items(tuples, arrived.numbers)
  reference = {}
  if learner.needs_reference:
    of_pool = observe.on_host(spaces, arrived.items)
    held = of_pool if source.is_fixed else observe.reference_of(
        state, learner, source, items, spaces)
    reference = {
        'reference': of_pool,
        'aligned_reference': {
            m: held[m][column] for m, column in zip(held, rows.T)}}
  numbers = arrived.numbers if source.is_fixed else {
      m: np.where(column >= 0, column, arrived.numbers[m][0])
      for m, column in zip(items, tuples.T)}
  pool = learner_lib.Pool(
      arrived.items, {m: np.flatnonzero(x) for m, x in left.items()},
      **reference, numbers=arrived.numbers)
  return learner_lib.Known(
      items, rows, int(np.sum((rows >= 0).any(axis=1))), pool,
      is_new=not source.is_fixed or state.round == 0,
      share=state_lib.counterpart_share(state), numbers=numbers)


def _learned(
    state, learner, source, arrived, tuples, left, spaces, key, plan, undone,
    checkpointer
) -> state_lib.RunState:
  """Learns from the tuples, of which there may be none yet."""
  # Of a fixed size, so that a round never compiles anew.
  capacity = len(state.aligned) + round(plan.pseudo_pairs * len(state.aligned))
  known = _known(
      state, learner, source, arrived, tuples, left, spaces, capacity)
  losses, skills = state.losses.copy(), state.skills.copy()
  params, learner_state = state.params, state.learner_state
  try:
    params, learner_state, losses[state.round], skills[state.round] = (
        learner_lib.learn(
            learner, params, learner_state, state.start_params, key, known,
            checkpointer and checkpointer(int(state.round) + 1)))
  except divergence.Diverged as e:
    why = f'round {state.round + 1} of {len(state.queries)}: {e}'
    if plan.divergence == STOP:
      raise divergence.Diverged(why) from e
    logging.warning('%s This round\'s training is undone.', why)
    if undone is not None:
      undone(why)
  return dataclasses.replace(
      state, params=params, learner_state=learner_state, losses=losses,
      skills=skills, round=np.asarray(state.round + 1, np.int32))


def _evaluated(state, learner, test, before):
  """The state with its scores, and the test's embeddings."""
  params = learner.encoder(state.params, state.learner_state)
  known = {} if before is None else {
      name: rows for name, rows in before.items()
      if not learner.embeds_anew(evaluate_lib.modality_of(name), params)}
  embedded = evaluate_lib.embed_pairs(learner.graphdef, params, test, known)
  scores = evaluate_lib.evaluate(embedded, test)
  return state_lib.record_scores(state, scores), embedded
