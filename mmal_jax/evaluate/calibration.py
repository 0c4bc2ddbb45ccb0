"""Whether stated probabilities are true, and what they are good for."""

from typing import NamedTuple

import numpy as np


class Bins(NamedTuple):
  """Cases by their stated probability; empty bins are left out.

  Attributes:
    least: `[b]` float64, the lower bound of each bin.
    count: `[b]` int, cases in it.
    stated: `[b]`, their mean stated probability.
    true: `[b]`, the share of them that is right.
  """

  least: np.ndarray
  count: np.ndarray
  stated: np.ndarray
  true: np.ndarray


def bins(stated: np.ndarray, right: np.ndarray, number: int = 10) -> Bins:
  """Sorts cases into bins of equal width.

  Args:
    stated: `[n]` probabilities.
    right: `[n]` bool.
    number: of bins.
  """
  which = np.minimum((stated * number).astype(int), number - 1)
  count = np.bincount(which, minlength=number)
  there = np.flatnonzero(count)
  means = [np.bincount(which, x, number)[there] / count[there]
           for x in (stated, right)]
  return Bins(there / number, count[there], *means)


def expected_error(found: Bins) -> float:
  r"""The expected calibration error.

  .. math::
    \sum_b \frac{n_b}{n} \, | \bar p_b - \bar y_b |

  >>> round(expected_error(bins(np.array([0.9, 0.9, 0.1, 0.2]),
  ...                           np.array([True, False, False, False]))), 3)
  0.275

  Returns:
    The error; NaN of no cases.

  References:
    Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian
    Binning, 2015; Guo et al., On Calibration of Modern Neural Networks, 2017.
  """
  total = np.sum(found.count)
  if not total:
    return float('nan')
  return float(
      found.count @ np.abs(found.stated - found.true) / total)


def had_at_precision(
    stated: np.ndarray, right: np.ndarray, precision: float
) -> int:
  """How many right cases are had if the likeliest are taken.

  As many are taken as leave that share of them right; of equal probability
  either all or none.

  >>> had_at_precision(np.array([0.9, 0.8, 0.7]),
  ...                  np.array([True, True, False]), 0.9)
  2

  Args:
    stated: `[n]` probabilities.
    right: `[n]` bool.
    precision: share, within (0, 1].

  Returns:
    The number of right ones among those taken; 0 if no choice is so precise.
  """
  order = np.argsort(-stated, kind='stable')
  had = np.cumsum(right[order])
  taken = np.arange(1, len(order) + 1)
  # Only where the next one has another probability may the choice end.
  ends = np.r_[np.diff(stated[order]) != 0, True][:len(order)]
  good = np.flatnonzero((had >= precision * taken) & ends)
  return int(had[good[-1]]) if len(good) else 0
