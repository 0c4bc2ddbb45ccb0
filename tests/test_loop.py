"""The loop: no leak, no recompilation, the same twice, resumable by value."""

import jax
import numpy as np
import pytest

from experiments import compilations
from mmal_jax import checkpoint
from mmal_jax import state as state_lib
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.align import exact
from mmal_jax.align import pools as pools_lib
from mmal_jax.data import encode
from mmal_jax.train import step
from tests import tiny


def _last(states):
  *_, last = states
  return last


def _assert_equal(a, b):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
      x, y = jax.random.key_data(x), jax.random.key_data(y)
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize('strategy', ['mmal', 'random', 'coreset', 'margin'])
def test_a_run_keeps_the_books(tiny_run, strategy):
  states = list(tiny_run.rounds(strategy))
  assert len(states) == tiny.ROUNDS + 1
  for t, state in enumerate(states):
    assert state.round == t and state.num_aligned == t * tiny.BATCH
    aligned = state.aligned[:state.num_aligned]
    assert (state.aligned[state.num_aligned:] == -1).all()
    # Every pair is a true one, and has left both pools.
    np.testing.assert_array_equal(
        tiny_run.pairing[aligned[:, 0]], aligned[:, 1])
    for column, modality in enumerate(('image', 'text')):
      gone = np.flatnonzero(~state.remaining[modality])
      np.testing.assert_array_equal(np.sort(aligned[:, column]), gone)
    for curve in state.scores.values():
      assert np.isfinite(curve[:t + 1]).all() and np.isnan(curve[t + 1:]).all()
    assert np.isfinite(state.losses[:t]).all()
    for i in range(t):
      side = state.modalities[i]
      batch = aligned[i * tiny.BATCH:(i + 1) * tiny.BATCH]
      np.testing.assert_array_equal(batch[:, side], state.queries[i])


def test_permuting_the_hidden_pairing_leaves_the_first_query(tiny_run):
  other = np.random.default_rng(5).permutation(tiny_run.pairing)
  assert not np.array_equal(other, tiny_run.pairing)
  for strategy in registry.STRATEGIES:
    runs = [tiny_run.rounds(strategy, pairing=p)
            for p in (tiny_run.pairing, other)]
    first, second = (next(r) and next(r) for r in runs)
    assert first.modalities[0] == second.modalities[0]
    np.testing.assert_array_equal(first.queries[0], second.queries[0])
    assert not np.array_equal(first.aligned, second.aligned)


def test_permuting_the_hidden_pairing_leaves_the_first_chosen_query(tiny_run):
  # The loop's first batch is random. Here it has been answered the same way
  # in both worlds, which differ in all that is still hidden.
  state = _nth(tiny_run.rounds(), 1)
  hidden = np.flatnonzero(state.remaining['image'])
  other = tiny_run.pairing.copy()
  other[hidden] = np.random.default_rng(5).permutation(other[hidden])
  for strategy in registry.STRATEGIES:
    chosen = [next(tiny_run.rounds(strategy, state=state, pairing=p))
              for p in (tiny_run.pairing, other)]
    np.testing.assert_array_equal(chosen[0].queries[1], chosen[1].queries[1])
    assert not np.array_equal(chosen[0].aligned, chosen[1].aligned)


def _nth(states, n):
  for _ in range(n):
    next(states)
  return next(states)


def test_pools_do_not_betray_the_pairing():
  data = encode.encode(tiny.schema.Dataset(
      'x', tiny.feature_pairs(50, 1), tiny.feature_pairs(10, 2)))
  pools, pairing = pools_lib.hide_pairing(data.pool, 3)
  np.testing.assert_array_equal(np.sort(pairing), np.arange(50))
  # Neither order nor numbering says who belongs to whom.
  assert np.mean(pairing == np.arange(50)) < 0.2
  assert np.mean(pools.images.ids == pools.texts.ids[pairing]) < 0.2
  # The image pool is the same whatever the texts are, and the reverse.
  rows = np.random.default_rng(0).permutation(50)
  moved = encode.EncodedPairs(
      data.pool.images, data.pool.texts.take(rows), data.pool.groups)
  other, _ = pools_lib.hide_pairing(moved, 3)
  np.testing.assert_array_equal(other.images.values, pools.images.values)
  np.testing.assert_array_equal(other.images.ids, pools.images.ids)


def test_pools_keep_pairs_and_equal_items_together():
  pairs = tiny.feature_pairs(6, 0)
  texts = pairs.texts[[0, 1, 0, 3, 0, 5]]
  data = encode.EncodedPairs(
      encode.Items(pairs.images, np.arange(6)),
      encode.Items(texts, np.array([0, 1, 0, 3, 0, 5])), pairs.groups)
  pools, pairing = pools_lib.hide_pairing(data, 1)
  source = [int(np.flatnonzero((pairs.images == row).all(1))[0])
            for row in pools.images.values]
  np.testing.assert_array_equal(pools.texts.values[pairing], texts[source])
  equal = (pools.texts.values[:, None] == pools.texts.values[None]).all(-1)
  ids = pools.texts.ids
  np.testing.assert_array_equal(ids[:, None] == ids[None], equal)


def test_same_seed_same_run_and_other_seed_other_run(tiny_run):
  first, again = (_last(tiny_run.rounds()) for _ in range(2))
  _assert_equal(first, again)
  other = _last(tiny_run.rounds(seed=1))
  assert not np.array_equal(first.queries, other.queries)
  assert any(not np.array_equal(first.scores[m], other.scores[m])
             for m in first.scores)


def test_first_round_is_the_same_for_all_strategies(tiny_run):
  first = [_nth(tiny_run.rounds(name), 1) for name in registry.STRATEGIES]
  for state in first[1:]:
    _assert_equal(state, first[0])


@pytest.mark.parametrize('restart', [False, True])
def test_a_saved_state_goes_on_as_if_nothing_happened(
    tiny_run, tmp_path, restart):
  start = tiny_run.start(restart=restart)
  whole = _last(tiny_run.rounds(state=start))
  half = _nth(tiny_run.rounds(state=start), 2)
  checkpoint.save(tmp_path / 'state', half)
  loaded = checkpoint.load(
      tmp_path / 'state', tiny_run.start(seed=9, restart=restart))
  _assert_equal(loaded, half)
  _assert_equal(_last(tiny_run.rounds(state=loaded)), whole)


def test_restarting_trains_the_start_anew_on_all_pairs(tiny_run):
  states = list(tiny_run.rounds(state=tiny_run.start(restart=True)))
  learner, pool = tiny_run.learner, tiny_run.pools
  for t, state in enumerate(states[1:]):
    # What the loop does, by its parts.
    _, key = jax.random.split(jax.random.fold_in(state.key, t))
    params, _, loss = step.fit(
        learner, tiny_run.params, learner.optimizer.init(tiny_run.params), key,
        pool.images, pool.texts, state.aligned, state.num_aligned, tiny.STEPS)
    _assert_close(state.params, params)
    np.testing.assert_allclose(state.losses[t], loss, rtol=1e-5)
    _assert_equal(state.start_params, tiny_run.params)
  going_on = list(tiny_run.rounds())
  _assert_close(going_on[1].params, states[1].params)
  assert going_on[2].losses[1] != pytest.approx(states[2].losses[1], rel=1e-3)


def _assert_close(a, b):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_every_round_has_a_key_of_its_own(tiny_run):
  keys = []

  def spy(views, batch, key):
    keys.append(tuple(np.asarray(jax.random.key_data(key)).tolist()))
    return registry.STRATEGIES['random'](views, batch, key)

  list(tiny_run.rounds(spy))
  assert len(set(keys)) == tiny.ROUNDS - 1


def test_checkpoint_that_is_missing_or_of_another_shape(tiny_run, tmp_path):
  with pytest.raises(FileNotFoundError, match='no checkpoint at'):
    checkpoint.load(tmp_path / 'none', {'a': np.zeros(2)})
  checkpoint.save(tmp_path / 'a', {'a': np.zeros(2)})
  with pytest.raises(ValueError):
    checkpoint.load(tmp_path / 'a', {'b': np.zeros(2)})
  with pytest.raises(ValueError, match='there is a checkpoint'):
    checkpoint.save(tmp_path / 'a', {'a': np.ones(2)})
  np.testing.assert_array_equal(
      checkpoint.load(tmp_path / 'a', {'a': np.ones(2)})['a'], [0, 0])


@pytest.mark.parametrize('strategy', ['mmal', 'random', 'coreset', 'margin'])
def test_rounds_do_not_recompile(tiny_run, strategy):
  jax.clear_caches()
  counter = compilations.CompilationCounter()
  counts = []
  for _ in tiny_run.rounds(strategy):
    counts.append(counter.count)
  per_round = np.diff([0] + counts)
  assert per_round[1] > 0  # The counter counts.
  # Round 1 trains first, round 2 chooses first; from round 3 on all is there.
  assert per_round[3:].tolist() == [0] * (tiny.ROUNDS - 2)


def test_a_budget_beyond_the_pool_is_refused(tiny_run):
  def start(rounds, batch, seed=0):
    return state_lib.initial_state(
        tiny_run.params, (), tiny_run.pools, ('x',), rounds, batch, seed)

  start(10, 4)
  with pytest.raises(ValueError, match=r'11 \* 4 = 44 .* 40 images'):
    start(11, 4)
  with pytest.raises(ValueError, match='batch=0 must be at least 1'):
    start(1, 0)
  with pytest.raises(ValueError, match='rounds=-1 must be at least 1'):
    start(-1, 4)
  with pytest.raises(ValueError, match='seed=4294967296 must lie within'):
    start(1, 4, seed=2**32)


def test_the_last_item_of_the_pool_can_be_asked_for(tiny_run):
  state = state_lib.initial_state(
      tiny_run.params, tiny_run.learner.optimizer.init(tiny_run.params),
      tiny_run.pools, tiny.evaluate.metric_names(tiny_run.data.test), 4, 10, 0)
  last = _last(tiny_run.rounds(state=state))
  assert last.num_aligned == 40 and not last.remaining['text'].any()


@pytest.mark.parametrize('indices,answers,what', [
    ([1, 1], [2, 3], 'image 1'),
    ([1, 40], [2, 3], 'image 40'),
    ([1, -7], [2, 3], 'image -7'),
    ([1, 2], [3, 3], 'text 3'),
    ([1, 2], [3, -1], 'text -1'),
])
def test_nothing_is_aligned_twice(tiny_run, indices, answers, what):
  query = views_lib.Query('image', np.array(indices + [5, 6], np.int32))
  with pytest.raises(ValueError, match=f'{what} cannot be aligned in round 0'):
    state_lib.record_answers(
        tiny_run.start(), query, np.array(answers + [5, 6]))


@pytest.mark.parametrize('modality,indices,what', [
    ('image', [1], r'shape \(1,\)'),
    ('image', [1, 2], r'shape \(2,\)'),
    ('image', [[1, 2, 3, 4]], r'shape \(1, 4\)'),
    ('image', [1., 2., 3., 4.], 'type float64'),
    ('image', [1, 2, 3, -1], 'names 3 items; 4 are needed'),
    ('image', [100, 2, 3, 4], 'image 100 cannot be aligned'),
    ('sound', [1, 2, 3, 4], "modality='sound'"),
])
def test_a_strategy_that_answers_nonsense_is_stopped_before_the_oracle(
    tiny_run, modality, indices, what):
  state = _nth(tiny_run.rounds(), 1)
  query = views_lib.Query(modality, np.array(indices))
  if not what.startswith('image'):
    left = np.flatnonzero(state.remaining['image'])
    query = query._replace(indices=np.where(
        query.indices > 0, left[query.indices.astype(int)], query.indices
    ).astype(query.indices.dtype))
  with pytest.raises(ValueError, match=what):
    list(tiny_run.rounds(
        lambda *_: query, state=state,
        oracle=lambda *_: pytest.fail('the oracle was asked')))


def test_answers_must_be_as_many_as_queries(tiny_run):
  query = views_lib.Query('image', np.arange(4, dtype=np.int32))
  with pytest.raises(ValueError, match=r'answers .* shape \(3,\)'):
    state_lib.record_answers(tiny_run.start(), query, np.arange(3))


def test_oracle():
  pairing = np.random.default_rng(0).permutation(9)
  oracle = exact.exact(pairing)
  images = np.array([4, 0, 8])
  texts = oracle('image', images)
  np.testing.assert_array_equal(texts, pairing[images])
  np.testing.assert_array_equal(oracle('text', texts), images)
