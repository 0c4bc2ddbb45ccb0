"""Known pairs that join every minibatch, alone and beside twins."""

import dataclasses

import jax
import numpy as np
from PIL import Image
import pytest

from mmal_jax import state as state_lib
from mmal_jax.checkpoint import pytrees
from mmal_jax.data import encode
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess
from mmal_jax.experiment import compilations
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.gradient import divergence
from mmal_jax.learn.gradient import fit
from mmal_jax.learn.gradient import minibatches
from mmal_jax.learn.gradient import replay
from mmal_jax.learn.gradient import step
from mmal_jax.learn.gradient import twins
from mmal_jax.learn.gradient import unaligned
from mmal_jax.pools import stream
from tests.support import tiny
from tests.support import tiny_words

pytestmark = pytest.mark.usefixtures('quick_compilation')

_UNALIGNED = unaligned.Unaligned(1.0, 8)


@pytest.mark.parametrize('worth', [0.5, 30.0, 300.0, 1e9])
def test_share_of_a_minibatch(worth):
  known = replay.Replay({}, worth)
  for batch_size in (1, 2, 7, 64):
    before = batch_size
    for num_aligned in (1, 3, 30, 300, 10_000):
      rows = known.rows(batch_size, num_aligned)
      assert isinstance(rows, int) and 0 <= rows < batch_size
      exact = batch_size * worth / (worth + num_aligned)
      assert abs(rows - min(exact, batch_size - 1)) <= 0.5
      assert rows <= before  # The more answers, the less is replayed.
      before = rows
  assert known.rows(64, 1) == {0.5: 21, 30.0: 62}.get(worth, 63)


@pytest.fixture(scope='module', name='run')
def _run():
  """Minibatches have more rows than there are ever answers."""
  return tiny_words.make_run(
      worth=6.0, batch_size=20, twins=twins.Twins(0.5, 6))


def _source(run, num_aligned, capacity=16, **fields):
  rng = np.random.default_rng(num_aligned)
  table = np.full((capacity, 2), -1, np.int32)
  table[:num_aligned] = np.stack(
      [rng.permutation(40)[:num_aligned] for _ in range(2)], 1)
  items = run.pools.items
  pool = learner_lib.Pool(items, {m: np.arange(40) for m in items})
  return minibatches.Source(
      items, table, num_aligned, pool, run.learner.replay, **fields)


def test_the_replay_comes_last_and_shapes_never_change(run):
  steps, shapes, known, shared = 30, set(), run.data.pretrain.items, 0
  recipe = step.Recipe(None, None, 19, twins=twins.Twins(0.5, 6), parts=4)
  for num_aligned in (1, 2, 5, 15, 16):
    source = _source(run, num_aligned)
    drawn = minibatches.draw(recipe, jax.random.key(1), source, steps)
    count = source.replay.rows(20, num_aligned)
    assert count == round(20 * 6 / (6 + num_aligned))
    read, aligned_read = set(), set()
    # Of the aligned items, which all are in some minibatch.
    numbers = {m: {x.values[row].tobytes(): x.ids[row]
                   for row in source.aligned[:num_aligned, i]}
               for i, (m, x) in enumerate(source.items.items())}
    for (_, batch), replayed in zip(
        minibatches.read(recipe, source, drawn), drawn.replayed, strict=True):
      read |= set(replayed.tolist())
      shapes.add(str(jax.tree.map(lambda x: (x.shape, x.dtype), batch)))
      valid = batch.valid['image']
      np.testing.assert_array_equal(valid, batch.valid['text'])
      for m, items in source.items.items():
        assert valid[-count:].all() and batch.ids[m].dtype == np.int32
        np.testing.assert_array_equal(
            batch.items[m][-count:], known[m].values[replayed])
        # Equal items have equal numbers, also of the pool and of the replay.
        for number, row in zip(batch.ids[m][-count:], replayed):
          expected = numbers[m].get(
              known[m].values[row].tobytes(), -1 - known[m].ids[row])
          assert number == expected
          shared += number >= 0
        for i in np.flatnonzero(valid[:-count]):
          np.testing.assert_array_equal(
              batch.items[m][i], items.values[items.ids == batch.ids[m][i]][0])
      # Of the aligned as many as fit, each once.
      rows = np.stack([batch.ids[m] for m in source.items], 1)
      mine = rows[:-count][valid[:-count]]
      assert len(mine) == min(num_aligned, 20 - count) and (mine >= 0).all()
      aligned_read |= set(map(tuple, mine.tolist()))
      there = valid & (np.arange(20) < 20 - count)
      assert not batch.twins.valid['text'][~there[:8]].any()
    names = tuple(source.items)
    assert aligned_read == {tuple(
        int(source.items[m].ids[row]) for m, row in zip(names, pair))
                            for pair in source.aligned[:num_aligned]}
    assert read == set(range(12))
  assert len(shapes) == 1 and shared


@pytest.mark.long
@pytest.mark.parametrize('buffer', [None, 10])
def test_rounds_do_not_recompile(run, buffer):
  source = run.pools if buffer is None else stream.of_pools(run.pools, buffer)
  jax.clear_caches()
  counter, counts = compilations.CompilationCounter(), []
  for _ in run.rounds('random', source=source):
    counts.append(counter.count)
  per_round = np.diff(counts)
  assert per_round[0] > 0
  assert per_round[2:].tolist() == [0] * (tiny.ROUNDS - 2)


def _features(run, worth=6.0, spoilt=None, **recipe):
  """Of the run on features, one with a replay of 12 pairs."""
  items = {m: encode.Items(x, np.arange(12, dtype=np.int32))
           for m, x in tiny.feature_pairs(12, 5).items.items()}
  if spoilt is not None:
    values = items['image'].values.copy()
    values[spoilt, 2] = np.nan
    items['image'] = dataclasses.replace(items['image'], values=values)
  run = run.with_recipe(**recipe)
  return run._replace(learner=run.learner._replace(
      replay=replay.Replay(items, worth)))


def test_a_replayed_item_that_is_not_finite_is_named(tiny_run):
  run = _features(tiny_run, worth=60.0, spoilt=5)
  with pytest.raises(divergence.Diverged, match=(
      'loss nan, .*; not finite by themselves: replayed image 5.$')):
    fit.fit(run.learner.recipe, run.params, None, jax.random.key(0),
            _source(run, 10), 12)


def test_a_round_learns_from_the_replay(tiny_run):
  plain = list(tiny_run.rounds('random'))
  runs = [list(_features(tiny_run, worth).rounds('random'))
          for worth in (6.0, 60.0)]
  for states in runs:
    assert np.isfinite(states[-1].losses).all()
    # What is asked and answered is the same; what is learnt is not.
    np.testing.assert_array_equal(states[-1].aligned, plain[-1].aligned)
    assert (states[-1].losses != plain[-1].losses).all()
  assert (runs[0][-1].losses != runs[1][-1].losses).all()


def _options(source, buffer, **more):
  return {'source': source if buffer is None else stream.of_pools(
      source, buffer), **more}


@pytest.mark.long
@pytest.mark.parametrize('buffer,restart', [(None, True), (10, False)])
def test_a_saved_state_goes_on_to_the_same_bits(
    run, tmp_path, buffer, restart):
  options = _options(run.pools, buffer)
  start = run.start(restart=restart)
  states = list(run.rounds('mmal', state=start, **options))
  for at in (0, 2):
    pytrees.save(tmp_path / str(at), states[at])
    loaded = pytrees.load(tmp_path / str(at), start)
    *_, last = run.rounds('mmal', state=loaded, **options)
    tiny.assert_same(last, states[-1])


def _same_but_for_what_is_hidden(run, options):
  """Two rounds are answered alike in two worlds; the third query is chosen."""
  start = [s for s, _ in zip(run.rounds('mmal', **options), range(3))]
  before, tuples = start[1], run.hidden.tuples
  hidden = np.flatnonzero(
      state_lib.remaining(start[2], 'image', tuples[:, 0]))
  other = tuples.copy()
  other[hidden, 1] = np.random.default_rng(5).permutation(other[hidden, 1])
  found = [[s for s, _ in zip(
      run.rounds('mmal', state=before, tuples=t, **options), range(2))][-1]
           for t in (tuples, other)]
  for name in ('queries', 'query_modalities'):
    np.testing.assert_array_equal(*(getattr(s, name)[:3] for s in found))
  np.testing.assert_array_equal(*(s.losses[:2] for s in found))
  assert not np.array_equal(found[0].aligned, found[1].aligned)
  assert found[0].losses[2] != found[1].losses[2]


@pytest.mark.parametrize('buffer', [None, 10])
def test_what_is_hidden_leaves_training_and_the_next_query_alone(run, buffer):
  _same_but_for_what_is_hidden(run, _options(run.pools, buffer))


@pytest.mark.parametrize('buffer', [None, 10])
def test_beside_unaligned_items(tiny_run, buffer):
  run = _features(tiny_run, unaligned=_UNALIGNED)
  options = _options(run.pools, buffer, pseudo_pairs=1.0, reference=True)
  _same_but_for_what_is_hidden(run, options)
  states = list(run.rounds('mmal_plus', **options))
  assert np.isfinite(states[-1].losses).all()
  *_, last = run.rounds('mmal_plus', state=states[2], **options)
  tiny.assert_same(last, states[-1])


def test_unaligned_items_are_compared_with_the_answers_alone(tiny_run):
  run = _features(tiny_run, unaligned=_UNALIGNED)
  like = {m: x.values / np.linalg.norm(x.values, axis=1, keepdims=True)
          for m, x in run.pools.items.items()}
  source, recipe = _source(run, 4), run.learner.recipe
  of_aligned = {
      m: like[m][column] for m, column in zip(like, source.aligned.T)}
  source = source._replace(pool=source.pool._replace(
      reference=like, aligned_reference=of_aligned))
  drawn = minibatches.draw(recipe, jax.random.key(0), source, 5)
  for i, (_, batch) in enumerate(minibatches.read(recipe, source, drawn)):
    others, count = batch.unaligned, drawn.replayed.shape[1]
    assert count == 5 and others.known.tolist() == [True] * 3 + [False] * 5
    for m, rows in others.batch_reference.items():
      np.testing.assert_array_equal(rows[:3], of_aligned[m][drawn.rows[i]])
    rng, names = np.random.default_rng(i), tuple(like)
    own, aligned = ({m: rng.normal(size=(8, 5)).astype(np.float32)
                     for m in names} for _ in range(2))

    def loss(others, aligned, valid):
      return unaligned.loss(
          others, _UNALIGNED, own, aligned, 0.3, -1.0, valid)

    # As if the batch had nothing else.
    expected = loss(
        others._replace(known=None, batch_reference={
            m: x[:3] for m, x in others.batch_reference.items()}),
        {m: x[:3] for m, x in aligned.items()},
        {m: x[:3] for m, x in batch.valid.items()})
    np.testing.assert_allclose(
        loss(others, aligned, batch.valid), expected, rtol=1e-5)


def test_numbers_of_image_files_are_by_content(tmp_path):
  for i, colour in enumerate((10, 90, 10, 200)):
    Image.new('RGB', (9, 9), (colour,) * 3).save(tmp_path / f'{i}.png')
  how = preprocess.Preprocess(size=8, edge=8)

  def items(rows):
    files = image_files.ImageFiles(
        [tmp_path / f'{i}.png' for i in rows], how)
    return encode.Items(files, image_files.item_ids(files))

  known = replay.Replay({'image': items([1, 0, 3])}, 1.0)
  pool = items([3, 2, 1])
  for others, expected in (
      ([0, 1, 2], [2, 1, 0]), ([1], [-1, 1, -3]), ([], [-1, -2, -3])):
    ids = known.ids('image', np.array([[0], [1], [2], [1]]), pool,
                    np.array(others, int))
    assert ids.tolist() == [[x] for x in (*expected, expected[1])]
