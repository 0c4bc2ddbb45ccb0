"""Is a difference more than luck? Intervals and paired tests over seeds."""

import math

import numpy as np

from mmal_jax import extras

_stats = extras.Lazy('scipy.stats', "for Student's t")

# Beyond, the sign flips of one half would no longer fit the memory.
MOST_SEEDS = 40


def t_tail(t: float, degrees: int) -> float:
  """P(|T| > t) of Student's t.

  >>> round(t_tail(1.0, 1), 12)
  0.5

  Args:
    t: at least 0; may be infinite.
    degrees: of freedom, at least 1.

  Raises:
    ValueError: if `t` is below 0 or NaN, or `degrees` below 1.
  """
  if not t >= 0:
    raise ValueError(f't={t!r} must be at least 0.')
  _check_degrees(degrees)
  return float(2 * _stats.t.sf(t, degrees))


def t_quantile(confidence: float, degrees: int) -> float:
  """The t with P(|T| <= t) = `confidence`.

  >>> round(t_quantile(0.95, 4), 3)
  2.776

  Args:
    confidence: within (0, 1).
    degrees: of freedom, at least 1.

  Raises:
    ValueError: if either is out of range.
  """
  if not 0 < confidence < 1:
    raise ValueError(f'confidence={confidence!r} must lie within (0, 1).')
  _check_degrees(degrees)
  return float(_stats.t.ppf((1 + confidence) / 2, degrees))


def half_width(values: np.ndarray, confidence: float = 0.95) -> np.ndarray:
  """Half the confidence interval of a mean: t s / sqrt(n).

  Args:
    values: `[s, ...]`, a row a seed.
    confidence: within (0, 1).

  Returns:
    `[...]` float64; NaN where there is but one seed.
  """
  values = np.asarray(values, float)
  n = len(values)
  if n < 2:
    return np.full(values.shape[1:], np.nan)
  return (t_quantile(confidence, n - 1) * np.std(values, axis=0, ddof=1)
          / math.sqrt(n))


def paired_t(differences: np.ndarray) -> float:
  """Two-sided p-value of the paired t-test: is the mean difference 0?

  Args:
    differences: `[s]`, seed by seed.

  Returns:
    The p-value; NaN of a single seed. Of differences that are all the same it
    is 0, or 1 if they are 0.

  Raises:
    ValueError: if there is no difference, or they are not `[s]` finite numbers.
  """
  differences = _checked(differences)
  n = len(differences)
  if n < 2:
    return float('nan')
  mean = abs(float(np.mean(differences)))
  error = float(np.std(differences, ddof=1)) / math.sqrt(n)
  # Of equal numbers NumPy's mean may be off in the last digit.
  if np.ptp(differences) == 0:
    return 0.0 if mean else 1.0
  return t_tail(mean / error, n - 1)


def sign_flips(differences: np.ndarray) -> float:
  """Exact two-sided p-value of the sign-flip permutation test.

  If the strategy made no difference, each seed's difference could as well have
  had the other sign. The p-value is the share of the 2^s ways to set the signs
  whose sum is at least as far from 0 as the one seen. They are counted without
  being written out: the sums of one half of the seeds are looked up among the
  sorted sums of the other, O(s 2^(s/2)).

  With s seeds it is never below 2 / 2^s.

  Args:
    differences: `[s]`, seed by seed; s is at most 40.

  Returns:
    The p-value.

  Raises:
    ValueError: as `paired_t`, and if there are more than 40.
  """
  differences = _checked(differences)
  n = len(differences)
  if n > MOST_SEEDS:
    raise ValueError(f'{n} differences are beyond the {MOST_SEEDS} whose sign '
                     'flips can be counted.')
  # What is equal but for rounding counts as equal.
  tolerance = 1e-9 * float(np.sum(np.abs(differences)))
  seen = abs(float(np.sum(differences))) - tolerance
  first = _signed_sums(differences[:n // 2])
  second = np.sort(_signed_sums(differences[n // 2:]))
  if seen <= 0:  # No sum is nearer to 0.
    return 1.0
  above = len(second) - np.searchsorted(second, seen - first, 'left')
  below = np.searchsorted(second, -seen - first, 'right')
  return int(np.sum(above) + np.sum(below)) / 2**n


def _signed_sums(values: np.ndarray) -> np.ndarray:
  """All `[2^k]` sums of k numbers with any signs."""
  sums = np.zeros(1)
  for value in values:
    sums = np.concatenate([sums + value, sums - value])
  return sums


def _checked(differences) -> np.ndarray:
  differences = np.asarray(differences, float)
  if differences.ndim != 1 or not len(differences) or not np.isfinite(
      differences).all():
    raise ValueError('differences must be at least one finite number a seed, '
                     f'not {differences!r}.')
  return differences


def _check_degrees(degrees: int) -> None:
  if degrees < 1:
    raise ValueError(f'degrees={degrees!r} must be at least 1.')
