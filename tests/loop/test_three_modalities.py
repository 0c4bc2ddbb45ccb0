"""Three modalities, end to end: data, loss, selection, answers, scores."""

import itertools

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax import loop
from mmal_jax import state as state_lib
from mmal_jax.acquire import registry
from mmal_jax.data import encode
from mmal_jax.data import scenes
from mmal_jax.data import schema
from mmal_jax.data import synthetic_trio
from mmal_jax.evaluate import evaluate
from mmal_jax.learn.gradient import learner as by_gradient
from mmal_jax.learn.gradient import loss as loss_lib
from mmal_jax.learn.gradient import optimizer
from mmal_jax.learn.gradient import pairwise
from mmal_jax.learn.gradient import step
from mmal_jax.models import registry as models
from mmal_jax.oracles import exact
from mmal_jax.pools import pools as pools_lib
from tests.support import loss_reference

NAMES = ('image', 'text', 'sound')


def _triples(n, seed):
  rng = np.random.default_rng(seed)
  hidden = rng.normal(size=(n, 5))
  maps = np.random.default_rng(0).normal(size=(3, 5, 7))
  return schema.Pairs(
      {name: (hidden @ m).astype(np.float32) for name, m in zip(NAMES, maps)},
      schema.no_groups(n))


@pytest.fixture(scope='module')
def run():
  """`(strategy, oracle, seed) -> states`, and the hidden tuples."""
  data = encode.encode(schema.Dataset('x', _triples(40, 1), _triples(20, 2)))
  items = dict.fromkeys(NAMES, jax.ShapeDtypeStruct((7,), np.float32))
  graphdef, params = nnx.split(models.MODELS['mlp'](
      items, 0, rngs=nnx.Rngs(0), width=16, embed_dim=8), nnx.Param)
  learner = by_gradient.ByGradient(
      step.Recipe(graphdef, optimizer.make_optimizer(1e-2, 30), 16), 30)
  pools, hidden = pools_lib.hide_pairing(data.pool, 0)

  def start(strategy, oracle=None, tuples=hidden.tuples, **plan):
    state = state_lib.initial_state(
        params, learner.init(params), pools.sizes,
        evaluate.metric_names(data.test), 3, 6, 0)
    return loop.run_rounds(
        state, learner, registry.find(strategy),
        oracle or exact.exact(tuples, NAMES), pools, data.test,
        loop.Plan(**plan))

  return start, hidden.tuples


@pytest.mark.long
@pytest.mark.parametrize('strategy', [
    'mmal', 'mmal@both', 'random', 'margin@sound', 'coreset@alternate'])
def test_a_run_aligns_triples(run, strategy):
  start, tuples = run
  *_, last = start(strategy)
  assert last.annotations == 18
  # Asked about in all modalities at once, two items may be of one triple.
  assert last.num_aligned == 18 or strategy.endswith('both')
  truth = set(map(tuple, tuples.tolist()))
  assert set(map(tuple, last.aligned_rows.tolist())) <= truth
  assert {'i2t_r1', 's2t_r5', 't2s_r10', 'mean_r10'} <= set(last.scores)
  assert last.scores['mean_r10'][-1] > last.scores['mean_r10'][0]
  if strategy == 'margin@sound':
    assert (last.query_modalities[1:] == 2).all()
  if strategy == 'mmal@both':
    assert set(last.query_modalities[1].tolist()) == {0, 1, 2}


@pytest.mark.long
def test_partial_answers_and_pseudo_pairs(run):
  start, tuples = run
  truth = exact.exact(tuples, NAMES)

  def without_sound(modality, numbers, suggest=None):
    answers = truth(modality, numbers).copy()
    if modality != 'sound':
      answers[:, 2] = -1
    return answers

  *_, last = start('mmal@both', without_sound, pseudo_pairs=2.0)
  assert np.isfinite(last.losses).all()
  some = last.aligned_rows[:, 2] < 0
  assert 0 < some.sum() < len(some)
  # A sound that no answer named may still be asked about.
  left = state_lib.remaining(last, 'sound', np.arange(40))
  assert left.sum() == 40 - (~some).sum()


def test_permuting_the_hidden_triples_leaves_the_first_chosen_query(run):
  start, tuples = run
  states = start('mmal')
  next(states)
  first = next(states)
  hidden = np.flatnonzero(~np.isin(tuples[:, 0], first.aligned_rows[:, 0]))
  other = tuples.copy()
  for column in (1, 2):
    other[hidden, column] = np.random.default_rng(column).permutation(
        other[hidden, column])
  for strategy in ('mmal', 'mmal@both', 'coreset', 'margin', 'random'):
    found = []
    for t in (tuples, other):
      states = start(strategy, tuples=t, pseudo_pairs=1.0)
      next(states), next(states)
      found.append(next(states))
    np.testing.assert_array_equal(found[0].queries[1], found[1].queries[1])
    np.testing.assert_array_equal(
        found[0].query_modalities[1], found[1].query_modalities[1])
    assert not np.array_equal(found[0].aligned, found[1].aligned)


def test_pairwise_loss_is_the_mean_over_pairs_of_modalities():
  rng = np.random.default_rng(0)
  b = 9
  x = {m: rng.normal(size=(b, 4)) for m in NAMES}
  x = {m: v / np.linalg.norm(v, axis=1, keepdims=True) for m, v in x.items()}
  ids = {m: rng.integers(7, size=b) for m in NAMES}
  valid = {m: rng.random(b) < 0.7 for m in NAMES}
  expected = np.mean([
      loss_reference.sigmoid(
          x[m], x[o], 1.0, -2.0, ids[m], ids[o], valid[m] & valid[o])[0]
      for m, o in itertools.combinations(NAMES, 2)])
  got = pairwise.pairwise(
      loss_lib.sigmoid_loss,
      {m: jnp.asarray(v, jnp.float32) for m, v in x.items()}, 1.0, -2.0,
      *({m: jnp.asarray(v) for m, v in values.items()}
        for values in (ids, valid)))
  np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_sounds_tell_scenes_apart_and_come_again():
  data, again = (synthetic_trio.load(
      pretrain=4, pool=30, test=6, image_size=16) for _ in range(2))
  for split in ('pretrain', 'pool', 'test'):
    one, other = getattr(data, split), getattr(again, split)
    assert one.items['text'] == other.items['text']
    for name in ('image', 'sound'):
      np.testing.assert_array_equal(one.items[name], other.items[name])
      assert one.items[name].shape[1:] == (16, 16, 3)
  # The colour is the pitch, and the first thing is the first to sound.
  rng = np.random.default_rng(0)
  low, high = scenes.Thing('red', 'star'), scenes.Thing('orange', 'circle')
  heard = synthetic_trio.sound(rng, [low, high], 32)[:, :, 0].astype(float)
  pitches = heard[:, 4:12].mean(axis=1), heard[:, 20:28].mean(axis=1)
  assert pitches[0].argmax() < 10 < 16 < pitches[1].argmax()
  with pytest.raises(ValueError, match='pool=0 must be at least 1'):
    synthetic_trio.load(pool=0)
