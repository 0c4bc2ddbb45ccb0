"""k-center in blocks: the picks of the textbook greedy, in few passes."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import coreset
from mmal_jax.acquire import coverage
from mmal_jax.acquire import metric as metric_lib
from tests.support import problems
from tests.support import reference

# By rows of the pool, the picks and the candidates of a block.
_SHAPES = {64: ((60, None), (13, 16)), 512: ((60, 16),),
           5000: ((60, 64), (60, None))}
_PROBLEMS = {'cosine': 67, 'sqeuclidean': 67, 'inner': 66}
# What `metric` promises of distances from products that are not in doubt.
_TOLERANCE = 2.0**-13


def _pick(problem, k, candidates=None):
  """Picks and passes, checked for what holds of all problems."""
  picks, passes = coreset.select_with_passes(problem.view(), k, candidates)
  count = min(k, problem.remaining.sum())
  picks = np.asarray(picks).tolist()
  assert picks[count:] == [-1] * (k - count)
  # A last look may be needed to find that nothing is left.
  assert passes <= count + (count < k)
  return picks[:count], int(passes)


def _is_greedy(problem, picks):
  """Whether to the letter; if not, it must be so but for rounding."""
  expected = reference.k_center(*problem.arrays(), len(picks), problem.metric)
  if picks == expected:
    return True
  pool, remaining, aligned = problem.arrays()
  regret, largest = reference.regrets(*problem.arrays(), picks, problem.metric)
  scale = np.maximum(np.abs(largest), 1e-12)
  if problem.metric == 'inner':
    # A sum of terms of both signs is only as good as the terms are large.
    rows = np.concatenate([pool[remaining], aligned])
    scale = np.square(rows).sum(axis=1).max()
  assert (regret <= _TOLERANCE * scale).all(), (regret / scale).max()
  return False


@pytest.mark.long
@pytest.mark.parametrize('metric', metric_lib.METRICS)
def test_picks_of_random_problems_are_the_textbook_greedys(metric):
  makers = (problems.unit, problems.of_any_norm, problems.clustered,
            problems.duplicated, problems.exact(metric))
  apart, sizes = dict.fromkeys(makers, 0), dict.fromkeys(_SHAPES, 0)
  for seed in range(_PROBLEMS[metric]):
    rng = np.random.default_rng([seed, 7])
    n = int(round(5000 ** rng.random()))
    size = min(size for size in _SHAPES if size >= n)
    rows = makers[seed % len(makers)]
    problem = problems.make(rng, rows, n, metric, size)
    k, candidates = _SHAPES[size][rng.integers(len(_SHAPES[size]))]
    picks, _ = _pick(problem, k, candidates)
    apart[rows] += not _is_greedy(problem, picks)
    sizes[size] += 1
  assert min(sizes.values()) >= 10
  # Documented ties, within rounding: one or two would be no error.
  assert apart.pop(problems.exact(metric)) == 0
  assert sum(apart.values()) <= 2, apart


def test_a_block_has_many_picks():
  rng = np.random.default_rng(0)
  problem = problems.make(
      rng, problems.clustered, 5000, 'cosine', aligned=10)
  for candidates, most in ((64, 20), (None, 10)):
    picks, passes = _pick(problem, 60, candidates)
    assert _is_greedy(problem, picks)
    assert passes < most


def _near_one_row(rng, n):
  """Unit rows 1e-4 from each other: cosines of 1 - 1e-8."""
  x = np.eye(problems.D)[0] + 1e-4 * rng.normal(size=(n, problems.D))
  return x / np.linalg.norm(x, axis=1, keepdims=True)


def _far_from_the_origin(rng, n):
  return 100 + 1e-4 * rng.normal(size=(n, problems.D))


def _giant_doubles(rng, n):
  """Rows of norm 1e3, each there four times, near 1e-3 from each other."""
  x = 1e3 * problems.unit(rng, 16)[rng.integers(16, size=n)]
  return x + 1e-3 * rng.normal(size=(n, problems.D))


def _plain_distances(x, y, metric):
  """By the usual formulas in float32."""
  dots = x @ y.T
  if metric == 'cosine':
    return 1 - dots
  squares = [np.square(z).sum(axis=1) for z in (x, y)]
  return squares[0][:, None] + squares[1][None, :] - 2 * dots


def _plain_greedy(problem, k):
  pool, remaining, aligned = problem.arrays()
  near, picks = _plain_distances(pool, aligned, problem.metric).min(axis=1), []
  for _ in range(k):
    picks.append(int(np.argmax(np.where(remaining, near, -np.inf))))
    remaining = remaining & (np.arange(len(pool)) != picks[-1])
    near = np.minimum(near, _plain_distances(
        pool, pool[picks[-1:]], problem.metric)[:, 0])
  return picks


@pytest.mark.parametrize('rows,metric', [
    (_near_one_row, 'cosine'), (_far_from_the_origin, 'sqeuclidean'),
    (_giant_doubles, 'sqeuclidean')])
def test_small_differences_of_large_numbers(rows, metric):
  for seed in range(3):
    rng = np.random.default_rng(seed)
    problem = problems.make(rng, rows, 512, metric, aligned=20)
    k = 60
    regret, largest = reference.regrets(
        *problem.arrays(), _plain_greedy(problem, k), metric)
    assert (regret / largest).max() > 0.1  # So that there is a danger.
    picks, _ = _pick(problem, k, 16)
    regret, largest = reference.regrets(*problem.arrays(), picks, metric)
    np.testing.assert_array_less(regret / largest, 1e-3)
    near = np.asarray(coverage.covered(problem.view()).nearest)
    left = problem.remaining
    expected = reference.nearest(problem.pool, problem.arrays()[2], metric)
    np.testing.assert_allclose(near[left], expected[left], rtol=1e-3)


@pytest.mark.parametrize('metric', metric_lib.METRICS)
def test_aligned_items_in_two_steps(metric):
  rng = np.random.default_rng(1)
  problem = problems.make(rng, problems.clustered, 512, metric, aligned=0)
  # More than one product takes, the first of which has nothing to take.
  aligned = problems.clustered(rng, 200).astype(np.float32)
  mask = (np.arange(200) > 70) & (rng.random(200) < 0.7)
  first = mask & (np.arange(200) < 130)
  problem = problem._replace(aligned=aligned, aligned_mask=mask)
  near = coverage.covered(problem.view()).nearest
  half = coverage.covered(problem._replace(aligned_mask=first).view())
  whole = coverage.with_aligned(
      half, jnp.asarray(aligned), jnp.asarray(mask & ~first))
  np.testing.assert_allclose(whole.nearest, near, rtol=1e-6)
  assert (half.nearest > near).any()
  left = problem.remaining
  expected = reference.nearest(problem.pool, aligned[mask], metric)
  np.testing.assert_allclose(
      near[left], expected[left], rtol=_TOLERANCE, atol=1e-6)


def test_aligned_rows_of_padding_may_be_anything():
  rng = np.random.default_rng(1)
  problem = problems.make(rng, problems.unit, 512, 'cosine', aligned=0)
  aligned = problems.unit(rng, 200).astype(np.float32)
  mask = rng.random(200) < 0.5
  aligned[~mask] = np.nan
  problem = problem._replace(aligned=aligned, aligned_mask=mask)
  near = np.asarray(coverage.covered(problem.view()).nearest)
  left = problem.remaining
  np.testing.assert_allclose(
      near[left], reference.nearest(
          problem.pool, aligned[mask], 'cosine')[left], atol=1e-6)


@pytest.mark.parametrize('metric', ['cosine', 'sqeuclidean'])
def test_bfloat16_pools_lose_nothing_but_in_storage(metric):
  rng = np.random.default_rng(2)
  problem = problems.make(rng, problems.clustered, 512, metric, aligned=20)
  rounded = problem._replace(
      pool=problem.pool.astype(jnp.bfloat16),
      aligned=problem.aligned.astype(jnp.bfloat16))
  picks, _ = _pick(rounded, 60, 16)
  _is_greedy(rounded, picks)
  # Of the rows before they were rounded they are not the greedy's by far.
  regret, largest = reference.regrets(*problem.arrays(), picks, metric)
  assert (regret / largest).max() > 100 * _TOLERANCE
