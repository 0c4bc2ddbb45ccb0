"""Texts of the same words in another order: finding them, and their loss."""

import functools

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.data import encode
from mmal_jax.learn import learner as learner_lib
from mmal_jax.learn.gradient import gradient
from mmal_jax.learn.gradient import loss as loss_lib
from mmal_jax.learn.gradient import minibatches
from mmal_jax.learn.gradient import step
from mmal_jax.learn.gradient import twins
from mmal_jax.models import partition
from mmal_jax.parallel import sharding
from mmal_jax.pools import stream
from tests.support import tiny
from tests.support import tiny_words

pytestmark = pytest.mark.usefixtures('quick_compilation')


def _twins_of(values, ids):
  """By definition: for each row, all rows of the same words and another id."""
  return [
      {j for j in range(len(ids)) if ids[i] != ids[j]
       and sorted(values[i].tolist()) == sorted(values[j].tolist())}
      for i in range(len(ids))]


def _texts(rng, n, length, words):
  values = rng.integers(words, size=(n, length)).astype(np.int32)
  # Numbers in an order of their own.
  return encode.Items(values, rng.permutation(1000).astype(np.int32)[
      tiny_words.ids_of(values)])


@pytest.mark.parametrize('n,length,words', [
    (1, 3, 2), (2, 2, 2), (30, 3, 2), (40, 4, 3), (25, 6, 9), (12, 1, 3)])
def test_every_twin_is_drawn_and_nothing_else(n, length, words):
  for seed in range(3):
    rng = np.random.default_rng(seed)
    items = _texts(rng, n, length, words)
    expected = _twins_of(items.values, items.ids)
    index, drawn = twins.Index(items), [set() for _ in range(n)]
    rows = np.broadcast_to(np.arange(n), (400, n))
    found, is_twin = index.draw(rng, rows)
    assert found.shape == is_twin.shape == rows.shape
    assert is_twin.dtype == bool
    for i in range(n):
      assert (is_twin[:, i] == bool(expected[i])).all()
      drawn[i] = set(found[:, i].tolist())
      assert drawn[i] == (expected[i] or {i})


def test_twins_are_drawn_alike():
  values = np.array([[1, 2, 3], [2, 1, 3], [3, 2, 1], [3, 2, 1], [1, 2, 2]])
  index = twins.Index(encode.Items(values, np.array([5, 3, 9, 9, 7])))
  found, _ = index.draw(np.random.default_rng(0), np.zeros(3000, int))
  counts = np.bincount(found, minlength=5)
  assert counts[[0, 4]].tolist() == [0, 0]
  np.testing.assert_allclose(counts[1:4] / 3000, 1 / 3, atol=0.04)


def test_padding_counts_as_a_word():
  values = np.array([[1, 2, 0], [2, 1, 0], [2, 1, 1], [1, 2, 2], [0, 1, 2]])
  index = twins.Index(encode.Items(values, np.arange(5)))
  found, is_twin = index.draw(
      np.random.default_rng(0), np.tile(np.arange(5), (100, 1)))
  assert is_twin[0].tolist() == [True, True, False, False, True]
  assert [set(column.tolist()) for column in found.T] == [
      {1, 4}, {0, 4}, {2}, {3}, {0, 1}]


@pytest.mark.parametrize('shape', [(), (0,), (7,), (3, 4), (2, 0, 3)])
def test_rows_of_any_shape(shape):
  rng = np.random.default_rng(1)
  items = _texts(rng, 30, 3, 2)
  expected = _twins_of(items.values, items.ids)
  rows = rng.integers(30, size=shape)
  found, is_twin = twins.Index(items).draw(rng, rows)
  assert np.shape(found) == np.shape(is_twin) == shape
  for row, other, yes in zip(
      np.ravel(rows), np.ravel(found), np.ravel(is_twin), strict=True):
    assert yes == bool(expected[row])
    assert other in (expected[row] or {row})


@pytest.mark.parametrize('kept', [30, 8, 0])
def test_twins_among_all_that_is_at_hand(kept, monkeypatch):
  """Items that are aligned may be of the pool, or have come before."""
  monkeypatch.setattr(twins, '_CHUNK', 7)
  for seed in range(5):
    rng = np.random.default_rng(seed)
    items = _texts(rng, 30, 4, 3)
    pool = items.take(rng.permutation(30)[:kept])
    wanted = np.where(rng.random((60, 6)) < 0.2, -1, rng.integers(12, size=6))
    values, ids, found = twins.draw(rng, wanted, items, pool)
    assert values.shape == (60, 6, 4) and values.dtype == items.values.dtype
    assert ids.shape == found.shape == (60, 6) and found.dtype == bool
    assert not found[wanted < 0].any()
    used = np.unique(wanted[wanted >= 0])
    at_hand = set(pool.ids.tolist()) | set(items.ids[used].tolist())
    expected = _twins_of(items.values, items.ids)
    for row in used:
      seen = set(ids[found & (wanted == row)].tolist())
      assert seen == {items.ids[j] for j in expected[row]} & at_hand
      assert (found[wanted == row] == bool(seen)).all()
    for value, number in zip(values.reshape(-1, 4), ids.ravel(), strict=True):
      np.testing.assert_array_equal(
          value, items.values[items.ids == number][0])


def test_where_no_text_is_wanted_there_is_no_twin():
  items = _texts(np.random.default_rng(0), 9, 3, 2)
  values, _, found = twins.draw(
      np.random.default_rng(0), np.full((5, 4), -1), items, items)
  assert values.shape == (5, 4, 3) and not found.any()


def test_only_tokens_have_words():
  for values, expected in (
      (np.zeros((2, 3), np.int32), True),
      (np.zeros((2, 3), np.float32), False),
      (np.zeros((2, 4, 4, 3), np.uint8), False)):
    assert twins.has_words(encode.Items(values, np.arange(2))) == expected


def _unit(rng, n, d=5):
  x = rng.normal(size=(n, d))
  return x / np.linalg.norm(x, axis=1, keepdims=True)


def _reference_loss(embeddings, aligned, is_twin, valid, scale, weight):
  """In float64, pair by pair."""
  losses = []
  for m, twin in embeddings.items():
    for other in aligned:
      if other != m:
        terms = [
            np.log1p(np.exp(
                scale * aligned[other][i] @ (twin[i] - aligned[m][i])))
            for i in range(len(twin))
            if is_twin[m][i] and valid[m][i] and valid[other][i]]
        losses.append(np.mean(terms) if terms else 0.0)
  return weight * np.mean(losses)


def _case(seed, names, words, t=6, b=9):
  rng = np.random.default_rng(seed)
  return ({m: _unit(rng, t) for m in words}, {m: _unit(rng, b) for m in names},
          {m: rng.random(t) < 0.7 for m in words},
          {m: rng.random(b) < 0.7 for m in names})


def _loss(embeddings, aligned, is_twin, valid, weight=0.3):
  return twins.loss(
      twins.Items({}, is_twin), twins.Twins(weight), embeddings, aligned,
      jnp.float32(1.7), valid)


@pytest.mark.parametrize('names,words', [
    (('image', 'text'), ('text',)), (('text', 'image'), ('text',)),
    (('image', 'text', 'title'), ('text', 'title'))])
def test_loss_against_float64(names, words):
  for seed in range(4):
    case = _case(seed, names, words)
    got = _loss(*jax.tree.map(
        lambda x: jnp.asarray(x, x.dtype if x.dtype == bool else jnp.float32),
        case))
    expected = _reference_loss(*case, np.exp(1.7), 0.3)
    assert expected > 0.01
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_no_twin_at_all_is_no_loss():
  for none in (2, 3):  # Nothing is a twin; no pair is there.
    case = list(_case(0, ('image', 'text'), ('text',)))
    case[none] = jax.tree.map(np.zeros_like, case[none])
    assert _loss(*case) == 0.0


def test_rows_that_do_not_count_may_be_anything():
  embeddings, aligned, is_twin, valid = jax.tree.map(
      lambda x: np.asarray(x, x.dtype if x.dtype == bool else np.float32),
      _case(3, ('image', 'text'), ('text',)))
  counts = is_twin['text'] & valid['text'][:6] & valid['image'][:6]
  assert 0 < counts.sum() < 6
  compute = jax.value_and_grad(
      lambda x, y: _loss(x, y, is_twin, valid), argnums=(0, 1))
  expected = compute(embeddings, aligned)
  for bad in (np.nan, np.inf, 1e30):
    rows = np.flatnonzero(~counts)
    spoilt = jax.tree.map(np.copy, (embeddings, aligned))
    for tree in spoilt:
      for x in tree.values():
        x[rows] = bad
    got = compute(*spoilt)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected)):
      # Of rows that do not count, the gradient is 0.
      np.testing.assert_array_equal(a, b)


@pytest.fixture(scope='module', name='run')
def _run():
  return tiny_words.make_run()


def _batch(run, b=16, t=8):
  rng = np.random.default_rng(0)
  items = run.pools.items
  rows = {m: rng.permutation(40)[:b] for m in items}
  found, is_twin = twins.Index(items['text']).draw(rng, rows['text'][:t])
  assert 0 < is_twin.sum() < t
  return gradient.Batch(
      {m: x.values[rows[m]] for m, x in items.items()},
      {m: x.ids[rows[m]] for m, x in items.items()},
      {m: np.arange(b) != 1 for m in items},
      twins=twins.Items({'text': items['text'].values[found]},
                        {'text': is_twin}))


_compute = functools.partial(
    gradient.loss_and_gradient, loss=loss_lib.sigmoid_loss,
    twins=twins.Twins(0.5, 8))


@pytest.mark.long
def test_twins_are_of_the_first_rows(run):
  batch, model = _batch(run), run.learner.graphdef
  whole, alone = (
      jax.jit(functools.partial(_compute, model))(params=run.params, batch=x)
      for x in (batch, batch._replace(twins=None)))
  encoder = nnx.merge(model, run.params)
  aligned = {m: np.asarray(encoder.encode(m, x), float)
             for m, x in batch.items.items()}
  twin = np.asarray(encoder.encode('text', batch.twins.values['text']), float)
  expected = _reference_loss(
      {'text': twin}, aligned, batch.twins.valid, batch.valid,
      np.exp(float(encoder.logit_scale[...])), 0.5)
  assert expected > 0.1
  np.testing.assert_allclose(whole[0] - alone[0], expected, rtol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize('parts,on_mesh', [(2, False), (1, True)])
def test_in_parts_or_on_a_mesh_the_gradient_is_the_same(run, parts, on_mesh):
  batch, params, mesh = _batch(run), run.params, None
  compute = functools.partial(_compute, run.learner.graphdef)
  whole = jax.jit(compute)(params=params, batch=batch)
  if on_mesh:
    mesh = sharding.make_mesh(4, 2)
    rows = partition.batch_rows(mesh)
    params = partition.place(params, mesh)
    batch = jax.tree.map(lambda x: sharding.shard_rows(x, rows), batch)
  other = jax.jit(functools.partial(compute, parts=parts, mesh=mesh))(
      params=params, batch=batch)
  for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(other), strict=True):
    np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize('buffer', [None, 10])
def test_minibatches_hold_twins_of_their_rows(run, buffer):
  rng = np.random.default_rng(0)
  tuples = np.stack([rng.permutation(40)[:12] for _ in range(2)], 1)
  tuples[3, 1] = tuples[5, 0] = -1
  padded = np.concatenate([tuples, np.full((4, 2), -1)]).astype(np.int32)
  source = run.pools if buffer is None else stream.of_pools(run.pools, buffer)
  arrived = source.arrived(2)
  items, rows = source.training_items(padded, arrived.numbers)
  left = {m: np.arange(len(x)) for m, x in arrived.items.items()}
  source = minibatches.Source(
      items, rows, 12, learner_lib.Pool(arrived.items, left))
  recipe = step.Recipe(None, None, 14, twins=twins.Twins(0.5, 6), parts=4)
  drawn = minibatches.draw(recipe, jax.random.key(3), source, 40)
  texts = run.pools.items['text']
  # All that is at hand: what has arrived, and the aligned.
  numbers = np.concatenate(
      [arrived.numbers['text'], tuples[tuples[:, 1] >= 0, 1]])
  by_id = dict(zip(texts.ids.tolist(), map(tuple, texts.values.tolist())))
  of_number = {number: {by_id[texts.ids[n]] for n in numbers if (
      texts.ids[n] != texts.ids[number] and sorted(texts.values[n].tolist())
      == sorted(texts.values[number].tolist()))} for number in range(40)}
  seen = {}
  for _, batch in minibatches.read(recipe, source, drawn):
    assert set(batch.twins.values) == {'text'}
    values, valid = (x['text'] for x in batch.twins)
    # 6 rows, and as many more as 4 parts need.
    assert values.shape == (8, 4) and valid.shape == (8,)
    assert batch.items['text'].shape == (16, 4)
    for i in range(8):
      there = batch.valid['text'][i]
      expected = set()
      if there:
        number = next(n for n in tuples[:, 1] if n >= 0 and (
            texts.ids[n] == batch.ids['text'][i]))
        expected = of_number[number]
      assert valid[i] == bool(expected)
      if expected:
        assert tuple(values[i].tolist()) in expected
        seen.setdefault(number, set()).add(tuple(values[i].tolist()))
  # Not always the same.
  assert all(seen[number] == of_number[number] for number in seen)
  assert max(map(len, seen.values())) > 1


def test_another_known_caption_of_an_image_is_no_negative():
  texts = encode.Items(
      np.array([[1, 2, 3], [2, 1, 3], [3, 2, 1], [1, 3, 2]], np.int32),
      np.array([4, 2, 7, 5], np.int32))
  # Images 0 and 1 are the same; it has texts 0 and 1, and image 2 has text 2.
  images = encode.Items(np.zeros((3, 2, 2, 3), np.uint8),
                        np.array([6, 6, 1], np.int32))
  table = np.array([[0, 0], [1, 1], [2, 2], [-1, 3], [0, -1]], np.int32)
  pool = learner_lib.Pool({'image': images, 'text': texts}, {})
  recipe = step.Recipe(None, None, 5, twins=twins.Twins(0.5, 5))
  expected = {0: {2, 3}, 1: {2, 3}, 2: {0, 1, 3}}
  for num_aligned in 1, 5:
    source = minibatches.Source(pool.items, table, num_aligned, pool)
    drawn = minibatches.draw(recipe, jax.random.key(0), source, 200)
    values, found = drawn.twins['text']
    for row in range(3 if num_aligned == 5 else 1):
      mine = (drawn.tuples == table[row]).all(axis=-1) & found
      seen = {texts.values.tolist().index(x) for x in values[mine].tolist()}
      # Of the second caption nothing is known at first.
      assert seen == ({1, 2, 3} if num_aligned == 1 else expected[row])


def test_without_texts_or_twins_nothing_is_drawn(tiny_run, run):
  for some, settings in ((tiny_run, twins.Twins(0.5)), (run, None)):
    items = some.pools.items
    pool = learner_lib.Pool(items, {m: np.arange(40) for m in items})
    table = np.zeros((4, 2), np.int32)
    recipe = step.Recipe(None, None, 4, twins=settings)
    source = minibatches.Source(items, table, 4, pool)
    drawn = minibatches.draw(recipe, jax.random.key(0), source, 2)
    assert not drawn.twins
    for _, batch in minibatches.read(recipe, source, drawn):
      assert batch.twins is None


@pytest.mark.long
def test_a_run_learns_from_twins(run):
  with_twins = run.with_recipe(twins=twins.Twins(0.5, 4))
  plain, more, again = (
      [s for s, _ in zip(r.rounds('random'), range(2))][-1]
      for r in (run, with_twins, with_twins))
  assert np.isfinite(more.losses[0]) and more.losses[0] > plain.losses[0]
  tiny.assert_same(more, again)
