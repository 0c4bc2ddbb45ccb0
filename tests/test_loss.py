"""The sigmoid loss against a NumPy float64 reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.train import loss


def _reference(x, y, scale, bias, image_ids, text_ids, valid):
  rows = np.flatnonzero(valid)
  total = 0.0
  for i in rows:
    for j in rows:
      same = image_ids[i] == image_ids[j] or text_ids[i] == text_ids[j]
      if i == j or not same:
        logit = np.exp(scale) * x[i].astype(float) @ y[j].astype(float) + bias
        total += np.logaddexp(0, -logit if i == j else logit)
  return total / max(len(rows), 1)


def _problem(seed, b=9, d=5):
  rng = np.random.default_rng(seed)
  x, y = rng.normal(size=(2, b, d)).astype(np.float32)
  image_ids, text_ids = rng.integers(6, size=(2, b))
  return x, y, 1.3, -2.0, image_ids, text_ids, rng.random(b) < 0.7


@pytest.mark.parametrize('seed', range(5))
def test_reference(seed):
  problem = _problem(seed)
  arrays = [jnp.asarray(a, jnp.float32) if isinstance(a, float)
            else jnp.asarray(a) for a in problem]
  np.testing.assert_allclose(
      loss.sigmoid_loss(*arrays), _reference(*problem), rtol=2e-6)


def test_padding_has_no_gradient_and_no_rows_cost_nothing():
  x, y, scale, bias, image_ids, text_ids, _ = _problem(0)
  valid = jnp.arange(len(x)) < 4
  scale, bias = jnp.float32(scale), jnp.float32(bias)
  grads = jax.grad(loss.sigmoid_loss, argnums=(0, 1))(
      x, y, scale, bias, image_ids, text_ids, valid)
  for grad in grads:
    assert np.any(grad[:4] != 0) and not np.any(grad[4:])
  assert loss.sigmoid_loss(
      x, y, scale, bias, image_ids, text_ids, valid & False) == 0


def test_equal_texts_are_not_pushed_apart():
  x = jnp.eye(2)
  valid, ids = jnp.ones(2, bool), jnp.arange(2)
  apart = loss.sigmoid_loss(x, x, 1.0, 0.0, ids, ids, valid)
  alike = loss.sigmoid_loss(x, x, 1.0, 0.0, ids, ids * 0, valid)
  np.testing.assert_allclose(apart - alike, np.log(2), rtol=1e-5)
