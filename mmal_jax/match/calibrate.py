r"""Probabilities from features, learnt from a few cases that are known.

Logistic regression, with the targets of Platt: of cases of which all are right
it does not follow that whatever looks like them is right, too.
"""

from typing import NamedTuple

import numpy as np

_RIDGE = 0.3
_ITERATIONS = 100


class Calibration(NamedTuple):
  """A logistic regression.

  Attributes:
    mean: `[f]` float64, of the features.
    scale: `[f]`, by which they are divided.
    slopes: `[f]`.
    intercept: of the logit.
    loss: mean log loss on the known cases.
  """

  mean: np.ndarray
  scale: np.ndarray
  slopes: np.ndarray
  intercept: float
  loss: float

  def __call__(self, features: np.ndarray) -> np.ndarray:
    """`[n]` probabilities of `[n, f]` features."""
    rows = (features - self.mean) / self.scale
    return _sigmoid(rows @ self.slopes + self.intercept)


def fit(
    features: np.ndarray, right: np.ndarray, weight: np.ndarray
) -> Calibration:
  r"""Learns from known cases.

  .. math::
    \min_{b, c} \sum_i w_i \, \ell(t_i, b \cdot z_i + c) + \frac{r}{2} |b|^2

  with the features z scaled to a standard deviation of 1, and the targets
  :math:`(n_+ + 1) / (n_+ + 2)` of the :math:`n_+` right ones and
  :math:`1 / (n_- + 2)` of the others.

  Args:
    features: `[n, f]` float64, n at least 1.
    right: `[n]` bool.
    weight: `[n]` float64, above 0.

  References:
    Platt, Probabilistic Outputs for Support Vector Machines, 1999.
  """
  mean = np.average(features, axis=0, weights=weight)
  scale = np.sqrt(np.average((features - mean)**2, axis=0, weights=weight))
  scale = np.where(scale > 1e-9, scale, 1.0)
  rows = np.c_[(features - mean) / scale, np.ones(len(features))]
  positive, negative = weight @ right, weight @ ~right
  targets = np.where(
      right, (positive + 1) / (positive + 2), 1 / (negative + 2))
  ridge = np.full(rows.shape[1], _RIDGE)
  ridge[-1] = 0.0
  found = np.zeros(rows.shape[1])

  def loss(found):
    logits = rows @ found
    return (weight @ (np.logaddexp(0, logits) - targets * logits)
            + 0.5 * ridge @ found**2)

  for _ in range(_ITERATIONS):
    p = _sigmoid(rows @ found)
    slope = rows.T @ (weight * (p - targets)) + ridge * found
    curvature = (rows * (weight * p * (1 - p))[:, None]).T @ rows
    curvature += np.diag(ridge + 1e-9)
    step = np.linalg.solve(curvature, slope)
    while loss(found - step) > loss(found) and np.max(np.abs(step)) > 1e-12:
      step = step / 2  # Newton's steps may be too long, far from the minimum.
    found = found - step
    if np.max(np.abs(step)) < 1e-9:
      break
  logits = rows @ found
  at = weight @ (np.logaddexp(0, logits) - right * logits) / np.sum(weight)
  return Calibration(mean, scale, found[:-1], float(found[-1]), float(at))


def _sigmoid(x):
  return np.exp(-np.logaddexp(0, -x))
