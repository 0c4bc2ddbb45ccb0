r"""Probabilities from features, learnt from a few cases that are known.

Logistic regression on features of which one may bend, with the targets of
Platt: of cases of which all are right it does not follow that whatever looks
like them is right, too. Cases that a strategy chose are no random sample of
those that remain: they count by how much more common their like is there.
"""

from typing import NamedTuple

import numpy as np

_RIDGE = 0.3
_BENDS = (-0.5, 0.5)  # standard deviations from the mean
_MOST_RATIO = 49.0
_ITERATIONS = 100


class Calibration(NamedTuple):
  """A logistic regression.

  Attributes:
    mean: `[f]` float64, of the features.
    scale: `[f]`, by which they are divided.
    bent: the feature of which the logit is a piecewise linear function.
    slopes: `[f + 2]`, of the features and of what bends.
    intercept: of the logit.
    loss: mean log loss on the known cases.
    logits: `[n]`, of the known cases, rising.
    most: `[n]`, no probability from that logit on is above it (`_most`).
  """

  mean: np.ndarray
  scale: np.ndarray
  bent: int
  slopes: np.ndarray
  intercept: float
  loss: float
  logits: np.ndarray
  most: np.ndarray

  def __call__(self, features: np.ndarray) -> np.ndarray:
    """`[n]` probabilities of `[n, f]` features."""
    rows = _rows(features, self.mean, self.scale, self.bent)
    logits = rows @ self.slopes + self.intercept
    place = np.searchsorted(self.logits, logits, side='right') - 1
    return np.minimum(_sigmoid(logits), self.most[np.maximum(place, 0)])


def fit(
    features: np.ndarray,
    right: np.ndarray,
    weight: np.ndarray,
    bent: int,
) -> Calibration:
  r"""Learns from known cases.

  .. math::
    \min_{b, c} \sum_i w_i \, \ell(t_i, b \cdot z_i + c) + \frac{r}{2} |b|^2

  with the features z scaled to a standard deviation of 1, and the targets
  :math:`(n_+ + 1) / (n_+ + 2)` of the :math:`n_+` right ones and
  :math:`1 / (n_- + 2)` of the others. A regression on few cases goes on rising
  beyond all of them; so no probability is above what the cases of at least some
  logit below it bear out (`_most`).

  Args:
    features: `[n, f]` float64, n at least 1.
    right: `[n]` bool.
    weight: `[n]` float64, above 0.
    bent: the feature that bends.

  References:
    Platt, Probabilistic Outputs for Support Vector Machines, 1999.
  """
  mean, scale = _scales(features, weight)
  rows = np.c_[_rows(features, mean, scale, bent), np.ones(len(right))]
  positive, negative = weight @ right, weight @ ~right
  targets = np.where(
      right, (positive + 1) / (positive + 2), 1 / (negative + 2))
  ridge = np.full(rows.shape[1], _RIDGE)
  ridge[-1] = 0.0
  found = _minimum(rows, targets, weight, ridge)
  logits = rows @ found
  loss = weight @ (np.logaddexp(0, logits) - right * logits) / np.sum(weight)
  order = np.argsort(logits, kind='stable')
  return Calibration(
      mean, scale, bent, found[:-1], float(found[-1]), float(loss),
      logits[order], _most(right[order], weight[order]))


def _most(right: np.ndarray, weight: np.ndarray) -> np.ndarray:
  r"""The largest rate that cases of rising logits bear out.

  .. math::
    m_i = \max_{j \le i} \frac{n_j q_j + 1}{n_j + 2},

  with the weighted share :math:`q_j` of right ones among case j and all of
  higher logits, and their effective number
  :math:`n_j = (\sum w)^2 / \sum w^2`.
  """
  total = np.cumsum(weight[::-1])[::-1]
  share = np.cumsum((weight * right)[::-1])[::-1] / total
  number = total**2 / np.cumsum((weight**2)[::-1])[::-1]
  return np.maximum.accumulate((number * share + 1) / (number + 2))


def density_ratio(
    features: np.ndarray, weight: np.ndarray, rest: np.ndarray
) -> np.ndarray:
  """How much more common the like of each case is among the rest.

  Args:
    features: `[n, f]` float64, of the known cases.
    weight: `[n]` float64, their weights.
    rest: `[m, f]`, of those that remain.

  Returns:
    `[n]` float64, of weighted mean 1; a classifier's odds, within bounds.

  References:
    Bickel, Brückner and Scheffer, Discriminative Learning Under Covariate
    Shift, 2009.
  """
  both = np.concatenate([features, rest])
  weights = np.r_[weight, np.full(len(rest), np.sum(weight) / len(rest))]
  mean, scale = _scales(both, weights)
  rows = np.c_[(both - mean) / scale, np.ones(len(both))]
  ridge = np.full(rows.shape[1], _RIDGE)
  ridge[-1] = 0.0
  is_rest = np.arange(len(both)) >= len(features)
  found = _minimum(rows, is_rest.astype(float), weights, ridge)
  ratio = np.exp(np.clip(
      rows[:len(features)] @ found, -np.log(_MOST_RATIO), np.log(_MOST_RATIO)))
  return ratio / np.average(ratio, weights=weight)


def _scales(features, weight):
  mean = np.average(features, axis=0, weights=weight)
  scale = np.sqrt(np.average((features - mean)**2, axis=0, weights=weight))
  return mean, np.where(scale > 1e-9, scale, 1.0)


def _rows(features, mean, scale, bent):
  rows = (features - mean) / scale
  return np.c_[rows, *(np.maximum(rows[:, bent] - at, 0) for at in _BENDS)]


def _minimum(rows, targets, weight, ridge):
  """Newton's method on the penalised log loss, with steps that go down."""
  def loss(found):
    logits = rows @ found
    return (weight @ (np.logaddexp(0, logits) - targets * logits)
            + 0.5 * ridge @ found**2)

  found = np.zeros(rows.shape[1])
  for _ in range(_ITERATIONS):
    p = _sigmoid(rows @ found)
    slope = rows.T @ (weight * (p - targets)) + ridge * found
    curvature = (rows * (weight * p * (1 - p))[:, None]).T @ rows
    step = np.linalg.solve(curvature + np.diag(ridge + 1e-9), slope)
    while loss(found - step) > loss(found) and np.max(np.abs(step)) > 1e-9:
      step = step / 2
    found = found - step
    if np.max(np.abs(step)) < 1e-8:
      break
  return found


def _sigmoid(x):
  return np.exp(-np.logaddexp(0, -x))
