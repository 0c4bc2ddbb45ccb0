"""The rest of the pool, matched: by a call, and from a run's state."""

import dataclasses
import warnings

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from mmal_jax import remaining_matches
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.evaluate import calibration
from mmal_jax.learn.closed_form import learner as closed_form
from mmal_jax.matching import candidates
from mmal_jax.matching import match as match_lib
from mmal_jax.matching import pool as pool_lib
from mmal_jax.models import registry as models
from mmal_jax.oracles import exact
from mmal_jax.oracles import refusing
from mmal_jax.pools import pools as pools_lib
from mmal_jax.pools import stream
from tests.support import tiny

pytestmark = pytest.mark.usefixtures('quick_compilation')


def _features(n, seed=0, noise=0.3, widths=(12, 9)):
  """Views of one hidden vector, row by row."""
  rng = np.random.default_rng(seed)
  hidden = rng.normal(size=(n, 6))
  return [
      (hidden @ np.random.default_rng(i).normal(size=(6, width))
       + noise * rng.normal(size=(n, width))).astype(np.float32)
      for i, width in enumerate(widths)]


def _known(count):
  return np.stack([np.arange(count)] * 2, axis=1)


def _right(found):
  """Of matches between rows of the same number."""
  return found.counterparts[:, 0] == found.items


@pytest.mark.long
def test_match_is_calibrated_and_one_to_one():
  images, texts = _features(500, noise=0.4)
  found = match_lib.match(images, texts, _known(100), least_probability=0.5)
  stated = np.r_[found.images.probabilities[:, 0],
                 found.texts.probabilities[:, 0]]
  right = np.r_[_right(found.images), _right(found.texts)]
  assert 0.2 < right.mean() < 0.95
  assert calibration.expected_error(calibration.bins(stated, right)) < 0.08
  pairs = found.pairs
  assert len(pairs.rows) and pairs.probabilities.min() >= 0.5
  assert np.all(np.diff(pairs.probabilities) <= 0)
  for column in pairs.rows.T:
    assert len(set(column)) == len(column)
    assert not np.isin(column, np.arange(100)).any()
  np.testing.assert_array_equal(found.images.items, np.arange(100, 500))
  assert np.all(np.diff(found.images.probabilities[:, 1:], axis=1) <= 1e-12)
  assert np.all(found.images.probabilities.sum(axis=1) <= 1 + 1e-9)


def test_equal_items_are_all_right():
  images, texts = _features(120, noise=0.02)
  texts[100:110] = texts[110:120]
  images[100:110] = images[110:120]
  found = match_lib.match(images, texts, _known(60)).images
  twins = np.isin(found.items, np.arange(100, 120))
  first, second = found.counterparts[twins, :2].T
  assert np.mean(np.abs(first - second) == 10) > 0.8
  both = np.abs(first - second) == 10
  np.testing.assert_array_equal(*found.probabilities[twins, :2][both].T)
  assert found.probabilities[twins, 0][both].min() > 0.5


def test_few_pairs_one_item_left_and_pools_of_other_sizes():
  images, texts = _features(30, noise=0.1)
  found = match_lib.match(images[:6], texts, _known(5), k=3)
  assert found.images.counterparts.shape == (1, 3)
  assert found.texts.counterparts.shape == (25, 3)
  assert np.all(found.texts.counterparts[:, 1:] == -1)
  assert np.all(found.texts.probabilities[:, 1:] == 0)
  assert len(found.pairs.rows) == 1
  found = match_lib.match(images[:6], texts[:6], _known(5))
  assert np.isfinite(found.images.probabilities).all()


@pytest.mark.parametrize('change,error,message', [
    ({'images': [[1.0], [1.0, 2.0]]}, TypeError, 'images is a list of rows'),
    ({'images': np.ones((9, 3), int)}, TypeError, 'images has dtype int64'),
    ({'texts': np.ones(9)}, ValueError, 'texts has shape'),
    ({'texts': np.full((30, 3), np.nan)}, ValueError, 'texts is NaN'),
    ({'texts': np.zeros((30, 3))}, ValueError, 'texts is all zeros'),
    ({'texts': np.full((30, 3), 1e300)}, ValueError, 'texts is NaN or inf'),
    ({'known_pairs': _known(4)}, ValueError, 'at least 5'),
    ({'known_pairs': _known(9) * 1.0}, TypeError, 'integers are needed'),
    ({'known_pairs': _known(9)[:, :1]}, ValueError, r'\[a, 2\] is needed'),
    ({'known_pairs': _known(31)}, ValueError, 'row 30 of images'),
    ({'known_pairs': _known(30)}, ValueError, 'nothing is left'),
    ({'known_pairs': np.array([[i, 0] for i in range(9)])}, ValueError,
     'row 0 of texts more than once'),
    ({'k': 0}, ValueError, 'k=0'), ({'k': 1.5}, TypeError, 'k=1.5'),
    ({'rank': 0}, ValueError, 'rank=0'), ({'seed': -1}, ValueError, 'seed'),
    ({'share': 0.0}, ValueError, 'share'),
    ({'share': '1'}, ValueError, "share='1' must be a number within"),
    ({'least_probability': None}, ValueError, 'must be a number within'),
    ({'shared_space': 1}, TypeError, 'shared_space=1 must be True or False'),
    ({'known_pairs': _known(9).T}, ValueError, r'Give known_pairs\.T'),
    ({'known_pairs': _known(30)[20:] + 1}, ValueError, 'count from 1'),
    ({'texts': np.ones((40, 3)) * np.arange(1, 41)[:, None], 'known_pairs':
      np.stack([np.arange(31, 40), np.arange(9)], axis=1)}, ValueError,
     'two columns changed places'),
    ({'strategy': 'mmal'}, TypeError, 'match has no argument strategy'),
    ({'least_probability': 2}, ValueError, 'least_probability'),
    ({'shared_space': True}, ValueError, 'one width'),
])
def test_match_refuses(change, error, message):
  images, texts = _features(30)
  arguments = {'images': images, 'texts': texts, 'known_pairs': _known(9)}
  with pytest.raises(error, match=message):
    match_lib.match(**arguments | change)


@pytest.mark.long
def test_match_warns_of_pairs_in_another_order_and_of_one_pool_twice():
  images, texts = _features(200, noise=0.1)
  shifted = np.stack([np.arange(60), np.roll(np.arange(60), 7)], axis=1)
  with pytest.warns(UserWarning, match='60 known pairs.*image first'):
    match_lib.match(images, texts, shifted)
  with pytest.warns(UserWarning, match='one array given for both'):
    match_lib.match(images, images, _known(60))
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    match_lib.match(images, texts, _known(60))


def test_match_takes_scalars_of_arrays_and_says_what_pairs_are():
  images, texts = _features(80, noise=0.1)
  match_lib.match(images, texts, _known(40), share=np.array(0.5),
                  least_probability=jnp.float32(0.5))
  for known, what in (([], 'has 0 rows'), (iter(_known(9)), 'list'),
                      (_known(9).astype(object), r'astype\(int\)')):
    with pytest.raises((TypeError, ValueError), match=what):
      match_lib.match(images, texts, known)


def test_match_takes_what_ask_takes():
  images, texts = _features(80, noise=0.1)
  expected = match_lib.match(images, texts, _known(40))
  for take in (torch.tensor, np.ndarray.tolist, np.float64):
    found = match_lib.match(take(images), take(texts), _known(40).tolist())
    np.testing.assert_array_equal(
        found.images.counterparts, expected.images.counterparts)
    np.testing.assert_array_equal(
        found.images.probabilities, expected.images.probabilities)


def _run(widths=(12, 9), n=90, missing=0.0, seed=0):
  names = ['image', 'text', 'audio'][:len(widths)]
  parts = [
      encode.EncodedPairs(
          {m: encode.Items(x, schema.item_ids(x))
           for m, x in zip(names, _features(rows, i, 0.5, widths))},
          schema.no_groups(rows))
      for i, rows in enumerate((n, 20))]
  data = encode.EncodedDataset(parts[0], parts[1], None, None)
  graphdef, params = nnx.split(models.linear(
      {m: jax.ShapeDtypeStruct(x.values.shape[1:], np.float32)
       for m, x in data.pool.items.items()}, 0, rngs=nnx.Rngs(0),
      embed_dim=8), nnx.Param)
  return tiny.Run(data, closed_form.ClosedForm(graphdef), params,
              *pools_lib.hide_pairing(data.pool, seed, missing))


def _last(run, **arguments):
  *_, state = run.rounds(**arguments)
  return state


def _assert_equal(one, other):
  assert one.keys() == other.keys()
  for name in one:
    for a, b in zip(one[name], other[name], strict=True):
      np.testing.assert_array_equal(a, b)


def test_unanswered_pairings_leak_nothing():
  run = _run()
  state = _last(run)
  found = remaining_matches.match(state, run.learner, run.pools)
  answered = np.isin(run.hidden.tuples[:, 0], state.aligned_rows[:, 0])
  shuffled = run.hidden.tuples.copy()
  others = np.flatnonzero(~answered)
  shuffled[others, 1] = np.roll(shuffled[others, 1], 1)
  again = _last(run, tuples=shuffled)
  np.testing.assert_array_equal(state.queries, again.queries)
  _assert_equal(found, remaining_matches.match(again, run.learner, run.pools))


@pytest.mark.long
def test_items_that_remain_are_those_that_no_answer_names():
  run = _run(missing=0.3)
  oracle = refusing.refusing(exact.exact(
      run.hidden.tuples, tuple(run.pools.items)), run.pools.sizes, 0.2, 0)
  state = _last(run, oracle=oracle)
  named = state.answers.reshape(-1, 2)
  assert (named.min(axis=1) < 0).any()
  found = remaining_matches.match(state, run.learner, run.pools, k=4)
  for column, (one, other) in enumerate(
      (('image', 'text'), ('text', 'image'))):
    matches = found[one, other]
    np.testing.assert_array_equal(matches.items, np.setdiff1d(
        np.arange(run.pools.sizes[one]), named[:, column]))
    assert np.isin(matches.counterparts, np.r_[-1, found[other, one].items]
                   ).all()
    assert np.all((matches.probabilities >= 0) & (matches.probabilities <= 1))


def test_nothing_is_left_to_match():
  run = _run(n=16)
  state = _last(run)
  found = remaining_matches.match(state, run.learner, run.pools)
  for matches in found.values():
    assert matches.counterparts.shape == (0, 5)
    assert matches.probabilities.shape == (0, 5)
  pairs = pool_lib.pairs(*found.values(), 0.0)
  assert pairs.rows.shape == (0, 2)


@pytest.mark.long
def test_three_modalities_are_matched_two_by_two():
  run = _run((12, 9, 7))
  state = _last(run, strategy='random')
  found = remaining_matches.match(state, run.learner, run.pools, chosen=False)
  assert len(found) == 6
  of = dict(zip(state.modalities, run.hidden.tuples.T))
  for (one, other), matches in found.items():
    true = np.empty(len(of[one]), int)
    true[of[one]] = of[other]
    right = matches.counterparts[:, 0] == true[matches.items]
    assert right.mean() > 0.2
    assert matches.probabilities[:, 0].mean() > 0.1


@pytest.mark.parametrize('few', [True, False])
@pytest.mark.parametrize('chosen', [True, False])
@pytest.mark.parametrize('widths', [(12, 9), (12, 9, 7)])
def test_what_was_chosen_tells_about_itself_alone(
    monkeypatch, widths, chosen, few):
  """Of random pairs both items count, half each; of others the one asked.

  But of few, both count all the same.
  """
  if not few:
    monkeypatch.setattr(pool_lib, 'ENOUGH', pool_lib.LEAST)
  run = _run(widths)
  state = _last(run)
  about = remaining_matches._answers(state, chosen)
  assert about.at_random.any() and about.at_random.all() != chosen
  weights = []

  def record(features, weight, rest_):
    assert features.shape == (len(weight), len(candidates.FEATURES))
    assert len(rest_)
    weights.append(weight)
    return np.ones(len(weight))

  monkeypatch.setattr(pool_lib.calibrate, 'density_ratio', record)
  remaining_matches.match(state, run.learner, run.pools, chosen=chosen)
  couples = [(a, b) for b in range(len(widths)) for a in range(b)]
  assert len(weights) == len(couples) * len(pool_lib.TEMPERATURES)
  counts = {(np.sum(w == 0.5), np.sum(w == 1.0)) for w in weights}
  if few:
    assert len(about.asked) < pool_lib.ENOUGH
    assert counts == {(2 * len(about.asked), 0)}
    return
  both = np.sum(about.at_random)
  assert counts == {
      (2 * both, np.sum(np.isin(about.asked[~about.at_random], couple)))
      for couple in couples}


def test_answers_about_others_count_where_there_are_few():
  asked = np.array([-1, 2, 2, 0, 2, 2])
  np.testing.assert_array_equal(
      pool_lib._informed_modality(asked, (0, 1), 5), np.full(6, -1))
  np.testing.assert_array_equal(
      pool_lib._informed_modality(asked, (0, 2), 5), asked)


def test_held_out_answers_are_not_learnt_from():
  """Whatever a fold's answers say, its encoder is the same."""
  run = _run()
  state = _last(run)
  known = remaining_matches.known(state, run.pools)
  key = jax.random.key(0)

  def fold(known):
    return next(iter(run.learner.held_out(
        state.params, state.learner_state, key, known, 4)))

  mine, encoder = fold(known)
  assert len(mine) == 4
  swapped = known.aligned.copy()
  swapped[mine, 1] = swapped[np.roll(mine, 1), 1]
  tiny.assert_same(encoder, fold(known._replace(aligned=swapped))[1])
  others = np.setdiff1d(np.arange(known.num_aligned), mine)
  swapped = known.aligned.copy()
  swapped[others, 1] = swapped[np.roll(others, 1), 1]
  kernels = [e['text_tower']['kernel'][...] for e in (
      encoder, fold(known._replace(aligned=swapped))[1])]
  assert not np.allclose(*kernels, atol=1e-3)


def test_no_learner_but_one_that_holds_out(tiny_run):
  *_, state = tiny_run.rounds()
  with pytest.raises(ValueError, match="learner='closed_form'"):
    remaining_matches.match(state, tiny_run.learner, tiny_run.pools)
  run = _run()
  state = next(run.rounds())
  with pytest.raises(ValueError, match='at least 5'):
    remaining_matches.match(state, run.learner, run.pools)
  with pytest.raises(ValueError, match='stream have passed'):
    remaining_matches.match(state, run.learner, stream.of_pools(run.pools, 10))


def test_open_queries_remain():
  run = _run()
  state = _last(run)
  answers = state.answers.copy()
  answers[-1] = -1
  asked = answers.max(axis=2) >= 0
  kept = np.array([row for row in state.aligned_rows.tolist()
                   if row in answers[asked].tolist()])
  aligned = np.full_like(state.aligned, -1)
  aligned[:len(kept)] = kept
  opened = dataclasses.replace(
      state, answers=answers, aligned=aligned,
      num_aligned=np.asarray(len(kept), np.int32))
  found = remaining_matches.match(opened, run.learner, run.pools)
  assert len(found['image', 'text'].items) == 90 - len(kept)


def test_pairs_of_equal_items_take_the_larger_probability():
  one = pool_lib.Matches(
      np.array([2, 5]), np.array([[7], [1]]), np.array([[0.9], [0.4]]),
      np.array([True, False]))
  other = pool_lib.Matches(
      np.array([1, 7]), np.array([[2], [2]]), np.array([[0.3], [0.95]]),
      np.array([False, True]))
  found = pool_lib.pairs(one, other, 0.5)
  np.testing.assert_array_equal(found.rows, [[2, 7]])
  np.testing.assert_array_equal(found.probabilities, [0.95])
  assert pool_lib.pairs(one, other, 0.99).rows.shape == (0, 2)


def test_probabilities_of_later_candidates_fill_up_what_is_left():
  partners = np.array([[0, 1, 2, 3], [4, 5, 6, -1], [7, -1, -1, -1]])
  plan = np.array([[.5, .3, .1, .1], [.9, .08, .02, 0], [1.0, 0, 0, 0]])
  way = candidates.Candidates(np.arange(3), partners, plan, None, None)
  ids = np.arange(8)
  ids[5] = 4  # equals the first of its item
  found = pool_lib._probabilities(
      way, np.array([0.2, 0.7, 0.3]), 0.5, ids)
  np.testing.assert_allclose(
      found, [[.2, .2, .1, .1], [.7, .7, .15, 0], [.3, 0, 0, 0]])
