"""Minibatches, augmentation, schedule, fitting, the warm start's cache."""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.data import encode
from mmal_jax.evaluate import evaluate
from mmal_jax.learn.gradient import augment
from mmal_jax.learn.gradient import divergence
from mmal_jax.learn.gradient import fit
from mmal_jax.learn.gradient import minibatches
from mmal_jax.learn.gradient import optimizer
from mmal_jax.learn.gradient import step
from mmal_jax.learn.gradient import warm_start
from mmal_jax.models import registry
from tests.support import tiny

_ITEMS = {'image': jax.ShapeDtypeStruct((8, 8, 3), np.uint8),
          'text': jax.ShapeDtypeStruct((3,), np.int32)}


@pytest.mark.parametrize('filled', [0, 3, 8, 20])
def test_minibatch_draws_filled_rows_once(filled):
  draws = []
  for i in range(50):
    rows, valid = step.minibatch(
        jax.random.key(i), jnp.int32(filled), 20, 8)
    rows = np.asarray(rows)[np.asarray(valid)]
    assert len(rows) == min(filled, 8) == len(set(rows.tolist()))
    assert (rows < filled).all()
    draws.append(rows)
  assert set(np.concatenate(draws).tolist()) == set(range(filled))


def test_random_shift_moves_every_image_by_itself():
  images = jnp.arange(64 * 6 * 6, dtype=jnp.float32).reshape(64, 6, 6, 1)
  shifted = np.asarray(augment.random_shift(jax.random.key(0), images, 1))
  seen = set()
  for before, after in zip(np.asarray(images), shifted):
    padded = np.pad(before, ((1, 1), (1, 1), (0, 0)), 'edge')
    found = [(y, x) for y in range(3) for x in range(3)
             if np.array_equal(padded[y:y + 6, x:x + 6], after)]
    assert len(found) == 1
    seen.update(found)
  assert len(seen) == 9


def _step_sizes(steps, taken):
  opt = optimizer.make_optimizer(1.0, steps, weight_decay=0.0)
  params = {'w': jnp.ones((1, 1))}
  state, sizes = opt.init(params), []
  for _ in range(taken):
    updates, state = opt.update({'w': jnp.full((1, 1), 0.5)}, state, params)
    sizes.append(-float(updates['w'][0, 0]))
  # Adam's step of a constant gradient is the learning rate itself.
  return np.array(sizes)


def test_schedule_warms_up_decays_and_starts_anew_every_round():
  sizes = _step_sizes(20, 40)
  np.testing.assert_allclose(sizes[:20], sizes[20:], rtol=1e-3)
  assert np.argmax(sizes[:20]) == 1 and sizes[1] == pytest.approx(1, rel=1e-3)
  assert sizes[0] == pytest.approx(0.5, rel=1e-3)
  assert 0 < sizes[19] < 0.02


def test_the_rate_falls_to_a_share_of_its_peak():
  opt = optimizer.make_optimizer(
      1.0, 50, weight_decay=0.0, warmup_fraction=0.0, final_lr_fraction=0.1)
  params, grads = {'w': jnp.zeros(1)}, {'w': jnp.ones(1)}
  state, sizes = opt.init(params), []
  for _ in range(50):
    updates, state = opt.update(grads, state, params)
    sizes.append(-float(updates['w'][0]))
  expected = [0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * t / 51))
              for t in range(1, 51)]
  np.testing.assert_allclose(sizes, expected, rtol=1e-3)
  with pytest.raises(ValueError, match='final_lr_fraction=1.5 must lie within'):
    optimizer.make_optimizer(1.0, 5, final_lr_fraction=1.5)


def test_few_answers_do_not_lead_far_from_the_start(tiny_run):
  whole = list(tiny_run.rounds(state=tiny_run.start(restart=True)))
  run = tiny_run._replace(learner=tiny_run.learner._replace(halfway=8.0))
  part = list(run.rounds(state=run.start(restart=True)))
  # The first round asks the same.
  n = part[1].num_aligned
  for a, b, c in zip(*map(jax.tree.leaves, (
      run.params, whole[1].params, part[1].params)), strict=True):
    np.testing.assert_allclose(
        c, np.asarray(a) + n / (n + 8) * (np.asarray(b) - a), rtol=1e-5,
        atol=1e-6)
  going_on = list(run.rounds())
  tiny.assert_same(going_on[1].params, list(tiny_run.rounds())[1].params)


@pytest.mark.parametrize('steps', [1, 2, 3])
def test_every_step_of_a_short_schedule_counts(steps):
  assert (_step_sizes(steps, steps) > 0.1).all()


@pytest.mark.long
def test_only_kernels_decay():
  opt = optimizer.make_optimizer(1e-2, 5, weight_decay=0.5)
  model = registry.MODELS['transformers'](
      _ITEMS, 9, rngs=nnx.Rngs(0), width=8, depth=1, heads=2, embed_dim=4)
  params = jax.tree.map(
      lambda p: p * 0 + 1, nnx.split(model, nnx.Param)[1])
  updates, _ = opt.update(
      jax.tree.map(jnp.zeros_like, params), opt.init(params), params)
  moved = {jax.tree_util.keystr(path): bool((update != 0).all())
           for path, update in jax.tree_util.tree_leaves_with_path(updates)}
  # Biases of attention heads, embeddings: matrices by their shape alone.
  assert any(x.ndim > 1 and 'kernel' not in jax.tree_util.keystr(path)
             for path, x in jax.tree_util.tree_leaves_with_path(params))
  assert any(moved.values())
  for name, moves in moved.items():
    assert moves == ('kernel' in name), name


def test_a_huge_gradient_is_clipped():
  # After one small gradient, Adam's second step depends on the next one's size.
  opt = optimizer.make_optimizer(1.0, 5, weight_decay=0.0)
  params = {'w': jnp.zeros(1)}

  def second_step(size):
    _, state = opt.update({'w': jnp.array([0.1])}, opt.init(params), params)
    return float(opt.update({'w': jnp.array([size])}, state, params)[0]['w'][0])

  assert second_step(1e6) == pytest.approx(second_step(1.0), rel=1e-3)
  assert second_step(0.5) != pytest.approx(second_step(1.0), rel=1e-3)


@pytest.mark.parametrize('name,value', [
    ('peak_lr', -1.0), ('peak_lr', float('nan')), ('steps_per_round', 0),
    ('weight_decay', float('inf'))])
def test_optimizer_refuses_values_out_of_range(name, value):
  arguments = {'peak_lr': 1e-3, 'steps_per_round': 5} | {name: value}
  with pytest.raises(ValueError, match=f'{name}={value!r} must be finite'):
    optimizer.make_optimizer(**arguments)


def test_fitting_pairs_raises_their_retrieval(tiny_run):
  pool = tiny_run.data.pool
  rows = np.arange(len(pool), dtype=np.int32)
  learner = tiny_run.learner.recipe._replace(
      optimizer=optimizer.make_optimizer(1e-2, 60), batch_size=40)
  params, _, loss = fit.fit(
      learner, tiny_run.params, None, jax.random.key(0),
      minibatches.Source(pool.items, np.stack([rows, rows], 1), len(pool)), 60)
  before, after = (
      evaluate.evaluate(evaluate.embed_pairs(
          learner.graphdef, p, tiny_run.data.test), tiny_run.data.test)
      for p in (tiny_run.params, params))
  assert np.isfinite(loss)
  assert after['i2t_r5'] > before['i2t_r5'] + 20


def test_a_warm_start_that_diverges_is_not_kept(tiny_run, tmp_path):
  with pytest.raises(divergence.Diverged, match=(
      '^warm start: training diverged in step 2 of 3: .* minibatch: image')):
    warm_start.warm_start(
        tiny_run.learner.graphdef, tiny_run.params, tiny_run.data.pool, steps=3,
        batch_size=8, peak_lr=1e30, cache_dir=tmp_path)
  assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_warm_start_is_trained_once(tiny_run, tmp_path, monkeypatch):
  graphdef, params = tiny_run.learner.graphdef, tiny_run.params
  pool = tiny_run.data.pool

  def start(seed, **config):
    return warm_start.warm_start(
        graphdef, params, pool, seed, steps=3, batch_size=8,
        cache_dir=tmp_path, **config)

  trained = start(0)
  other_seed, other_lr = start(1), start(0, peak_lr=1e-4)
  monkeypatch.setattr(fit, 'fit', None)  # From here on it cannot train.
  again = start(0)
  assert len(list(tmp_path.iterdir())) == 3
  leaves = [jax.tree.leaves(p) for p in (trained, again, other_seed, other_lr)]
  for a, b in zip(leaves[0], leaves[1], strict=True):
    np.testing.assert_array_equal(a, b)
  for other in leaves[2:]:
    assert any(not np.array_equal(a, b) for a, b in zip(leaves[0], other))
  with pytest.raises(ValueError, match='steps=0 must be at least 1'):
    warm_start.warm_start(graphdef, params, pool, steps=0)


@pytest.mark.long
def test_warm_starts_of_other_models_are_not_taken(tmp_path):
  rng = np.random.default_rng(0)
  ids = np.arange(8, dtype=np.int32)
  pairs = encode.EncodedPairs(
      {'image': encode.Items(
          rng.integers(256, size=(8, 8, 8, 3)).astype(np.uint8), ids),
       'text': encode.Items(
           rng.integers(1, 9, size=(8, 3)).astype(np.int32), ids)},
      ids * 0 - 1)
  found = {}
  for dtype in ('float32', 'bfloat16'):
    graphdef, params = nnx.split(registry.MODELS['transformers'](
        _ITEMS, 9, rngs=nnx.Rngs(0), width=8, depth=1, heads=2, embed_dim=4,
        dtype=dtype), nnx.Param)
    found[dtype] = warm_start.warm_start(
        graphdef, params, pairs, steps=2, batch_size=8, cache_dir=tmp_path)
  assert len(list(tmp_path.iterdir())) == 2
  assert not np.array_equal(*(
      p['text_projection']['kernel'][...] for p in found.values()))


def test_params_are_an_nnx_state(tiny_run):
  model = nnx.merge(tiny_run.learner.graphdef, tiny_run.params)
  assert model.logit_bias[...] == -10
