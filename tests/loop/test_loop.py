"""The loop: no leak, no recompilation, the same twice, resumable by value."""

import dataclasses

import jax
import numpy as np
import pytest

from mmal_jax import state as state_lib
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.checkpoint import pytrees
from mmal_jax.data import encode
from mmal_jax.experiment import compilations
from mmal_jax.learn.gradient import fit
from mmal_jax.learn.gradient import minibatches
from mmal_jax.learn.gradient import unaligned
from mmal_jax.oracles import exact
from mmal_jax.pools import pools as pools_lib
from mmal_jax.pools import stream
from tests.support import tiny


def _last(states):
  *_, last = states
  return last


@pytest.mark.long
@pytest.mark.parametrize('strategy', ['mmal', 'random', 'coreset', 'margin'])
def test_a_run_keeps_the_books(tiny_run, strategy):
  states = list(tiny_run.rounds(strategy))
  assert len(states) == tiny.ROUNDS + 1
  for t, state in enumerate(states):
    assert state.round == t and state.num_aligned == t * tiny.BATCH
    aligned = state.aligned[:state.num_aligned]
    assert (state.aligned[state.num_aligned:] == -1).all()
    # Every pair is a true one, and has left both pools.
    assert set(map(tuple, aligned.tolist())) <= set(
        map(tuple, tiny_run.hidden.tuples.tolist()))
    for column, modality in enumerate(('image', 'text')):
      gone = np.flatnonzero(
          ~state_lib.remaining(state, modality, np.arange(40)))
      np.testing.assert_array_equal(np.sort(aligned[:, column]), gone)
    for curve in state.scores.values():
      assert np.isfinite(curve[:t + 1]).all() and np.isnan(curve[t + 1:]).all()
    assert np.isfinite(state.losses[:t]).all()
    assert state.annotations == state.spent == t * tiny.BATCH
    for i in range(t):
      side = state.query_modalities[i, 0]
      assert (state.query_modalities[i] == side).all()
      batch = aligned[i * tiny.BATCH:(i + 1) * tiny.BATCH]
      np.testing.assert_array_equal(batch[:, side], state.queries[i])
      np.testing.assert_array_equal(batch, state.answers[i])


def _permuted(tuples, rows):
  """Other texts for the images of these rows."""
  other = tuples.copy()
  other[rows, 1] = np.random.default_rng(5).permutation(other[rows, 1])
  assert not np.array_equal(other, tuples)
  return other


def test_permuting_the_hidden_pairing_leaves_the_first_query(tiny_run):
  tuples = tiny_run.hidden.tuples
  for strategy in registry.STRATEGIES:
    runs = [tiny_run.rounds(strategy, tuples=t)
            for t in (tuples, _permuted(tuples, np.arange(40)))]
    first, second = (next(r) and next(r) for r in runs)
    np.testing.assert_array_equal(
        first.query_modalities[0], second.query_modalities[0])
    np.testing.assert_array_equal(first.queries[0], second.queries[0])
    assert not np.array_equal(first.aligned, second.aligned)


@pytest.mark.parametrize('buffer', [None, 10])
def test_permuting_what_is_hidden_leaves_the_first_chosen_query(
    tiny_run, buffer):
  # The loop's first batch is random. Here it has been answered the same way
  # in both worlds, which differ in all that is still hidden.
  source = tiny_run.pools
  if buffer is not None:
    source = stream.of_pools(source, buffer)
  state = _nth(tiny_run.rounds(source=source), 1)
  tuples = tiny_run.hidden.tuples
  hidden = np.flatnonzero(
      state_lib.remaining(state, 'image', tuples[:, 0]))
  for strategy in registry.STRATEGIES:
    chosen = [next(tiny_run.rounds(
        strategy, state, t, source=source, pseudo_pairs=1.0, reference=True))
              for t in (tuples, _permuted(tuples, hidden))]
    np.testing.assert_array_equal(
        chosen[0].query_modalities[1], chosen[1].query_modalities[1])
    np.testing.assert_array_equal(chosen[0].queries[1], chosen[1].queries[1])
    assert not np.array_equal(chosen[0].aligned, chosen[1].aligned)


def _nth(states, n):
  for _ in range(n):
    next(states)
  return next(states)


def test_pools_do_not_betray_the_pairing():
  data = encode.encode(tiny.schema.Dataset(
      'x', tiny.feature_pairs(50, 1), tiny.feature_pairs(10, 2)))
  pools, hidden = pools_lib.hide_pairing(data.pool, 3)
  images, texts = pools.items['image'], pools.items['text']
  tuples = hidden.tuples
  for column in (0, 1):
    assert sorted(tuples[:, column]) == list(range(50))
  # Neither order nor numbering says what belongs together.
  assert np.mean(tuples[:, 0] == tuples[:, 1]) < 0.2
  assert np.mean(images.ids[tuples[:, 0]] == texts.ids[tuples[:, 1]]) < 0.2
  # The image pool is the same whatever the texts are, and the reverse.
  rows = np.random.default_rng(0).permutation(50)
  moved = encode.EncodedPairs(
      {'image': data.pool.items['image'],
       'text': data.pool.items['text'].take(rows)}, data.pool.groups)
  other, _ = pools_lib.hide_pairing(moved, 3)
  np.testing.assert_array_equal(other.items['image'].values, images.values)
  np.testing.assert_array_equal(other.items['image'].ids, images.ids)


def test_pools_keep_pairs_and_equal_items_together():
  pairs = tiny.feature_pairs(6, 0)
  texts = pairs.items['text'][[0, 1, 0, 3, 0, 5]]
  data = encode.EncodedPairs(
      {'image': encode.Items(pairs.items['image'], np.arange(6)),
       'text': encode.Items(texts, np.array([0, 1, 0, 3, 0, 5]))}, pairs.groups)
  pools, (tuples, rows) = pools_lib.hide_pairing(data, 1)
  for column, (modality, values) in enumerate(
      (('image', pairs.items['image']), ('text', texts))):
    shuffled = pools.items[modality].values
    np.testing.assert_array_equal(shuffled[tuples[:, column]], values)
    np.testing.assert_array_equal(shuffled, values[rows[modality]])
  texts = pools.items['text']
  equal = (texts.values[:, None] == texts.values[None]).all(-1)
  np.testing.assert_array_equal(
      texts.ids[:, None] == texts.ids[None], equal)


def test_same_seed_same_run_and_other_seed_other_run(tiny_run):
  first, again = (_last(tiny_run.rounds()) for _ in range(2))
  tiny.assert_same(first, again)
  other = _last(tiny_run.rounds(seed=1))
  assert not np.array_equal(first.queries, other.queries)
  assert any(not np.array_equal(first.scores[m], other.scores[m])
             for m in first.scores)


def test_first_round_is_the_same_for_all_strategies(tiny_run):
  first = [_nth(tiny_run.rounds(name), 1) for name in registry.STRATEGIES]
  for state in first[1:]:
    tiny.assert_same(state, first[0])


@pytest.mark.long
@pytest.mark.parametrize('restart', [False, True])
def test_a_saved_state_goes_on_as_if_nothing_happened(
    tiny_run, tmp_path, restart):
  start = tiny_run.start(restart=restart)
  whole = _last(tiny_run.rounds(state=start))
  half = _nth(tiny_run.rounds(state=start), 2)
  pytrees.save(tmp_path / 'state', half)
  loaded = pytrees.load(
      tmp_path / 'state', tiny_run.start(seed=9, restart=restart))
  tiny.assert_same(loaded, half)
  tiny.assert_same(_last(tiny_run.rounds(state=loaded)), whole)


def test_restarting_trains_the_start_anew_on_all_pairs(tiny_run):
  states = list(tiny_run.rounds(state=tiny_run.start(restart=True)))
  learner, pool = tiny_run.learner, tiny_run.pools
  for t, state in enumerate(states[1:]):
    # What the loop does, by its parts.
    _, key = jax.random.split(jax.random.fold_in(state.key, t))
    params, _, loss = fit.fit(
        learner.recipe, tiny_run.params, learner.init(tiny_run.params), key,
        minibatches.Source(pool.items, state.aligned, state.num_aligned),
        tiny.STEPS)
    _assert_close(state.params, params)
    np.testing.assert_allclose(state.losses[t], loss, rtol=1e-5)
    tiny.assert_same(state.start_params, tiny_run.params)
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
    pytrees.load(tmp_path / 'none', {'a': np.zeros(2)})
  pytrees.save(tmp_path / 'a', {'a': np.zeros(2)})
  with pytest.raises(ValueError):
    pytrees.load(tmp_path / 'a', {'b': np.zeros(2)})
  with pytest.raises(ValueError, match='there is a checkpoint'):
    pytrees.save(tmp_path / 'a', {'a': np.ones(2)})
  np.testing.assert_array_equal(
      pytrees.load(tmp_path / 'a', {'a': np.ones(2)})['a'], [0, 0])


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.parametrize('buffer', [None, 10])
def test_rounds_that_learn_from_the_unaligned_do_not_recompile(
    tiny_run, buffer):
  run = tiny_run.with_recipe(unaligned=unaligned.Unaligned(1.0, 8))
  source = run.pools if buffer is None else stream.of_pools(run.pools, buffer)
  state = state_lib.initial_state(
      run.params, run.learner.init(run.params), run.pools.sizes,
      tiny.evaluate.metric_names(run.data.test), 4, 3, 0)
  jax.clear_caches()
  counter, counts = compilations.CompilationCounter(), []
  for _ in run.rounds('mmal_plus', state=state, source=source,
                      pseudo_pairs=1.0, reference=True):
    counts.append(counter.count)
  # Pseudo-pairs, the last thing to be compiled, come in with round 2.
  assert np.diff(counts)[2:].tolist() == [0, 0]


@pytest.mark.parametrize('buffer', [None, 10])
def test_a_state_with_all_that_training_may_add_goes_on_the_same(
    tiny_run, buffer):
  run = tiny_run.with_recipe(unaligned=unaligned.Unaligned(1.0, 8))
  source = run.pools if buffer is None else stream.of_pools(run.pools, buffer)
  options = dict(source=source, pseudo_pairs=1.0, reference=True)
  states = list(run.rounds('mmal_plus', **options))
  tiny.assert_same(
      _last(run.rounds('mmal_plus', state=states[2], **options)), states[-1])


def test_what_is_hidden_leaves_training_and_the_next_query_alone(tiny_run):
  # Two rounds are answered alike in both worlds: the third query comes from a
  # model that has learnt from unaligned items, too.
  run = tiny_run.with_recipe(unaligned=unaligned.Unaligned(1.0, 8))
  tuples = run.hidden.tuples
  options = dict(pseudo_pairs=1.0, reference=True)
  state = _nth(run.rounds('mmal_plus', **options), 2)
  hidden = np.flatnonzero(
      state_lib.remaining(state, 'image', tuples[:, 0]))
  start = _nth(run.rounds('mmal_plus', **options), 1)
  found = [_nth(run.rounds('mmal_plus', state=start, tuples=t, **options), 1)
           for t in (tuples, _permuted(tuples, hidden))]
  # All but the last answers, and with them what the last round has taught.
  np.testing.assert_array_equal(found[0].queries[:3], found[1].queries[:3])
  np.testing.assert_array_equal(found[0].losses[1], found[1].losses[1])
  assert not np.array_equal(found[0].aligned, found[1].aligned)


def test_a_source_of_other_modalities_is_refused(tiny_run):
  other = pools_lib.Pools(dict(reversed(tiny_run.pools.items.items())))
  with pytest.raises(ValueError, match="source has the modalities .'text', "):
    next(tiny_run.rounds(source=other))


def test_a_budget_beyond_the_pool_is_refused(tiny_run):
  def start(rounds, batch, seed=0):
    return state_lib.initial_state(
        tiny_run.params, (), tiny_run.pools.sizes, ('x',), rounds, batch, seed)

  start(10, 4)
  with pytest.raises(ValueError, match=r'11 \* 4 = 44 .* image has 40'):
    start(11, 4)
  with pytest.raises(ValueError, match='batch=0 must be at least 1'):
    start(1, 0)
  with pytest.raises(ValueError, match='rounds=-1 must be at least 1'):
    start(-1, 4)
  with pytest.raises(ValueError, match='seed=4294967296 must lie within'):
    start(1, 4, seed=2**32)


@pytest.mark.long
def test_the_last_item_of_the_pool_can_be_asked_for(tiny_run):
  state = state_lib.initial_state(
      tiny_run.params, tiny_run.learner.init(tiny_run.params),
      tiny_run.pools.sizes, tiny.evaluate.metric_names(tiny_run.data.test), 4,
      10, 0)
  last = _last(tiny_run.rounds(state=state))
  assert last.num_aligned == 40 and not state_lib.remaining(
      last, 'text', np.arange(40)).any()


@pytest.mark.parametrize('modality,indices,what', [
    ('image', [1], r'shape \(1,\)'),
    ('image', [1, 2], r'shape \(2,\)'),
    ('image', [[1, 2, 3, 4]], r'shape \(1, 4\)'),
    ('image', [1., 2., 3., 4.], 'type float64'),
    ('image', [1, 2, 3, -1], 'names 3 items; 4 are needed'),
    ('image', [100, 2, 3, 4], 'image 100 cannot be asked about'),
    ('image', [1, 1, 3, 4], 'image .* may be asked about twice'),
    ('image', [-7, 2, 3, 4], 'image -7 cannot be asked about'),
    (('image', 'text'), [1, 2, 3, 4], 'names 2 modalities for 4 items'),
    ('sound', [1, 2, 3, 4], "modality='sound'"),
])
def test_a_strategy_that_answers_nonsense_is_stopped_before_the_oracle(
    tiny_run, modality, indices, what):
  state = _nth(tiny_run.rounds(), 1)
  query = views_lib.Query(modality, np.array(indices))
  if not what.startswith('image'):
    left = np.flatnonzero(
        state_lib.remaining(state, 'image', np.arange(40)))
    query = query._replace(indices=np.where(
        query.indices > 0, left[query.indices.astype(int)], query.indices
    ).astype(query.indices.dtype))
  with pytest.raises(ValueError, match=what):
    list(tiny_run.rounds(
        lambda *_: query, state=state,
        oracle=lambda *_: pytest.fail('the oracle was asked')))


def _one_query(run, modality='image', numbers=(0, 1, 2, 3)):
  state = run.start()
  columns = np.full(4, state.modalities.index(modality))
  state = state_lib.record_query(
      state, columns, np.array(numbers), np.ones(4, np.float32))
  return state, state_lib.open_queries(state)


@pytest.mark.parametrize('answers,what', [
    (np.zeros((3, 2), int), r'shape \(3, 2\)'),
    (np.zeros((4, 2)), 'type float64'),
    ([[0, 5], [1, 6], [2, 7], [3, 40]], 'name text 40; there are 40'),
    ([[0, 5], [1, 6], [2, 7], [3, -2]], 'name text -2; there are 40'),
    ([[0, 5], [1, 6], [2, 7], [4, 8]], 'about item 4 where 3 was asked about'),
])
def test_answers_that_make_no_sense_are_refused(tiny_run, answers, what):
  state, where = _one_query(tiny_run)
  with pytest.raises(ValueError, match=what):
    state_lib.record_answers(
        state, where, np.array(answers), tiny_run.pools.sizes)


def test_refusals_errors_and_open_queries(tiny_run):
  state, where = _one_query(tiny_run)
  sizes = tiny_run.pools.sizes
  # Right or wrong; refused; open; naming a text that was named before.
  state = state_lib.record_answers(
      state, where, np.array([[0, 5], [1, -1], [-1, -1], [3, 5]]), sizes)
  assert state.aligned_rows.tolist() == [[0, 5], [3, 5]]
  assert state.annotations == 3 and state.spent == 3.0
  left = state_lib.remaining(state, 'image', np.arange(6))
  assert left.tolist() == [False] * 4 + [True] * 2
  assert not state_lib.remaining(state, 'text', np.array([5]))[0]
  (t,), (place,) = where = state_lib.open_queries(state)
  assert (t, place) == (0, 2)
  # Later; the same once more adds nothing.
  state = state_lib.record_answers(state, where, np.array([[2, 9]]), sizes)
  assert state.aligned_rows.tolist() == [[0, 5], [3, 5], [2, 9]]
  assert not len(state_lib.open_queries(state)[0])
  again, where = _one_query(tiny_run, 'text', (5, 6, 7, 8))
  again = dataclasses.replace(
      again, aligned=state.aligned, num_aligned=state.num_aligned)
  again = state_lib.record_answers(
      again, where, np.array([[0, 5], [10, 6], [11, 7], [12, 8]]), sizes)
  assert again.aligned_rows[3:].tolist() == [[10, 6], [11, 7], [12, 8]]


def test_oracle():
  tuples = np.stack([np.random.default_rng(i).permutation(9)
                     for i in range(3)], 1)
  oracle = exact.exact(tuples, ('image', 'text', 'sound'))
  for column, modality in enumerate(('image', 'text', 'sound')):
    asked = np.array([4, 0, 8])
    answers = oracle(modality, asked)
    np.testing.assert_array_equal(answers[:, column], asked)
    assert all(row in tuples.tolist() for row in answers.tolist())
