"""The losses on one device against a NumPy float64 reference."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.learn.gradient import chunked
from mmal_jax.learn.gradient import loss
from mmal_jax.learn.gradient import softmax
from tests.support import loss_reference as reference

_DENSE = (loss.sigmoid_loss, reference.sigmoid)
_SOFTMAX = (softmax.softmax_loss, reference.softmax)


@functools.cache
def _chunked(chunk):
  return (functools.partial(chunked.sigmoid_loss, chunk=chunk),
          reference.sigmoid)


_ALL = [_DENSE, _chunked(4), _chunked(1024), _SOFTMAX]
_NAMES = ['dense', 'chunked 4', 'chunked 1024', 'softmax']
each = pytest.mark.parametrize(('function', 'truth'), _ALL, ids=_NAMES)


def _found(function, problem):
  """The value, and its gradients by both embeddings, scale and bias."""
  return _compiled(function)(*map(jnp.asarray, problem))


@functools.cache
def _compiled(function):
  return jax.jit(jax.value_and_grad(function, argnums=(0, 1, 2, 3)))


@each
@pytest.mark.parametrize('seed', range(3))
def test_reference(function, truth, seed):
  problem = reference.problem(seed)
  reference.assert_near(_found(function, problem), truth(*problem))


@each
@pytest.mark.parametrize('seed', range(2))
def test_trained_magnitudes(function, truth, seed):
  problem = reference.realistic(seed)
  reference.assert_near(_found(function, problem), truth(*problem))


@each
def test_one_row(function, truth):
  problem = reference.problem(0, b=1, valid=1.0)
  reference.assert_near(_found(function, problem), truth(*problem))


@pytest.mark.parametrize('chunk', [1, 2, 8, 9, 10])
def test_any_chunk(chunk):
  problem = reference.problem(5)
  function, truth = _chunked(chunk)
  reference.assert_near(_found(function, problem), truth(*problem))


@pytest.mark.parametrize('chunk', [3, 9])
def test_chunked_says_what_dense_says_of_bfloat16(chunk):
  """Sums and gradients are collected in float32 all the same."""
  x, y, *rest = reference.problem(3)
  problem = (jnp.bfloat16(x), jnp.bfloat16(y), *rest)
  value, grads = _found(_chunked(chunk)[0], problem)
  assert value.dtype == jnp.float32 and grads[0].dtype == jnp.bfloat16
  # Half a step of bfloat16, where a sum lies on the other side of a tie.
  reference.assert_near(
      (value, grads), _found(loss.sigmoid_loss, problem), grad_rtol=2e-3)


@each
def test_no_valid_rows_cost_nothing(function, truth):
  problem = reference.problem(0, valid=0.0)
  found = _found(function, problem)
  assert found[0] == 0
  reference.assert_near(found, truth(*problem))


@each
def test_padding_takes_no_part(function, truth):
  del truth
  x, y, scale, bias, *ids, _ = reference.problem(0)
  valid = np.arange(len(x)) < 4
  value, grads = _found(function, (x, y, scale, bias, *ids, valid))
  for grad in grads[:2]:
    assert np.any(grad[:4] != 0) and not np.any(grad[4:])
  x[4:], y[4:] = y[4:], 7 * x[4:]
  assert value == _found(function, (x, y, scale, bias, *ids, valid))[0]


def test_equal_texts_are_not_pushed_apart():
  x = jnp.eye(2)
  valid, ids = jnp.ones(2, bool), jnp.arange(2)
  apart = loss.sigmoid_loss(x, x, 1.0, 0.0, ids, ids, valid)
  alike = loss.sigmoid_loss(x, x, 1.0, 0.0, ids, ids * 0, valid)
  np.testing.assert_allclose(apart - alike, np.log(2), rtol=1e-5)


def test_softmax_needs_no_number_from_padding():
  problem = reference.problem(1)
  x, y, *_, valid = problem
  expected = reference.softmax(*problem)
  x[~valid], y[~valid] = np.nan, np.inf
  assert not valid.all()
  reference.assert_near(_found(softmax.softmax_loss, problem), expected)


def test_softmax_gradients_keep_their_digits_where_all_is_decided():
  """Each row's own logit is 30 above the others', where log(1 + e^-30) is 0."""
  x, ids = np.eye(4, dtype=np.float32), np.arange(4)
  problem = (x, x, np.float32(np.log(30)), np.float32(0), ids, ids, ids >= 0)
  value, grads = _found(softmax.softmax_loss, problem)
  true_value, true_grads = reference.softmax(*problem)
  assert abs(value - true_value) < 1e-12
  reference.assert_near((value, grads), (value, true_grads))


@pytest.mark.parametrize(
    ('chunk', 'error'), [(0, ValueError), (-3, ValueError), (2.0, TypeError),
                         (True, TypeError), (None, TypeError)])
def test_chunk_is_a_number_of_rows(chunk, error):
  with pytest.raises(error, match=f'chunk={chunk!r}'):
    chunked.sigmoid_loss(*reference.problem(0), chunk=chunk)
