"""Oracles that err, refuse, or do not see everything; costs and suggestions."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax import state as state_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.data import encode
from mmal_jax.oracles import exact
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles import refusing
from mmal_jax.oracles import registry
from mmal_jax.oracles import similar
from mmal_jax.oracles import suggest
from mmal_jax.oracles import wrong
from mmal_jax.pools import costs
from mmal_jax.pools import pools as pools_lib
from mmal_jax.pools import stream
from tests.support import tiny

N = 2000
SIZES = {'image': N, 'text': N, 'sound': N}


def _tuples(seed=0):
  rng = np.random.default_rng(seed)
  return np.stack([rng.permutation(N) for _ in SIZES], 1).astype(np.int32)


def _rates(oracle, tuples):
  """Shares of right answers, of wrong and of none, asked about all items."""
  shares = []
  for column, modality in enumerate(SIZES):
    answers = oracle(modality, tuples[:, column])
    np.testing.assert_array_equal(answers[:, column], tuples[:, column])
    np.testing.assert_array_equal(
        answers, oracle(modality, tuples[:, column], None))  # the same twice
    others = np.delete(answers, column, 1)
    truth = np.delete(tuples, column, 1)
    shares.append([np.mean(others == truth), np.mean(
        (others != truth) & (others >= 0)), np.mean(others < 0)])
  return np.array(shares)


@pytest.mark.parametrize('share', [0.0, 0.1, 1.0])
def test_wrong_at_the_rate_that_was_asked_for(share):
  tuples = _tuples()
  oracle = exact.exact(tuples, tuple(SIZES))
  found = _rates(wrong.wrong(
      oracle, SIZES, share, wrong.uniform(SIZES, 3), 3), tuples)
  # Of 2000 items each: a standard deviation of 0.007 at 10 %.
  np.testing.assert_allclose(found[:, 1], share, atol=0.035)
  np.testing.assert_allclose(found[:, 0], 1 - found[:, 1])
  named = wrong.wrong(oracle, SIZES, 1.0, wrong.uniform(SIZES, 3), 3)(
      'image', np.arange(N))[:, 1]
  assert len(set(named.tolist())) > N / 2  # all over the pool


def test_refusals_at_the_rate_that_was_asked_for():
  tuples = _tuples()
  oracle = refusing.refusing(exact.exact(tuples, tuple(SIZES)), SIZES, 0.3, 1)
  found = _rates(oracle, tuples)
  np.testing.assert_allclose(found[:, 2], 0.3, atol=0.05)
  assert (found[:, 1] == 0).all()


def test_shares_out_of_range():
  oracle = exact.exact(_tuples(), tuple(SIZES))
  with pytest.raises(ValueError, match=r'wrong=1\.5 must lie within'):
    wrong.wrong(oracle, SIZES, 1.5, wrong.uniform(SIZES, 0), 0)
  with pytest.raises(ValueError, match=r'refuse=-0\.1 must lie within'):
    refusing.refusing(oracle, SIZES, -0.1, 0)


def test_the_near_mistake_is_the_nearest_that_is_not_the_same():
  rng = np.random.default_rng(0)
  pixels = rng.integers(256, size=(6, 32, 32, 3)).astype(np.uint8)
  pixels[3] = np.clip(pixels[0].astype(int) + 9, 0, 255)  # alike
  pixels[4] = pixels[0]  # the same
  tokens = np.array(
      [[5, 6, 7, 0], [7, 5, 6, 0], [5, 8, 9, 0], [9, 9, 8, 8], [5, 6, 7, 0],
       [1, 2, 3, 0]], np.int32)
  features = rng.normal(size=(6, 5)).astype(np.float32)
  features[2] = 3 * features[0]
  items = {
      'image': encode.Items(pixels, np.array([0, 1, 2, 3, 0, 4])),
      'text': encode.Items(tokens, np.array([0, 1, 2, 3, 0, 4])),
      'sound': encode.Items(features, np.arange(6))}
  mistake = similar.nearest_other(items)
  of_first, of_third = mistake('image', np.array([0, 3]))
  assert of_first == 3 and of_third in (0, 4)
  assert mistake('text', np.array([0, 1, 3])).tolist() == [1, 0, 2]
  assert mistake('sound', np.array([0, 2])).tolist() == [2, 0]
  with pytest.raises(ValueError, match='all items of image are the same'):
    similar.nearest_other({'image': encode.Items(
        pixels[:2], np.zeros(2, int))})('image', np.array([0]))


def test_contrast_makes_no_image_another():
  rng = np.random.default_rng(0)
  pixels = np.zeros((3, 16, 16, 3), np.uint8)
  pixels[0] = rng.integers(256, size=pixels.shape[1:])
  pixels[1] = 127.5 + 0.3 * (pixels[0] - 127.5)  # pale
  noise = 20 * rng.normal(size=pixels.shape[1:])
  pixels[2] = np.clip(pixels[0] + noise, 0, 255)
  mistake = similar.nearest_other({'image': encode.Items(pixels, np.arange(3))})
  assert mistake('image', np.array([0])) == 1


def test_one_item_cannot_be_taken_for_another():
  with pytest.raises(ValueError, match=r'text has 1 item\(s\)'):
    wrong.uniform({'image': 2, 'text': 1}, 0)


def test_registered_mistakes(tiny_run):
  pools = tiny_run.pools
  for make in registry.MISTAKES.values():
    mistake = make(pools, 0)
    for modality in pools.items:
      found = mistake(modality, np.arange(40))
      assert (found != np.arange(40)).all()
      assert 0 <= found.min() and found.max() < 40


@pytest.mark.parametrize('missing', [0.0, 0.3])
def test_missing_items(missing):
  pairs = tiny.feature_pairs(200, 0)
  data = encode.EncodedPairs(
      {m: encode.Items(x, np.arange(200)) for m, x in pairs.items.items()},
      pairs.groups)
  pools, (tuples, rows) = pools_lib.hide_pairing(data, 4, missing)
  gone = round(200 * missing)
  assert sum(pools.sizes.values()) == 400 - gone
  assert (tuples < 0).any(axis=1).sum() == gone
  assert not missing or min(pools.sizes.values()) < 200 - gone / 4
  oracle = exact.exact(tuples, ('image', 'text'))
  for column, modality in enumerate(pools.items):
    n = pools.sizes[modality]
    answers = oracle(modality, np.arange(n))
    np.testing.assert_array_equal(answers[:, column], np.arange(n))
    other = answers[:, 1 - column]
    there = other >= 0
    assert there.sum() == 200 - gone
    np.testing.assert_array_equal(
        rows[modality][there],
        rows[('text', 'image')[column]][other[there]])
  with pytest.raises(ValueError, match='missing=1.0 must lie within'):
    pools_lib.hide_pairing(data, 4, 1.0)


def test_only_the_present_buffer_is_seen():
  tuples = np.stack(
      [np.arange(10), [2, 9, 0, 1, 8, 4, 7, 3, 5, 6]], 1).astype(np.int32)
  oracle = stream.within_buffer(
      exact.exact(tuples, ('image', 'text')), ('image', 'text'), 4)
  answers = oracle('image', np.array([0, 1, 5]))
  assert answers.tolist() == [[0, 2], [1, -1], [5, 4]]
  assert oracle('text', np.array([9, 7])).tolist() == [[-1, 9], [6, 7]]


def test_alone_keeps_open_queries_open():
  answers = np.array([[4, 7], [-1, -1]])
  assert oracle_lib.alone(answers, 0).tolist() == [[4, -1], [-1, -1]]


def test_costs():
  drawn = costs.draw({'image': 3000, 'text': 3000}, 0, image=2.0, spread=0.5)
  np.testing.assert_allclose(np.median(drawn['image']), 2, rtol=0.05)
  np.testing.assert_allclose(np.median(drawn['text']), 1, rtol=0.05)
  np.testing.assert_allclose(np.std(np.log(drawn['text'])), 0.5, rtol=0.05)
  for arguments, what in (({'sound': 1.0}, 'costs.sound: known are spread'),
                          ({'spread': -1.0}, 'costs.spread=-1.0 must'),
                          ({'text': 0.0}, 'costs.text=0.0 must be above 0')):
    with pytest.raises(ValueError, match=what):
      costs.draw({'image': 1, 'text': 1}, 0, **arguments)


def _costly(run, prices):
  return dataclasses.replace(run.pools, costs={
      m: np.full(40, price, np.float32) for m, price in prices.items()})


def test_a_budget_in_cost_units_is_never_exceeded(tiny_run):
  rng = np.random.default_rng(0)
  source = dataclasses.replace(tiny_run.pools, costs={
      m: rng.uniform(0.5, 3, 40).astype(np.float32)
      for m in tiny_run.pools.items})
  budget, seen = 16.0, []

  def strategy(views, batch, key):
    seen.append({m: np.asarray(view.costs) for m, view in views.items()})
    indices = np.flatnonzero(views['text'].remaining)[:batch]
    return views_lib.Query('text', jnp.asarray(indices, jnp.int32))

  *_, last = tiny_run.rounds(strategy, source=source, budget=budget)
  for t in range(tiny.ROUNDS):
    spent = last.query_costs[:t + 1].sum()
    assert spent <= budget * (t + 1) / tiny.ROUNDS + 1e-4
    # Not one more would have fitted, or the whole batch did.
    asked = np.count_nonzero(last.queries[t] >= 0)
    assert asked == tiny.BATCH or spent > budget * (t + 1) / tiny.ROUNDS - 3
  np.testing.assert_allclose(last.spent, last.query_costs.sum(), rtol=1e-6)
  for one in seen:
    for modality, values in source.costs.items():
      np.testing.assert_array_equal(one[modality], values)


def test_a_round_that_can_afford_nothing_asks_nothing(tiny_run):
  source = _costly(tiny_run, {'image': 10.0, 'text': 10.0})
  states = list(tiny_run.rounds('mmal', source=source, budget=20.0))
  assert [s.annotations for s in states] == [0, 0, 1, 1, 2]
  assert np.isnan(states[1].losses[0]) and np.isfinite(states[2].losses[1])
  # Nothing was learnt, and so nothing changed.
  for name, curve in states[1].scores.items():
    assert curve[1] == curve[0], name


def test_what_is_too_dear_alone_keeps_no_other_waiting(tiny_run):
  costs = {m: np.ones(40, np.float32) for m in tiny_run.pools.items}
  costs['text'][:2] = 100.0

  def strategy(views, batch, key):
    del key
    indices = np.flatnonzero(views['text'].remaining)[:batch]
    return views_lib.Query('text', jnp.asarray(indices, jnp.int32))

  source = dataclasses.replace(tiny_run.pools, costs=costs)
  *_, last = tiny_run.rounds(strategy, source=source, budget=16.0)
  # From the second round on the two are wanted most, and never asked about.
  asked = np.sum(last.queries[1:] >= 0, axis=1)
  assert (asked >= tiny.BATCH - 2).all(), asked
  assert not np.isin(last.queries[last.query_modalities == 1], [0, 1]).any()


def test_open_queries_are_asked_for_again_but_never_anew(tiny_run):
  calls = []
  truth = exact.exact(tiny_run.hidden.tuples, ('image', 'text'))

  def slow(modality, numbers, suggestions=None):
    """Answers a round late."""
    calls.append((modality, numbers.tolist(), suggestions is not None))
    if suggestions is not None:
      return np.full((len(numbers), 2), oracle_lib.NONE, np.int32)
    return truth(modality, numbers)

  states = list(tiny_run.rounds('mmal', oracle=slow))
  assert [s.annotations for s in states] == [0, 0, 4, 8, 12]
  new = [(m, i) for m, numbers, is_new in calls if is_new for i in numbers]
  assert len(new) == len(set(new)) == tiny.ROUNDS * tiny.BATCH
  last = states[-1]
  assert last.num_aligned <= 12
  rows = {tuple(row) for row in tiny_run.hidden.tuples.tolist()}
  assert {tuple(row) for row in last.aligned_rows.tolist()} <= rows
  assert len(state_lib.open_queries(last)[0]) == tiny.BATCH


def test_suggestions_are_the_most_similar_that_remain():
  rng = np.random.default_rng(0)
  pools = {m: rng.normal(size=(n, 8)) for m, n in (('image', 30), ('text', 90))}
  for x in pools.values():
    x /= np.linalg.norm(x, axis=1, keepdims=True)
  remaining = {m: rng.random(len(x)) < 0.7 for m, x in pools.items()}
  remaining['image'][:] = np.arange(30) < 3
  views = {m: views_lib.View(
      jnp.asarray(x, jnp.float32), jnp.asarray(remaining[m]),
      jnp.zeros((2, 8)), jnp.zeros(2, bool)) for m, x in pools.items()}
  numbers = {'image': np.arange(100, 130), 'text': rng.permutation(90) + 500}
  ask = suggest.suggester(views, numbers)
  asked = numbers['text'][rng.permutation(90)[:70]]
  found = ask('text', asked, 'image', 5)
  assert found.shape == (70, 5) and found.dtype == np.int32
  for number, row in zip(asked, found):
    i = int(np.flatnonzero(numbers['text'] == number)[0])
    order = np.argsort(-(pools['image'][:3] @ pools['text'][i]))
    assert row.tolist() == (100 + order).tolist() + [-1, -1]
