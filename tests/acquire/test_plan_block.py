"""Scores by a plan's factors, against the whole plan in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire.kernels import plan_block

_ITERATIONS = 20


def _unit(rows):
  rows = rows.astype(np.float64)
  return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _plan(x, y, temperature):
  similarities = _unit(x) @ _unit(y).T
  kernel = np.exp((similarities - similarities.max()) / temperature)
  v = np.ones(len(y))
  for _ in range(_ITERATIONS):
    u = 1 / (kernel @ v)
    v = len(x) / len(y) / (u @ kernel)
  return u[:, None] * kernel * v


def _chances(plan):
  return plan / plan.sum(axis=1, keepdims=True)


def _problem(n, m, alike, seed=0):
  rng = np.random.default_rng([n, m, seed])
  x, y = (rng.normal(size=(k, 32)).astype(np.float32) for k in (n, m))
  y[:min(n, m)] += alike * x[:min(n, m)]
  return x, y


def _scaling(x, y, temperature, x_there=None, y_there=None):
  return jax.jit(plan_block.scaling, static_argnums=5)(
      x, y, np.ones(len(x), bool) if x_there is None else x_there,
      np.ones(len(y), bool) if y_there is None else y_there, temperature,
      _ITERATIONS)


def _check(found, plan):
  for scores, chances in zip(found, (_chances(plan), _chances(plan.T))):
    best, second = np.sort(
        np.pad(chances, ((0, 0), (0, 1))), axis=1)[:, :-3:-1].T
    entropy = -np.sum(chances * np.log(chances + 1e-300), axis=1)
    np.testing.assert_allclose(scores.confidence, best, atol=1e-5)
    np.testing.assert_allclose(scores.margin, best - second, atol=1e-5)
    np.testing.assert_allclose(scores.entropy, entropy, atol=5e-5)
    assert np.min(scores.entropy) >= 0


# Within and beyond tiles and lanes, of the product and of the scores.
@pytest.mark.parametrize('n,m', [(1, 1), (2, 40), (33, 17), (1031, 70)])
@pytest.mark.parametrize('temperature', [0.1, 0.03])
@pytest.mark.parametrize('alike', [0.0, 1.0])
def test_scores(n, m, temperature, alike):
  x, y = _problem(n, m, alike)
  _check(plan_block.scores(_scaling(x, y, temperature)),
         _plan(x, y, temperature))


# Tiles of 1, 7 and 33 rows of 33: the last ones reach back, or are all.
@pytest.mark.parametrize('values', [1, 7 * 40, 33 * 40])
def test_tiles_of_the_product_are_of_so_many_values(monkeypatch, values):
  monkeypatch.setattr(plan_block, '_PRODUCT_VALUES', values)
  x, y = _problem(33, 40, 1.0)
  found = plan_block.scaling(
      x, y, np.ones(33, bool), np.ones(40, bool), 0.05, _ITERATIONS)
  _check(plan_block.scores(found), _plan(x, y, 0.05))


def test_the_sums_of_columns_are_those_of_the_factors():
  x, y = _problem(33, 40, 1.0)
  found = _scaling(x, y, 0.05, np.arange(33) < 30, np.arange(40) > 3)
  np.testing.assert_allclose(
      found.sums, np.asarray(found.u, float) @ np.asarray(found.kernel, float),
      rtol=1e-5)


def test_what_takes_no_part_changes_nothing():
  x, y = _problem(40, 50, 1.0)
  x_there, y_there = np.arange(40) < 30, np.arange(50) % 7 < 4
  x[~x_there] = y[4:5]  # The most similar of all pairs.
  found = plan_block.scores(_scaling(x, y, 0.05, x_there, y_there))
  _check([jax.tree.map(lambda values, there=there: values[there], some)
          for some, there in zip(found, (x_there, y_there))],
         _plan(x[x_there], y[y_there], 0.05))


def test_two_that_are_alike_have_no_margin():
  x, y = _problem(40, 100, 1.0)
  y[60] = y[77] = x[5]
  scores, _ = plan_block.scores(_scaling(x, y, 0.05))
  assert scores.margin[5] == 0 and 0.3 < scores.confidence[5] <= 0.5 + 1e-6


@pytest.mark.parametrize('x_left,y_left', [(0, 0), (0, 9), (9, 0), (1, 1)])
def test_one_or_nothing_takes_part(x_left, y_left):
  x, y = _problem(9, 9, 1.0)
  found = plan_block.scores(_scaling(
      x, y, 0.05, np.arange(9) < x_left, np.arange(9) < y_left))
  for scores in found:
    assert all(np.isfinite(values).all() for values in scores)
    assert np.max(scores.entropy) == 0 or x_left != y_left
  if x_left == 1:
    assert found[0].confidence[0] == found[1].margin[0] == 1


def test_what_is_expected():
  x, y = _problem(40, 70, 1.0)
  rng = np.random.default_rng(1)
  rows = [rng.normal(size=(n, 3)).astype(np.float32) for n in (40, 70)]
  plan = _plan(x, y, 0.05)
  for found, expected in zip(
      plan_block.expected(_scaling(x, y, 0.05), *rows),
      (_chances(plan) @ rows[1], _chances(plan.T) @ rows[0])):
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_one_matrix_of_the_block_is_held():
  n, d = 4096, 8

  def scores(x, y, there):
    return plan_block.scores(
        plan_block.scaling(x, y, there, there, 0.05, _ITERATIONS))

  rows = jax.ShapeDtypeStruct((n, d), jnp.float32)
  there = jax.ShapeDtypeStruct((n,), bool)
  compiled = jax.jit(scores).lower(rows, rows, there).compile()
  # And a tile of the product and its exponential.
  assert compiled.memory_analysis().temp_size_in_bytes < 1.8 * 4 * n * n
