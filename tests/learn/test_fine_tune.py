"""Closed-form heads on pretrained towers, then steps of gradient on both."""

import contextlib

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax import loop
from mmal_jax import state as state_lib
from mmal_jax.checkpoint import pytrees
from mmal_jax.embed import in_memory
from mmal_jax.experiment import compilations
from mmal_jax.learn import fine_tune
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.closed_form import frozen
from mmal_jax.learn.closed_form import learner as closed_form
from mmal_jax.learn.gradient import divergence
from mmal_jax.learn.gradient import learner as by_gradient
from mmal_jax.learn.gradient import optimizer
from mmal_jax.learn.gradient import softmax
from mmal_jax.learn.gradient import step
from mmal_jax.models import dual_encoder
from mmal_jax.models import partition
from mmal_jax.models import registry as models
from mmal_jax.parallel import sharding
from mmal_jax.pools import stream
from tests.support import tiny

_NOTHING = -1


@pytest.fixture(autouse=True, scope='module')
def _quick(quick_compilation):
  del quick_compilation


def _with_heads(run, mesh=None, ema=0.0):
  """The run with the learner of this test; its MLPs are the towers."""
  graphdef, towers = run.learner.graphdef, partition.place(run.params, mesh)
  model = nnx.merge(graphdef, towers)
  heads_def, heads = nnx.split(models.linear(
      {m: jax.ShapeDtypeStruct((width,), np.float32)
       for m, width in dual_encoder.widths(model).items()}, 0,
      rngs=nnx.Rngs(0), embed_dim=16, shared=True), nnx.Param)
  with_heads, params = nnx.split(
      dual_encoder.Headed(model, nnx.merge(heads_def, heads)), nnx.Param)
  recipe = step.Recipe(
      with_heads, optimizer.make_optimizer(1e-2, tiny.STEPS, ema=ema), 8,
      loss=softmax.softmax_loss, mesh=mesh)
  learner = fine_tune.FineTune(
      by_gradient.ByGradient(recipe, tiny.STEPS),
      closed_form.ClosedForm(
          heads_def, True, 16,
          rows=None if mesh is None else partition.batch_rows(mesh)), graphdef)
  return run._replace(
      learner=learner, params=partition.place(params, mesh))


@pytest.fixture(name='run', scope='module')
def _run(tiny_run):
  return _with_heads(tiny_run)


@pytest.fixture(name='states', scope='module')
def _states(run):
  return list(run.rounds('random', run.start(restart=True)))


def _known(run, state):
  """The aligned tuples of a state, and what remains."""
  arrived = run.pools.arrived(0)
  left = {m: np.flatnonzero(state_lib.remaining(state, m, numbers))
          for m, numbers in arrived.numbers.items()}
  return learner_lib.Known(
      arrived.items, state.aligned, int(state.num_aligned),
      learner_lib.Pool(arrived.items, left))


def _embedded(graphdef, params, items):
  return {m: np.asarray(in_memory.embed(graphdef, params, some.values, m))
          for m, some in items.items()}


def _differ(one, other, prefix):
  """Whether any parameter whose name begins so differs."""
  return any(
      not np.array_equal(a, b) for name, part in one.items()
      if name.startswith(prefix) for a, b in zip(
          jax.tree.leaves(part), jax.tree.leaves(other[name]), strict=True))


def test_before_any_answer_similarities_are_those_of_the_towers(run):
  items = run.pools.items
  one = _embedded(run.learner.graphdef, run.params, items)
  towers = nnx.State({
      name: part for name, part in run.params.items() if 'head' not in name})
  other = _embedded(run.learner.towers, towers, items)
  np.testing.assert_allclose(
      one['image'] @ one['text'].T, other['image'] @ other['text'].T, atol=1e-5)


@pytest.mark.long
def test_the_start_is_the_closed_form_on_frozen_towers(run, states):
  known, key = _known(run, states[-1]), jax.random.key(7)
  learner, params = run.learner, run.params
  start = learner.headed(params, learner.init(params).heads, key, known)
  # The same by the closed form alone, on a dataset of features.
  towers = nnx.State({
      name: part for name, part in params.items() if 'head' not in name})
  data = frozen.features(learner.towers, towers, run.data)
  rows = {m: _embedded(learner.towers, towers, {m: items})[m]
          for m, items in known.items.items()}
  features = {m: items.__class__(rows[m], items.ids)
              for m, items in known.items.items()}
  alone = nnx.State({
      name.replace('head', 'tower'): part for name, part in params.items()
      if 'head' in name or 'logit' in name})
  expected = learner.heads.learn(
      alone, learner.heads.init(alone), None, key, known._replace(
          items=features, pool=known.pool._replace(items=features)))
  assert start.skill == expected.skill and start.loss == expected.loss
  for pixels, made in ((known.items, features),
                       (run.data.test.items, data.test.items)):
    found = _embedded(learner.graphdef, start.params, pixels)
    wanted = _embedded(learner.heads.graphdef, expected.params, made)
    for m, embeddings in found.items():
      np.testing.assert_allclose(embeddings, wanted[m], atol=2e-5)
    np.testing.assert_allclose(
        found['image'] @ found['text'].T, wanted['image'] @ wanted['text'].T,
        atol=2e-5)
  np.testing.assert_allclose(
      start.params['logit_scale'][...], expected.params['logit_scale'][...])


def test_steps_change_towers_and_heads_from_there_on(run, states):
  known, key = _known(run, states[-1]), jax.random.key(7)
  learner, params = run.learner, run.params
  state = learner.init(params)
  start = learner.headed(
      params, state.heads, jax.random.split(key)[0], known).params
  learned = learner.learn(params, state, params, key, known)
  for m in ('image', 'text'):
    assert not _differ(start, params, f'{m}_tower')
    assert _differ(start, params, f'{m}_head')
    for part in ('tower', 'projection', 'head'):
      assert _differ(learned.params, start, f'{m}_{part}')
    # Chosen, and not learnt.
    np.testing.assert_array_equal(
        learned.params[f'{m}_head']['prior'][...],
        start[f'{m}_head']['prior'][...])
  assert np.isfinite(learned.loss) and np.isfinite(learned.skill)


@pytest.mark.parametrize('prior', [0.0, 1.0])
def test_a_prior_of_nothing_or_all_gives_a_finite_gradient(run, states, prior):
  params = jax.tree.map(lambda x: x, run.params)
  for m in ('image', 'text'):
    params[f'{m}_head']['prior'][...] = np.float32(prior)
  learned = run.learner.gradient.learn(
      params, run.learner.gradient.init(params), params, jax.random.key(0),
      _known(run, states[-1]))
  assert np.isfinite(learned.loss)


def test_every_round_starts_anew_from_the_pretrained_towers(run, states):
  known, key = _known(run, states[-1]), jax.random.key(7)
  learned = [
      run.learner.learn(params, states[2].learner_state, run.params, key, known)
      for params in (states[1].params, states[3].params)]
  tiny.assert_same(learned[0].params, learned[1].params)


def test_or_goes_on_with_the_heads_of_the_first(run):
  states = list(run.rounds('random', run.start()))
  assert float(states[1].learner_state.heads.setting[0])
  for before, after in zip(states[1:], states[2:]):
    tiny.assert_same(before.learner_state.heads, after.learner_state.heads)
    assert _differ(before.params, after.params, 'image_head')
  assert np.isfinite(states[-1].losses).all()


@pytest.mark.long
@pytest.mark.parametrize('restart,buffer', [
    (True, None), (True, 10), (False, None)])
def test_a_saved_state_goes_on_to_the_bit(tiny_run, tmp_path, restart, buffer):
  # In a learner of its own: nothing that one keeps beside the state may tell.
  run, other = (_with_heads(tiny_run, ema=0.9) for _ in range(2))
  source = run.pools if buffer is None else stream.of_pools(run.pools, buffer)
  start = run.start(restart=restart)
  states = list(run.rounds('mmal', start, source=source))
  pytrees.save(tmp_path / 'state', states[2])
  loaded = pytrees.load(tmp_path / 'state', start)
  *_, last = other.rounds('mmal', loaded, source=source)
  tiny.assert_same(last, states[-1])


class _Ends(BaseException):
  """A program ends."""


class _Checkpointer:
  """Keeps every step; ends the program after some step."""

  every = 1

  def __init__(self, end=None):
    self.end, self._kept = end, None

  @contextlib.contextmanager
  def training(self, of, like):
    del of, like
    yield self._kept and jax.tree.map(jnp.asarray, self._kept)

  def is_due(self, step, steps):
    if step == self.end:
      raise _Ends
    return step < steps

  def save(self, step, tree):
    del step
    self._kept = jax.tree.map(np.array, tree)


@pytest.mark.long
@pytest.mark.parametrize('restart', [True, False])
def test_what_ends_within_a_round_goes_on_to_the_same_bits(tiny_run, restart):
  def last(checkpointers):
    run = _with_heads(tiny_run, ema=0.5)  # A learner of its own, as of a start.
    *_, state = run.rounds(
        'random', run.start(restart=restart), checkpointer=checkpointers)
    return state

  whole, kept = last(None), _Checkpointer(end=tiny.STEPS)
  for end in (tiny.STEPS, None):
    kept.end = end
    with pytest.raises(_Ends) if end else contextlib.nullcontext():
      tiny.assert_same(
          last(lambda t: kept if t == 2 else _Checkpointer()), whole)


def test_a_stream_knows_the_moments_of_all_that_passed(run):
  *_, state = run.rounds('random', run.start(restart=True),
                         source=stream.of_pools(run.pools, 10))
  for moments in state.learner_state.heads.moments.values():
    assert float(moments.count) == 40


def test_what_is_hidden_changes_nothing_that_is_learnt(run, states):
  state, tuples = states[2], run.hidden.tuples
  left = np.flatnonzero(state_lib.remaining(state, 'image', tuples[:, 0]))
  shuffled = tuples.copy()
  shuffled[left, 1] = np.roll(shuffled[left, 1], 1)
  true = next(run.rounds('mmal', state))
  # What is asked is answered as before; nothing else is as it was.
  asked = true.aligned_rows[state.num_aligned:]
  fixed = shuffled.copy()
  for image, text in asked:
    here, there = fixed[:, 0] == image, fixed[:, 1] == text
    fixed[there, 1], fixed[here, 1] = fixed[here, 1][0], text
  assert not np.array_equal(fixed, tuples)
  other = next(run.rounds('mmal', state, tuples=fixed))
  tiny.assert_same(other, true)
  # And what is answered otherwise is learnt.
  wrong = next(run.rounds('mmal', state, tuples=shuffled))
  np.testing.assert_array_equal(wrong.queries, true.queries)
  assert _differ(wrong.params, true.params, 'image_tower')


def test_features_are_computed_once(tiny_run, monkeypatch):
  calls, embedded = [], frozen.in_memory.embed_to_host

  def spy(graphdef, params, values, modality, **kwargs):
    if graphdef is tiny_run.learner.graphdef:  # without heads
      calls.append(modality)
    return embedded(graphdef, params, values, modality, **kwargs)

  monkeypatch.setattr(frozen.in_memory, 'embed_to_host', spy)
  run = _with_heads(tiny_run)
  for _ in run.rounds('random', run.start(restart=True)):
    pass
  assert calls == ['image', 'text']


@pytest.mark.parametrize('restart', [True, False])
def test_rounds_do_not_recompile(tiny_run, restart):
  run, counts = _with_heads(tiny_run), []
  counter = compilations.CompilationCounter()
  for _ in run.rounds('random', run.start(restart=restart)):
    counts.append(counter.count)
  # Four answers choose nothing; eight may, and twelve have a closed world.
  assert np.diff(counts)[-1] == 0


def test_without_answers_nothing_is_learnt(run):
  def refuses(modality, numbers, suggest=None):
    del suggest
    answers = np.full((len(numbers), 2), _NOTHING, np.int32)
    answers[:, list(run.pools.sizes).index(modality)] = numbers
    return answers

  *_, state = run.rounds('random', run.start(restart=True), oracle=refuses)
  tiny.assert_same(state.params, run.params)
  assert np.isnan(state.losses).all()


def test_a_first_round_that_was_undone_costs_no_moments(run, monkeypatch):
  fit, calls = by_gradient.fit_lib.fit, []

  def first_diverges(*args, **named):
    calls.append(args)
    if len(calls) == 1:
      raise divergence.Diverged('for the test')
    return fit(*args, **named)

  monkeypatch.setattr(by_gradient.fit_lib, 'fit', first_diverges)
  *_, state = run.rounds('random', run.start(restart=True),
                         divergence=loop.ROLL_BACK)
  assert np.isnan(state.losses[0]) and np.isfinite(state.losses[1:]).all()
  for moments in state.learner_state.heads.moments.values():
    assert float(moments.count) == 40


@pytest.mark.long
def test_over_a_mesh_the_same_is_learnt(tiny_run):
  similarities = []
  for mesh in (None, sharding.make_mesh(2, 2)):
    run = _with_heads(tiny_run, mesh)
    *_, state = run.rounds('random', run.start(restart=True))
    assert partition.mesh_of(state.params) == mesh
    rows = _embedded(run.learner.graphdef, state.params, run.data.test.items)
    similarities.append(rows['image'] @ rows['text'].T)
  np.testing.assert_allclose(*similarities, atol=2e-3)
