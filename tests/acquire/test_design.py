"""Experimental design, herding and the plan's scores, in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import alike
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import design
from mmal_jax.acquire.kernels import herding
from mmal_jax.acquire.kernels import max_coverage
from mmal_jax.acquire.kernels import plan_scores
from mmal_jax.acquire.kernels import two_sided
from tests.support import problems

pytestmark = pytest.mark.usefixtures('quick_compilation')
_N, _M, _K = 60, 52, 8
_ROWS = [problems.unit, problems.clustered, problems.duplicated, problems.axes]


def _problem(seed, rows=problems.unit, n=_N, aligned=None):
  return problems.make(np.random.default_rng(seed), rows, n, aligned=aligned)


def _without(kernel, column, variance, ridge):
  return kernel - np.outer(column, column) / (variance + ridge)


def _kernel(z, known, ridge):
  """`[n, n]` covariances once the answers of `known [a, r]` are there."""
  z, known = z.astype(np.float64), known.astype(np.float64)
  inverse = np.linalg.inv(known @ known.T + ridge * np.eye(len(known)))
  return z @ z.T - z @ known.T @ inverse @ known @ z.T


def _regrets(problem, picks, ridge=1.0, weights=None, costs=None):
  """By how much less each pick gains than the best would, of the first gain."""
  z, remaining, known = problem.arrays()
  kernel, left, gone = _kernel(z, known, ridge), remaining.copy(), []
  matters = remaining * (1.0 if weights is None else weights)
  for pick in picks:
    gains = (kernel**2).T @ matters / (np.diag(kernel) + ridge)
    gains /= 1.0 if costs is None else costs
    assert left[pick]
    gone.append((gains[left].max() - gains[pick]) / gains[remaining].max())
    left[pick] = False
    kernel = _without(kernel, kernel[:, pick], kernel[pick, pick], ridge)
  return gone


@pytest.mark.parametrize('rows', _ROWS)
@pytest.mark.parametrize('ridge', [0.1, 1.0, 5.0])
def test_design_is_greedy(rows, ridge):
  for seed in range(3):
    rng, problem = np.random.default_rng(seed), _problem(seed, rows)
    weights, costs = rng.uniform(0, 1, _N), rng.uniform(0.2, 5, _N)
    for given in ({}, {'weights': weights, 'costs': costs}):
      picks = design.select_design(
          problem.pool, problem.remaining, problem.aligned,
          problem.aligned_mask, _K, ridge,
          **{name: jnp.float32(x) for name, x in given.items()}).tolist()
      assert len(set(picks)) == _K
      assert max(_regrets(problem, picks, ridge, **given)) < 1e-4


def test_design_of_many_picks_stays_greedy():
  # Rounding must not add up over downdates.
  problem = _problem(0, problems.clustered, 400)
  picks = design.select_design(
      *problem[:4], int(problem.remaining.sum())).tolist()
  assert max(_regrets(problem, picks[:200])) < 1e-4
  assert sorted(picks) == np.flatnonzero(problem.remaining).tolist()


def test_design_of_one_item_and_of_none():
  row, mask = jnp.ones((1, 3)), jnp.ones(1, bool)
  assert design.select_design(row, mask, row, ~mask, 2).tolist() == [0, -1]
  assert design.select_design(row, ~mask, row, mask, 2).tolist() == [-1, -1]


def test_design_settles_ties_by_the_lowest_index():
  rows = jnp.eye(4)[jnp.array([3, 0, 0, 1, 1, 2])]
  picks = design.select_design(
      rows, jnp.ones(6, bool), rows[:1], jnp.ones(1, bool), 3)
  assert picks.tolist() == [1, 3, 5]


@pytest.mark.parametrize('asked', [(4, 4), (5, 2)])
def test_a_pick_of_one_side_takes_its_likely_counterpart_off_the_other(asked):
  one, other = _problem(0), _problem(1, problems.clustered, _M)
  rng = np.random.default_rng(2)
  partners = [0.7 * problems.unit(rng, n) for n in (_N, _M)]
  found = two_sided.select_two_sided(
      [one.view(), other.view()],
      {(0, 1): jnp.float32(partners[0]), (1, 0): jnp.float32(partners[1])},
      jnp.array(asked), max(asked))
  problems_, rows = (one, other), []
  for p, partner in zip(problems_, partners[::-1]):
    # An own row of the kernel for every row that may be taken off.
    both = np.concatenate([p.pool, partner])
    rows.append([_kernel(both, p.arrays()[2], 1.0), len(p.pool)])
  for turn in range(max(asked)):
    for side in (0, 1):
      pick = int(found[side][turn])
      if turn >= asked[side]:
        assert pick == -1
        continue
      kernel, n = rows[side]
      remaining = problems_[side].remaining
      gains = (kernel[:n, :n]**2).T @ remaining / (np.diag(kernel)[:n] + 1)
      left = remaining.copy()
      left[found[side][:turn]] = False
      assert left[pick] and gains[left].max() - gains[pick] < 1e-4
      for place, column in ((side, pick), (1 - side, None)):
        kernel, n = rows[place]
        column = n + pick if column is None else column
        rows[place][0] = _without(
            kernel, kernel[:, column], kernel[column, column], 1.0)


def _plan(similarities, temperature, iterations=20):
  kernel = np.exp((similarities - similarities.max()) / temperature)
  v = np.ones(kernel.shape[1])
  for _ in range(iterations):
    u = 1 / (kernel @ v)
    v = len(u) / len(v) / (kernel.T @ u)
  return u[:, None] * kernel * v


@pytest.mark.parametrize('rows', _ROWS)
@pytest.mark.parametrize('scale', [None, 8.0])
def test_scores_of_the_plan(rows, scale):
  one, other = _problem(0, rows), _problem(1, rows, _M)
  views = [p.view(logit_scale=None if scale is None else jnp.float32(scale))
           for p in (one, other)]
  found = plan_scores.plan_scores(*views, jax.random.key(0))
  values = np.random.default_rng(3).normal(size=(_M, 3)).astype(np.float32)
  expected_rows, _ = plan_scores.expected_rows(
      *views, jnp.zeros((_N, 2)), values, jax.random.key(0))
  x, y = (p.pool[p.remaining].astype(np.float64) for p in (one, other))
  x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
  plan = _plan(x @ y.T, 1 / (scale or 20))
  for p, scores, chances in ((one, found[0], plan), (other, found[1], plan.T)):
    chances = chances / chances.sum(axis=1, keepdims=True)
    ordered = np.sort(chances, axis=1)[:, ::-1]
    entropy = -(chances * np.log(chances + 1e-300)).sum(axis=1)
    for got, expected in zip(
        scores, (ordered[:, 0], ordered[:, 0] - ordered[:, 1], entropy)):
      np.testing.assert_allclose(got[p.remaining], expected, atol=1e-4)
      assert not np.any(got[~p.remaining])
  np.testing.assert_allclose(
      expected_rows[one.remaining],
      plan / plan.sum(axis=1, keepdims=True) @ values[other.remaining],
      atol=1e-4)


def test_scores_of_the_plan_by_blocks():
  rng = np.random.default_rng(0)
  problem = _problem(0, n=_N)
  views = [problem.view(pool=jnp.float32(problem.pool[rng.permutation(_N)]))
           for _ in range(2)]
  found = plan_scores.plan_scores(*views, jax.random.key(0), block=7)
  for view, scores in zip(views, found):
    remaining = np.asarray(view.remaining)
    best = np.asarray(scores.confidence)[remaining]
    # Of blocks of up to 7 the likeliest has a seventh at least.
    assert best.min() > 1 / 7 - 1e-3 and best.max() <= 1 + 1e-5
    assert not np.any(np.asarray(scores.entropy)[~remaining])
  with pytest.raises(ValueError, match='block=0 must be at least 1'):
    plan_scores.plan_scores(*views, jax.random.key(0), block=0)


def test_scores_where_one_or_nothing_remains():
  problem = _problem(0)
  for left, confidence in ((1, 1.0), (0, 0.0)):
    view = problem.view(remaining=jnp.arange(_N) < left)
    for scores in plan_scores.plan_scores(view, view, jax.random.key(0)):
      assert scores.confidence[0] == scores.margin[0] == confidence
      assert all(not np.any(x[1:]) and np.isfinite(x).all() for x in scores)


@pytest.mark.parametrize('rows', _ROWS)
def test_herding_is_greedy(rows):
  for seed in range(3):
    rng, problem = np.random.default_rng(seed), _problem(seed, rows)
    uncertainty, view = rng.uniform(0, 1, _N), problem.view()
    picks = herding.select_herding(
        view, _K, jax.random.key(seed), jnp.float32(uncertainty)).tolist()
    z, left, known = problem.arrays()
    drawn = jnp.asarray(np.flatnonzero(left), jnp.int32)
    radius = max(float(max_coverage.radius(view, drawn, _K)), 1e-6)
    z, known = (x.astype(np.float64) / np.linalg.norm(
        x.astype(np.float64), axis=1, keepdims=True) for x in (z, known))
    points, weights = z[left], uncertainty[left]
    near = np.exp((z @ points.T - 1) / radius)
    best = np.exp((known @ points.T - 1) / radius).max(axis=0, initial=0)
    for pick in picks:
      gains = np.maximum(near - best, 0) @ weights
      # Of copies the radius is a rounding error, and so are distances to it.
      assert left[pick]
      if radius > 1e-5:
        assert gains[left].max() - gains[pick] < 1e-3
      left[pick], best = False, np.maximum(best, near[pick])


def test_what_is_alike_without_a_reference():
  problem = _problem(0, problems.of_any_norm)
  view = alike.by_reference(problem.view())
  rows = problem.pool - problem.pool.mean(axis=0)
  rows /= np.linalg.norm(rows, axis=1, keepdims=True)
  np.testing.assert_allclose(view.pool, rows, atol=1e-5)
  one = dataclasses.replace(
      problem.view(), reference=view.pool, aligned_reference=view.aligned)
  assert alike.by_reference(one).pool is view.pool
  same = views_lib.View(
      jnp.ones((3, 2)), jnp.ones(3, bool), jnp.ones((1, 2)), jnp.ones(1, bool))
  assert not np.any(alike.by_reference(same).pool)


@pytest.mark.parametrize('name', ['design', 'two_sided'])
def test_a_ridge_that_is_not_above_zero_is_refused(name):
  views = {'image': _problem(0).view(), 'text': _problem(1).view()}
  with pytest.raises(ValueError, match='ridge=0 must be above 0'):
    registry.find(name)(views, _K, jax.random.key(0), ridge=0)
