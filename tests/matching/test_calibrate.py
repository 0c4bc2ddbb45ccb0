"""Calibration, on cases whose true probabilities are known."""

import numpy as np
import pytest
import scipy.optimize

from mmal_jax.evaluate import calibration
from mmal_jax.matching import calibrate


def _cases(n, seed, shift=0.0):
  """Features, and the probability that a case with them is right."""
  features = np.random.default_rng(seed).normal(shift, 1, size=(n, 4))
  features *= [3.0, 0.1, 2.0, 1.0]
  logits = 0.5 * features[:, 0] + 8 * features[:, 1] - 0.3
  return features, 1 / (1 + np.exp(-logits))


def _drawn(p, seed):
  return np.random.default_rng([seed, 1]).random(len(p)) < p


@pytest.mark.parametrize('n', [5, 200])
def test_fit_is_the_minimum(n):
  features, p = _cases(n, 3)
  right, weight = _drawn(p, 3), np.random.default_rng(4).uniform(0.1, 2, n)
  found = calibrate.fit(features, right, weight, 1)
  positive, negative = weight[right].sum(), weight[~right].sum()
  targets = np.where(right, (positive + 1) / (positive + 2), 1 / (negative + 2))
  z = (features - np.average(features, axis=0, weights=weight))
  z /= np.sqrt(np.average(z**2, axis=0, weights=weight))
  z = np.c_[z, np.maximum(z[:, 1] + 0.5, 0), np.maximum(z[:, 1] - 0.5, 0)]

  def loss(at):
    logits = z @ at[:6] + at[6]
    return (weight @ (np.logaddexp(0, logits) - targets * logits)
            + 0.15 * at[:6] @ at[:6])

  best = scipy.optimize.minimize(loss, np.zeros(7), tol=1e-10)
  np.testing.assert_allclose(
      np.r_[found.slopes, found.intercept], best.x, atol=1e-4)


def test_many_cases_are_calibrated():
  features, p = _cases(4000, 0)
  right = _drawn(p, 0)
  found = calibrate.fit(features, right, np.ones(4000), 1)
  fresh, p = _cases(20000, 1)
  stated = found(fresh)
  assert np.mean(np.abs(stated - p)) < 0.02
  assert calibration.expected_error(
      calibration.bins(stated, _drawn(p, 1))) < 0.015


@pytest.mark.parametrize('is_right', [True, False])
def test_few_cases_are_not_certain(is_right):
  features, _ = _cases(20, 0)
  right = np.full(20, is_right)
  found = calibrate.fit(features, right, np.ones(20), 1)
  assert np.all(np.abs(found(features) - (21 / 22 if is_right else 1 / 22))
                < 0.05)


def test_nothing_is_more_certain_than_what_the_cases_bear_out():
  features, p = _cases(60, 5)
  weight = np.random.default_rng(6).uniform(0.1, 2, 60)
  right = _drawn(p, 5)
  found = calibrate.fit(features, right, weight, 1)
  # Far beyond all cases the regression alone would be certain.
  far = features[np.argsort(found(features))[-3:]] * 10
  rows = calibrate._rows(features, found.mean, found.scale, 1)
  logits, most = rows @ found.slopes + found.intercept, []
  for at in logits:
    w, hits = weight[logits >= at], right[logits >= at]
    number = w.sum()**2 / np.sum(w**2)
    most.append((number * (w @ hits) / w.sum() + 1) / (number + 2))
  most = np.array(most)
  far_logits = calibrate._rows(
      far, found.mean, found.scale, 1) @ found.slopes + found.intercept
  assert np.all(1 / (1 + np.exp(-far_logits)) > 0.999)
  np.testing.assert_allclose(found(far), most.max(), rtol=1e-9)
  expected = [min(1 / (1 + np.exp(-z)), most[logits <= z].max())
              for z in logits]
  np.testing.assert_allclose(found(features), expected, rtol=1e-9)
  assert found(features - 100).min() >= 0  # Below all cases.


def test_features_without_variance_do_no_harm():
  right = np.array([True, True, False, True, False])
  found = calibrate.fit(np.ones((5, 4)), right, np.ones(5), 1)
  np.testing.assert_allclose(found(np.ones((2, 4))), 0.57, atol=0.02)


def test_density_ratio_moves_the_cases_to_the_rest():
  features, _ = _cases(4000, 0)
  rest, _ = _cases(4000, 1, shift=0.5)
  ratio = calibrate.density_ratio(features, np.ones(4000), rest)
  np.testing.assert_allclose(np.mean(ratio), 1)
  np.testing.assert_allclose(
      np.average(features, axis=0, weights=ratio), rest.mean(0),
      atol=0.1 * np.max(features.std(0)))
  same = calibrate.density_ratio(features, np.ones(4000), features)
  np.testing.assert_allclose(same, 1, atol=1e-6)


def test_had_at_precision_takes_all_of_equal_probability():
  stated = np.array([0.9, 0.8, 0.8, 0.8, 0.1])
  right = np.array([True, False, True, True, False])
  assert calibration.had_at_precision(stated, right, 0.99) == 1
  assert calibration.had_at_precision(stated, right, 0.75) == 3
  assert calibration.had_at_precision(stated, ~right, 0.9) == 0
  assert calibration.had_at_precision(stated[:0], right[:0], 0.9) == 0


@pytest.mark.parametrize('seed', range(3))
def test_had_at_precision_and_bins_against_loops(seed):
  rng = np.random.default_rng(seed)
  stated = rng.integers(0, 21, size=60) / 20
  right = rng.random(60) < stated
  best = 0
  for least in set(stated):
    taken = right[stated >= least]
    if taken.mean() >= 0.8:
      best = max(best, taken.sum())
  assert calibration.had_at_precision(stated, right, 0.8) == best
  found, error = calibration.bins(stated, right, 5), 0.0
  for b in range(5):
    mine = [i for i in range(60) if min(int(stated[i] * 5), 4) == b]
    if mine:
      error += abs(sum(stated[mine]) - sum(right[mine])) / 60
  np.testing.assert_allclose(calibration.expected_error(found), error)
  assert found.count.sum() == 60
