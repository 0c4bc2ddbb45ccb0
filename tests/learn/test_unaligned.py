"""Learning from unaligned items: the loss, the reference space, the step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax import loop
from mmal_jax import observe
from mmal_jax.acquire import views as views_lib
from mmal_jax.embed import reference
from mmal_jax.learn import pseudo
from mmal_jax.learn.gradient import fit
from mmal_jax.learn.gradient import gradient
from mmal_jax.learn.gradient import loss as loss_lib
from mmal_jax.learn.gradient import unaligned
from mmal_jax.models import partition
from mmal_jax.parallel import sharding
from mmal_jax.pools import stream

U, B, D, R = 6, 9, 4, 5
NAMES = ('image', 'text')


def _unit(rng, n, d=D):
  x = rng.normal(size=(n, d))
  return x / np.linalg.norm(x, axis=1, keepdims=True)


def _softmax(x):
  e = np.exp(x - x.max(axis=1, keepdims=True))
  return e / e.sum(axis=1, keepdims=True)


def _reference_loss(x, y, q, scale, bias, valid):
  total = 0.0
  for i in range(len(x)):
    for j in np.flatnonzero(valid):
      logit = scale * x[i] @ y[j] + bias
      total += q[i, j] * np.log1p(np.exp(-logit))
      total += (1 - q[i, j]) * np.log1p(np.exp(logit))
  return total / len(x)


def test_loss_against_float64():
  for seed in range(3):
    rng = np.random.default_rng(seed)
    own, aligned = ({m: _unit(rng, n) for m in NAMES} for n in (U, B))
    like, batch_like = (
        {m: _unit(rng, n, R) for m in NAMES} for n in (U, B))
    valid = {m: rng.random(B) < 0.7 for m in NAMES}
    both = valid['image'] & valid['text']
    expected = 0.0
    for m, other in (NAMES, NAMES[::-1]):
      q = np.zeros((U, B))
      q[:, both] = _softmax((like[m] @ batch_like[m].T)[:, both] / 0.1)
      np.testing.assert_allclose(unaligned.targets(
          *(jnp.asarray(x, jnp.float32) for x in (like[m], batch_like[m])),
          jnp.asarray(both), 0.1), q, atol=1e-6)
      expected += 0.5 * _reference_loss(
          own[m], aligned[other], q, np.exp(1.2), -2.0, both)
    f32 = functools.partial(
        jax.tree.map, lambda x: jnp.asarray(x, jnp.float32))
    got = unaligned.loss(
        unaligned.Items({}, f32(like), f32(batch_like)),
        unaligned.Unaligned(0.5, U, 0.1), f32(own), f32(aligned), 1.2, -2.0,
        {m: jnp.asarray(v) for m, v in valid.items()})
    np.testing.assert_allclose(got, 0.5 * expected, rtol=1e-5)


def test_nothing_valid_is_no_loss():
  x = jnp.eye(3)
  none = jnp.zeros(3, bool)
  assert unaligned.soft_sigmoid_loss(
      x, x, unaligned.targets(x, x, none, 0.1), 0.0, 0.0, none) == 0.0


def test_reference_of_features_are_the_features_centred(tiny_run):
  values = tiny_run.pools.items['image'].values
  found = reference.space(None, None, 'image', values)
  rows = values - values.mean(axis=0)
  rows /= np.linalg.norm(rows, axis=1, keepdims=True)
  np.testing.assert_allclose(found.rows, rows, atol=1e-5)
  other = reference.space(None, None, 'image', values[:3] + 1, found.mean)
  rows = values[:3] + 1 - values.mean(axis=0)
  np.testing.assert_allclose(
      other.rows, rows / np.linalg.norm(rows, axis=1, keepdims=True), atol=1e-5)


def _learner(run, **fields):
  return run.with_recipe(
      unaligned=unaligned.Unaligned(1.0, 8), **fields)


def _batch(run, seed=0):
  rng = np.random.default_rng(seed)
  items = run.pools.items
  rows = {m: rng.permutation(40)[:8] for m in items}
  others = {m: rng.permutation(40)[:8] for m in items}
  rows_of = {m: np.asarray(reference.space(None, None, m, x.values).rows)
             for m, x in items.items()}
  return gradient.Batch(
      {m: x.values[rows[m]] for m, x in items.items()},
      {m: x.ids[rows[m]] for m, x in items.items()},
      {m: np.arange(8) < 7 for m in items},
      unaligned.Items(
          {m: x.values[others[m]] for m, x in items.items()},
          {m: rows_of[m][others[m]] for m in items},
          {m: rows_of[m][rows[m]] for m in items}))


@pytest.mark.long
@pytest.mark.parametrize('case', ['parts', 'mesh'])
def test_in_parts_or_on_a_mesh_the_gradient_is_the_same(tiny_run, case):
  batch = _batch(tiny_run)
  compute = functools.partial(
      gradient.loss_and_gradient, tiny_run.learner.graphdef,
      loss_lib.sigmoid_loss, unaligned=unaligned.Unaligned(1.0, 8))
  whole = jax.jit(compute)(tiny_run.params, batch)
  if case == 'parts':
    other = jax.jit(functools.partial(compute, parts=2))(tiny_run.params, batch)
  else:
    mesh = sharding.make_mesh(2, 2)
    rows = partition.batch_rows(mesh)
    other = jax.jit(functools.partial(compute, mesh=mesh))(
        partition.place(tiny_run.params, mesh),
        jax.tree.map(lambda x: sharding.shard_rows(x, rows), batch))
  for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(other), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)
  alone = jax.jit(compute)(tiny_run.params, batch._replace(unaligned=None))
  assert abs(float(alone[0]) - float(whole[0])) > 1e-2


@pytest.mark.parametrize('buffer', [None, 10])
@pytest.mark.parametrize('pseudo_pairs', [0.0, 1.0])
def test_runs_learn_from_what_is_left(tiny_run, buffer, pseudo_pairs):
  run = _learner(tiny_run)
  source = run.pools if buffer is None else stream.of_pools(run.pools, buffer)
  seen, real = [], fit.fit

  def spy(*arguments, **named):
    seen.append(arguments)
    return real(*arguments, **named)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(fit, 'fit', spy)
    states = list(run.rounds(
        'mmal', source=source, pseudo_pairs=pseudo_pairs))
  plain = list(tiny_run.rounds('mmal', source=source))
  assert states[1].losses[0] != plain[1].losses[0]
  for t, arguments in enumerate(seen, start=1):
    items, table, count, pool, _ = arguments[4]
    state = states[t]
    for column, m in enumerate(NAMES):
      numbers = np.arange(40)
      if buffer is not None:
        numbers = np.arange(buffer * (t - 1), buffer * t)
      gone = np.concatenate([
          state.aligned_rows[:, column],
          state.queries[state.query_modalities == column]])
      np.testing.assert_array_equal(
          pool.rows[m], np.flatnonzero(~np.isin(numbers, gone)))
      # Every row's reference is that of the item that the row is.
      mean = run.pools.items[m].values[numbers].mean(axis=0)
      for row in range(count):
        if table[row, column] >= 0:
          value = items[m].values[table[row, column]] - mean
          np.testing.assert_allclose(
              pool.aligned_reference[m][row],
              value / np.linalg.norm(value), atol=1e-5)


@pytest.mark.long
def test_parts_that_do_not_divide_the_sizes(tiny_run):
  run = _learner(tiny_run, parts=3)
  states = [s for s, _ in zip(run.rounds('mmal', pseudo_pairs=1.0), range(3))]
  assert np.isfinite(states[-1].losses[:2]).all()
  plain = [s for s, _ in zip(tiny_run.rounds('mmal'), range(3))]
  assert states[-1].losses[0] != plain[-1].losses[0]


def test_views_have_the_reference_of_the_same_items(tiny_run):
  state = list(tiny_run.rounds('random'))[2]
  for source in (tiny_run.pools, stream.of_pools(tiny_run.pools, 10)):
    arrived = source.arrived(2)
    arguments = state, tiny_run.learner, source
    views = observe.make_views(*arguments, arrived)
    spaces = observe.spaces(*arguments, arrived, views)
    views = observe.with_reference(views, *arguments, arrived, spaces)
    for column, m in enumerate(NAMES):
      values = tiny_run.pools.items[m].values
      mean = values[arrived.numbers[m]].mean(axis=0)
      for found, numbers in (
          (views[m].reference, arrived.numbers[m]),
          (views[m].aligned_reference[:state.num_aligned],
           state.aligned_rows[:, column])):
        rows = values[numbers] - mean
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(found, rows, atol=1e-5)


def test_pseudo_pairs_are_the_surest_mutual_neighbours():
  rng = np.random.default_rng(0)
  hidden = _unit(rng, 30, 8)
  pools = {'image': hidden, 'text': hidden[::-1] + 0.01 * rng.normal(
      size=(30, 8)), 'sound': hidden}
  left = np.arange(30) % 5 > 0
  views = {m: views_lib.View(
      jnp.asarray(x, jnp.float32), jnp.asarray(
          left if m != 'text' else left[::-1]), jnp.zeros((2, 8)),
      jnp.zeros(2, bool)) for m, x in pools.items()}
  numbers = {m: np.arange(30) + 100 for m in pools}
  found = pseudo.pairs(views, numbers, 10)
  assert len(found) == 10 and found.dtype == np.int32
  per_couple = [(found >= 0)[:, list(c)].all(axis=1).sum()
                for c in ((0, 1), (0, 2), (1, 2))]
  assert per_couple == [4, 3, 3] and ((found >= 0).sum(axis=1) == 2).all()
  for image, text, sound in found - 100:
    rows = [r for r in (image, 29 - text if text >= 0 else text, sound)
            if r >= 0]
    assert len(set(rows)) == 1 and left[rows[0]]
  assert len(pseudo.pairs(views, numbers, 1000)) == 3 * left.sum()


def test_a_plan_says_what_the_rounds_add(tiny_run):
  assert loop.Plan().pseudo_pairs == 0.0
  plain, more = (
      list(tiny_run.rounds('mmal', pseudo_pairs=ratio)) for ratio in (0.0, 2.0))
  assert plain[1].losses[0] == more[1].losses[0]  # Nothing is learnt yet.
  assert plain[2].losses[1] != more[2].losses[1]
  np.testing.assert_array_equal(plain[2].aligned, more[2].aligned)
