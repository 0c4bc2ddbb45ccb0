"""Streams: the same loop and strategies, and no item of another buffer."""

import numpy as np
import pytest

from mmal_jax import observe
from mmal_jax import state as state_lib
from mmal_jax.acquire import registry
from mmal_jax.data import encode
from mmal_jax.pools import stream
from tests.support import tiny


def _stream(run, buffer=10):
  return stream.of_pools(run.pools, buffer)


@pytest.mark.parametrize('strategy', ['mmal', 'random', 'coreset@both'])
def test_queries_come_from_the_present_buffer(tiny_run, strategy):
  states = list(tiny_run.rounds(strategy, source=_stream(tiny_run)))
  last = states[-1]
  truth = set(map(tuple, tiny_run.hidden.tuples.tolist()))
  assert set(map(tuple, last.aligned_rows.tolist())) <= truth
  for t in range(tiny.ROUNDS):
    assert (last.queries[t] // 10 == t).all()
  # Counterparts lie in all of them: the paper's oracle knows.
  buffers = last.aligned_rows // 10
  assert (buffers[:, 0] != buffers[:, 1]).any()
  assert all(np.isfinite(curve).all() for curve in last.scores.values())


def test_what_is_aligned_already_is_not_offered_in_its_buffer(tiny_run):
  seen = []

  def strategy(views, batch, key):
    seen.append({m: np.asarray(view.remaining) for m, view in views.items()})
    return registry.STRATEGIES['random'](views, batch, key)

  states = list(tiny_run.rounds(strategy, source=_stream(tiny_run)))
  for t, left in enumerate(seen, start=1):
    for column, modality in enumerate(('image', 'text')):
      known = states[t].aligned_rows[:, column]
      expected = ~np.isin(np.arange(10 * t, 10 * t + 10), known)
      np.testing.assert_array_equal(left[modality], expected)
  assert any(not left.all() for one in seen for left in one.values())


def test_aligned_rows_are_embedded_wherever_they_lie(tiny_run):
  states = list(tiny_run.rounds('random', source=_stream(tiny_run)))
  source = _stream(tiny_run)
  views = observe.make_views(
      states[3], tiny_run.learner, source, source.arrived(3))
  whole = observe.make_views(
      states[3], tiny_run.learner, tiny_run.pools, tiny_run.pools.arrived(3))
  for modality, view in views.items():
    mask = np.asarray(view.aligned_mask)
    assert mask.sum() == states[3].num_aligned
    np.testing.assert_allclose(
        np.asarray(view.aligned)[mask],
        np.asarray(whole[modality].aligned)[mask], atol=1e-6)
    np.testing.assert_allclose(
        view.pool, np.asarray(whole[modality].pool)[30:40], atol=1e-6)


def test_training_sees_the_same_pairs_as_in_a_pool(tiny_run):
  source = _stream(tiny_run)
  tuples = np.array([[3, 39], [21, 0], [7, -1]], np.int32)
  at_hand = source.arrived(0).numbers
  items, rows = source.training_items(tuples, at_hand)
  whole, same = tiny_run.pools.training_items(tuples, at_hand)
  assert same is tuples and rows.tolist() == [[0, 0], [1, 1], [2, -1]]
  for column, modality in enumerate(items):
    assert len(items[modality]) == 3
    for row, number in zip(rows[:, column], tuples[:, column]):
      if number >= 0:
        np.testing.assert_array_equal(
            items[modality].values[row], whole[modality].values[number])
        assert items[modality].ids[row] == whole[modality].ids[number]


def test_where_nothing_is_named_an_item_of_the_buffer_stands(tiny_run):
  # Of three modalities one may be in no answer at all.
  fetched = {}

  def fetch(modality, numbers):
    fetched[modality] = numbers.tolist()
    return tiny_run.pools.fetch(modality, numbers)

  source = stream.Stream(tiny_run.pools.sizes, 10, fetch)
  at_hand = source.arrived(2).numbers
  _, rows = source.training_items(
      np.array([[3, -1], [21, -1]], np.int32), at_hand)
  assert fetched == {'image': [3, 21], 'text': [20, 20]}
  assert rows.tolist() == [[0, -1], [1, -1]]


def test_a_state_of_a_stream_goes_on_as_if_nothing_happened(tiny_run):
  source = _stream(tiny_run)
  states = list(tiny_run.rounds('mmal', source=source))
  *_, again = tiny_run.rounds('mmal', source=source, state=states[2])
  np.testing.assert_array_equal(again.queries, states[-1].queries)
  for name, curve in again.scores.items():
    np.testing.assert_array_equal(curve, states[-1].scores[name])


def test_a_buffer_smaller_than_the_batch_is_asked_about_whole(tiny_run):
  *_, last = tiny_run.rounds('mmal', source=_stream(tiny_run, 3))
  asked = np.count_nonzero(last.queries >= 0, axis=1)
  assert (asked <= 3).all() and asked[0] == 3


def test_the_end_of_a_stream():
  source = stream.Stream({'image': 9, 'text': 12}, 5, lambda m, n: None)
  source.arrived(0)
  with pytest.raises(ValueError, match='round 1 needs 10 items of image'):
    source.arrived(1)
  with pytest.raises(ValueError, match='buffer=0 must be at least 1'):
    stream.of_pools(None, 0)


def test_nothing_but_the_buffer_and_the_aligned_is_fetched(tiny_run):
  fetched = []
  pools = tiny_run.pools

  def fetch(modality, numbers):
    fetched.append((modality, np.asarray(numbers).tolist()))
    return encode.Items(pools.items[modality].values[numbers],
                        pools.items[modality].ids[numbers])

  source = stream.Stream(pools.sizes, 10, fetch)
  for state in tiny_run.rounds('mmal', source=source, pseudo_pairs=1.0):
    t = int(state.round)
    present = set(range(10 * t - 10, 10 * t))
    for modality, numbers in fetched:
      column = state.modalities.index(modality)
      assert set(numbers) <= present | set(
          state.aligned_rows[:, column].tolist())
    fetched.clear()
  assert state_lib.open_queries(state)[0].size == 0
