"""Whatever happens in whatever order, the books of a run are kept.

Whole runs of the loop, but without a model: any oracle (right, wrong, late,
refusing, without a counterpart), any costs and budget, stopped anywhere and
resumed from any state that was saved, beside the journal.
"""

import dataclasses
import pathlib
import tempfile

import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax import loop
from mmal_jax import observe
from mmal_jax import state as state_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.checkpoint import pytrees
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.pools import pools as pools_lib
from tests.support import journals
from tests.support import tiny

_N = 12  # items of each modality


class _Stopped(Exception):
  """The program died."""


@dataclasses.dataclass
class _World:
  """People, who are asked over one run and all its resumptions.

  Attributes:
    modalities: names.
    answers: by modality, `[n, M]`, what is said of each item.
    delays: by modality, `[n]`, rounds until it is said.
    asked: by item, how often the question went out.
    answered: by item, what was answered.
    now: the round.
  """

  modalities: tuple[str, ...]
  answers: dict[str, np.ndarray]
  delays: dict[str, np.ndarray]
  asked: dict = dataclasses.field(default_factory=dict)
  answered: dict = dataclasses.field(default_factory=dict)
  now: int = 0
  calls_left: int | None = None

  def __call__(self, modality, numbers, suggest):
    if self.calls_left == 0:
      raise _Stopped
    if self.calls_left is not None:
      self.calls_left -= 1
    found = np.full((len(numbers), len(self.modalities)), -1, np.int32)
    for row, number in enumerate(numbers.tolist()):
      item = modality, number
      assert item not in self.answered, 'asked again about what was answered'
      if suggest is None:
        assert item in self.asked, 'the question never went out'
      else:
        assert item not in self.asked, 'the question goes out twice'
        self.asked[item] = self.now
      if self.now >= self.asked[item] + self.delays[modality][number]:
        found[row] = self.answers[modality][number]
        self.answered[item] = tuple(found[row].tolist())
    return found


class _Pools:
  """A source of items, some of which are dear."""

  is_fixed = True

  def __init__(self, modalities, costs):
    self.sizes = dict.fromkeys(modalities, _N)
    self._costs = costs

  def arrived(self, at_round):
    del at_round
    numbers = {m: np.arange(_N, dtype=np.int32) for m in self.sizes}
    return pools_lib.Arrived({}, numbers, self._costs)


def _choose(views, batch, key):
  """Items of any modalities, as many as there are, but none twice."""
  rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
  left = {m: np.flatnonzero(view.remaining) for m, view in views.items()}
  names = [m for m in left for _ in left[m]]
  order = rng.permutation(len(names))[:batch]
  rows = np.concatenate(list(left.values()))[order]
  chosen = [names[i] for i in order]
  # What is named beyond that is nothing, of any modality that is named.
  chosen += (chosen[:1] or list(left)[:1]) * (batch - len(chosen))
  indices = np.pad(rows, (0, batch - len(rows)), constant_values=-1)
  return views_lib.Query(tuple(chosen), jnp.asarray(indices, jnp.int32))


@pytest.fixture(name='bare', autouse=True)
def _bare(monkeypatch):
  """The loop without a model: only its books."""
  def make_views(state, learner, source, arrived, *_):
    del learner, source
    return {m: views_lib.View(
        jnp.zeros((_N, 1)), jnp.asarray(state_lib.remaining(state, m, numbers)),
        jnp.zeros((1, 1)), jnp.zeros(1, bool))
            for m, numbers in arrived.numbers.items()}

  monkeypatch.setattr(observe, 'make_views', make_views)
  monkeypatch.setattr(loop, '_check_finite', lambda state: None)
  monkeypatch.setattr(loop, '_learned', lambda state, *_: dataclasses.replace(
      state, round=np.asarray(state.round + 1, np.int32)))
  monkeypatch.setattr(loop, '_evaluated', lambda state, *_: (
      state_lib.record_scores(state, {'score': 0.0}), None))


@st.composite
def _settings(draw):
  modalities = ('image', 'text', 'sound')[:draw(st.integers(2, 3))]
  rounds, batch = draw(st.sampled_from([(1, 12), (2, 5), (4, 3), (6, 2)]))
  rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
  answers, delays = {}, {}
  odd, late = draw(st.sampled_from([0.0, 0.5])), draw(st.integers(0, 3))
  for column, m in enumerate(modalities):
    answers[m] = np.repeat(np.arange(_N)[:, None], len(modalities), 1)
    wrong = rng.random(answers[m].shape) < odd
    answers[m][wrong] = rng.integers(-1, _N, np.count_nonzero(wrong))
    answers[m][:, column] = np.arange(_N)
    answers[m] = answers[m].astype(np.int32)
    delays[m] = rng.integers(0, late + 1, _N)
  costs = budget = None
  if draw(st.booleans()):
    costs = {m: rng.uniform(0.1, 3, _N).astype(np.float32) for m in modalities}
    budget = draw(st.sampled_from([None, 1.0, 7.5, 40.0]))
  return modalities, rounds, batch, answers, delays, costs, budget


def _start(modalities, rounds, batch):
  return state_lib.initial_state(
      {}, (), dict.fromkeys(modalities, _N), ('score',), rounds, batch, 0)


def _rounds(state, journal, world, settings):
  """Runs what is left; every state that it comes to."""
  modalities, _, _, _, _, costs, budget = settings
  journal.begin(int(state.round))
  world.now = int(state.round)
  for state in loop.run_rounds(
      state, _Learner, _choose, journal, _Pools(modalities, costs), None,
      loop.Plan(budget=budget)):
    _check_books(state, costs, budget)
    journal.begin(int(state.round))
    world.now = int(state.round)
    yield state


class _Learner:
  needs_reference = False


def _check_books(state, costs, budget):
  """What must hold of any state, by sets and sums in plain Python."""
  asked, answered, spent, tuples = {}, {}, 0.0, {}
  for t, (columns, numbers) in enumerate(
      zip(state.query_modalities.tolist(), state.queries.tolist())):
    there = [(state.modalities[c], n, row) for c, n, row in zip(
        columns, numbers, state.answers[t].tolist()) if n >= 0]
    assert not there or t < state.round
    for modality, number, row in there:
      assert (modality, number) not in asked, 'asked twice'
      asked[modality, number] = t
      if max(row) >= 0:
        answered[modality, number] = tuple(row)
        spent += 1.0 if costs is None else float(costs[modality][number])
  for row in answered.values():
    if sum(number >= 0 for number in row) > 1:
      tuples[row] = None
  assert state.annotations == len(answered) <= state.queries.size
  assert state.spent == pytest.approx(spent)
  assert state.num_aligned == len(tuples)
  assert set(map(tuple, state.aligned_rows.tolist())) == set(tuples)
  assert (state.aligned[state.num_aligned:] == -1).all()
  if budget is not None:
    wanted = sum(1.0 if costs is None else float(costs[m][n]) for m, n in asked)
    share = budget * int(state.round) / len(state.queries)
    assert wanted <= share * (1 + 1e-5) + 1e-5
  for column, modality in enumerate(state.modalities):
    aligned = {row[column] for row in tuples if row[column] >= 0}
    mine = {number for m, number in asked if m == modality}
    left = np.flatnonzero(
        state_lib.remaining(state, modality, np.arange(_N)))
    assert set(left.tolist()) == set(range(_N)) - aligned - mine


def _check_end(state, journal_path, world, costs):
  """The journal, the people and the state tell the same."""
  records = journal_lib.read(journal_path)
  rebuilt = journals.aligned_set(records).tolist()
  assert sorted(rebuilt) == sorted(state.aligned_rows.tolist())
  given = [(r.modality, n) for r in records for n, row in zip(
      r.numbers, r.answers) if max(row) >= 0]
  assert (len(given) == len(set(given)) == state.annotations
          == len(world.answered))
  assert set(given) == set(world.answered) == {
      (m, n) for (m, n), asked in world.asked.items()
      if asked + world.delays[m][n] < len(state.queries)}
  if costs is not None:
    paid = sum(float(costs[m][n]) for m, n in world.answered)
    assert state.spent == pytest.approx(paid)


@pytest.mark.long
@hypothesis.settings(deadline=None, max_examples=40, suppress_health_check=[
    hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(settings=_settings(), data=st.data())
def test_a_run_keeps_its_books_however_often_it_is_stopped(settings, data):
  modalities, rounds, batch, answers, delays, costs, _ = settings
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    world = _World(modalities, answers, delays)
    journal = journal_lib.Journal(folder / 'whole', world, modalities)
    *_, whole = _rounds(
        _start(modalities, rounds, batch), journal, world, settings)
    _check_end(whole, folder / 'whole', world, costs)

    world = _World(modalities, answers, delays)
    saved, count = [_start(modalities, rounds, batch)], 0
    while saved[-1].round < rounds or count == 0:
      last = count == 5  # Then it is left in peace.
      world.calls_left = None if last else data.draw(st.integers(0, 6))
      journal = journal_lib.Journal(folder / 'journal', world, modalities)
      state = saved[-1] if last else saved[-data.draw(
          st.integers(1, min(2, len(saved))))]
      if not last and data.draw(st.booleans()):
        pytrees.save(folder / f'state{count}', state)
        state = pytrees.load(folder / f'state{count}', state)
      del saved[1 + int(state.round):]
      try:
        for state in _rounds(state, journal, world, settings):
          if state.round:
            saved.append(state)
      except _Stopped:
        pass
      count += 1
    _check_end(saved[-1], folder / 'journal', world, costs)
    tiny.assert_same(saved[-1], whole)
    again = _World(modalities, answers, delays, calls_left=0)
    journal = journal_lib.Journal(folder / 'journal', again, modalities)
    # The journal knows all of it, from the first round on.
    *_, anew = _rounds(
        _start(modalities, rounds, batch), journal, again, settings)
    tiny.assert_same(anew, whole)
