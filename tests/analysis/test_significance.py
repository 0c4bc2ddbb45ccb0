"""Intervals and paired tests: tables, brute force, edge cases."""

import itertools
import math

import numpy as np
import pytest

from mmal_jax.analysis import curves
from mmal_jax.analysis import significance


# From printed tables of Student's t, two-sided.
@pytest.mark.parametrize('degrees,confidence,t', [
    (1, 0.95, 12.706), (2, 0.95, 4.303), (3, 0.95, 3.182), (4, 0.95, 2.776),
    (5, 0.95, 2.571), (9, 0.95, 2.262), (30, 0.95, 2.042), (120, 0.95, 1.980),
    (1, 0.5, 1.000), (2, 0.99, 9.925), (4, 0.99, 4.604), (10, 0.90, 1.812),
    (7, 0.999, 5.408)])
def test_quantiles_are_those_of_the_tables(degrees, confidence, t):
  assert significance.t_quantile(confidence, degrees) == pytest.approx(
      t, abs=5e-4)


@pytest.mark.parametrize('degrees', [1, 2, 3, 4, 7, 10, 31])
def test_probabilities_integrate_the_density(degrees):
  for t in (0.0, 0.3, 1.0, 2.5, 8.0):
    x = np.linspace(-t, t, 200_001)
    log_scale = (math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
                 - 0.5 * math.log(degrees * math.pi))
    density = np.exp(
        log_scale - (degrees + 1) / 2 * np.log1p(x**2 / degrees))
    assert 1 - significance.t_tail(t, degrees) == pytest.approx(
        np.trapezoid(density, x), abs=1e-8)
  assert significance.t_tail(math.inf, degrees) == 0


def test_small_probabilities_are_not_rounded_away():
  # With 2 degrees of freedom P(|T| > t) = 1 - t / sqrt(2 + t^2) ~ 1 / t^2.
  assert significance.t_tail(1e9, 2) == pytest.approx(1e-18, rel=1e-6)


def test_intervals_cover_the_mean_as_often_as_they_say():
  values = np.random.default_rng(0).normal(3, 2, size=(4, 20_000))
  half = significance.half_width(values)
  covered = np.mean(np.abs(values.mean(0) - 3) <= half)
  assert covered == pytest.approx(0.95, abs=0.006)
  assert np.isnan(significance.half_width(np.ones((1, 3)))).all()
  np.testing.assert_array_equal(significance.half_width(np.ones((5, 2))), 0)


def test_paired_t_of_known_values():
  # Student, The Probable Error of a Mean, 1908: hours of sleep gained.
  sleep = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
  assert significance.paired_t(sleep) == pytest.approx(0.002833, abs=1e-6)
  assert significance.paired_t(-sleep) == significance.paired_t(sleep)


def test_paired_t_is_uniform_where_there_is_no_difference():
  differences = np.random.default_rng(1).normal(size=(4000, 5))
  p = np.sort([significance.paired_t(d) for d in differences])
  assert np.max(np.abs(p - (np.arange(4000) + 0.5) / 4000)) < 0.03


def _all_flips(differences):
  sums = [abs(np.dot(signs, differences)) for signs in itertools.product(
      (-1.0, 1.0), repeat=len(differences))]
  seen = abs(sum(differences)) - 1e-9 * sum(map(abs, differences))
  return np.mean([s >= seen for s in sums])


@pytest.mark.parametrize('n', range(1, 10))
def test_sign_flips_are_those_of_brute_force(n):
  rng = np.random.default_rng(n)
  for differences in (rng.normal(size=n), rng.normal(1.5, size=n),
                      rng.integers(-2, 4, size=n), np.full(n, 0.1),
                      rng.choice([0.1, 0.2, -0.3], size=n)):
    assert significance.sign_flips(differences) == pytest.approx(
        _all_flips(differences), abs=1e-15)


def test_sign_flips_of_clear_cases():
  assert significance.sign_flips(np.full(5, 2.0)) == 2 / 32
  assert significance.sign_flips(np.zeros(4)) == 1
  assert significance.sign_flips([3.0]) == 1
  assert significance.sign_flips([1.0, -1.0]) == 1
  assert significance.sign_flips(np.arange(1.0, 25.0)) == 2 / 2**24


def test_paired_t_of_clear_cases():
  assert np.isnan(significance.paired_t([3.0]))
  assert significance.paired_t(np.zeros(3)) == 1
  assert significance.paired_t(np.full(3, 0.1)) == 0


@pytest.mark.parametrize('bad', [[], [[1.0, 2.0]], [1.0, np.nan], [np.inf]])
def test_what_is_no_list_of_differences(bad):
  for test in (significance.paired_t, significance.sign_flips):
    with pytest.raises(ValueError, match='finite number a seed'):
      test(bad)


def test_what_is_out_of_range():
  with pytest.raises(ValueError, match='beyond the 40'):
    significance.sign_flips(np.ones(41))
  with pytest.raises(ValueError, match='confidence=1.0 must'):
    significance.t_quantile(1.0, 3)
  for one in (significance.t_tail, significance.t_quantile):
    with pytest.raises(ValueError, match='degrees=0 must'):
      one(0.5, 0)
  with pytest.raises(ValueError, match='t=nan must'):
    significance.t_tail(math.nan, 3)


def test_mean_score_is_the_mean_of_the_polygon():
  rng = np.random.default_rng(2)
  x = np.cumsum(rng.uniform(0.5, 2, size=6))
  y = rng.uniform(0, 100, size=(3, 6))
  fine = np.linspace(x[0], x[-1], 300_001)
  expected = [np.mean(np.interp(fine, x, row)) for row in y]
  np.testing.assert_allclose(curves.mean_score(x, y), expected, rtol=1e-4)
  with pytest.raises(ValueError, match='1 point'):
    curves.mean_score(x[:1], y[:, :1])


def test_a_curve_on_another_grid():
  x, y = np.array([0, 4, 4, 8]), np.array([1, 2, 3, 5])
  np.testing.assert_array_equal(
      curves.on_grid(np.array([0, 2, 4, 6, 8]), x, y), [1, 2, 3, 4, 5])
  with pytest.raises(ValueError, match='not within the curve from 0 to 8'):
    curves.on_grid(np.array([0, 9]), x, y)
