"""Minibatches, augmentation, schedule, fitting, the warm start's cache."""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.evaluate import evaluate
from mmal_jax.train import augment
from mmal_jax.train import optimizer
from mmal_jax.train import step
from mmal_jax.train import warm_start


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


def test_schedule_starts_anew_every_round():
  opt = optimizer.make_optimizer(1.0, 10, weight_decay=0.0)
  params = {'w': jnp.ones((1, 1))}
  state, sizes = opt.init(params), []
  for _ in range(20):
    updates, state = opt.update({'w': jnp.full((1, 1), 0.5)}, state, params)
    sizes.append(-float(updates['w'][0, 0]))
  # Adam's step of a constant gradient is the learning rate itself.
  np.testing.assert_allclose(sizes[:10], sizes[10:], rtol=1e-3)
  assert np.argmax(sizes[:10]) == 0 and sizes[0] == pytest.approx(1, rel=1e-3)
  assert sizes[9] == pytest.approx(0, abs=1e-3)


def test_fitting_pairs_raises_their_retrieval(tiny_run):
  pool = tiny_run.data.pool
  rows = jnp.arange(len(pool), dtype=jnp.int32)
  learner = tiny_run.learner._replace(
      optimizer=optimizer.make_optimizer(1e-2, 60), batch_size=40)
  params, _, loss = step.fit(
      learner, tiny_run.params, learner.optimizer.init(tiny_run.params),
      jax.random.key(0), pool.images, pool.texts,
      jnp.stack([rows, rows], 1), jnp.int32(len(pool)), 60)
  before, after = (
      evaluate.evaluate(learner.graphdef, p, tiny_run.data.test)
      for p in (tiny_run.params, params))
  assert np.isfinite(loss)
  assert after['i2t_r5'] > before['i2t_r5'] + 20


def test_warm_start_is_trained_once(tiny_run, tmp_path, monkeypatch):
  graphdef, params = tiny_run.learner.graphdef, tiny_run.params
  pool = tiny_run.data.pool

  def start(seed, **config):
    return warm_start.warm_start(
        graphdef, params, pool, seed, steps=3, batch_size=8,
        cache_dir=tmp_path, **config)

  trained = start(0)
  other_seed, other_lr = start(1), start(0, peak_lr=1e-4)
  monkeypatch.setattr(step, 'fit', None)  # From here on it cannot train.
  again = start(0)
  assert len(list(tmp_path.iterdir())) == 3
  leaves = [jax.tree.leaves(p) for p in (trained, again, other_seed, other_lr)]
  for a, b in zip(leaves[0], leaves[1], strict=True):
    np.testing.assert_array_equal(a, b)
  for other in leaves[2:]:
    assert any(not np.array_equal(a, b) for a, b in zip(leaves[0], other))
  with pytest.raises(ValueError, match='steps=0 must be at least 1'):
    warm_start.warm_start(graphdef, params, pool, steps=0)


def test_params_are_an_nnx_state(tiny_run):
  model = nnx.merge(tiny_run.learner.graphdef, tiny_run.params)
  assert model.logit_bias[...] == -10
