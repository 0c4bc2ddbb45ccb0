"""Annotations saved against a baseline, over several seeds."""

from typing import NamedTuple

import numpy as np

from mmal_jax.analysis import curves as curves_lib


class Saving(NamedTuple):
  """How many annotations a strategy needs where the baseline needs them all.

  Attributes:
    target: the baseline's final score, mean over seeds.
    needed: annotations at which the strategy's mean curve reaches `target`;
      NaN if it never does.
    percent: 100 * (1 - needed / what the baseline's own mean curve needs); NaN
      if the strategy never reaches the target, or if the baseline ends no
      higher than it began, which leaves nothing to be saved.
    per_seed: `[s]` the same percentage for each seed alone, its curve against
      the baseline's curve and final score of that seed.
    reached: `[s]` bool, whether the seed's curve reaches that score.
  """

  target: float
  needed: float
  percent: float
  per_seed: np.ndarray
  reached: np.ndarray


def saving(
    annotations: np.ndarray, scores: np.ndarray, baseline: np.ndarray
) -> Saving:
  """Compares a strategy with a baseline, seed by seed.

  Args:
    annotations: `[t]` rising numbers.
    scores: `[s, t]` the strategy's scores, one row a seed.
    baseline: `[s, t]` the baseline's, of the same seeds.

  Returns:
    The saving.
  """

  def compare(curve, baseline_curve):
    target = baseline_curve[-1]
    needed = curves_lib.annotations_to_reach(annotations, curve, target)
    # A curve may fall at its end: then the baseline, too, had its final score
    # for less than the whole budget.
    full = curves_lib.annotations_to_reach(annotations, baseline_curve, target)
    percent = 100 * (1 - needed / full) if full else float('nan')
    return float(target), needed, percent

  by_seed = [compare(*rows) for rows in zip(scores, baseline)]
  return Saving(
      *compare(np.mean(scores, 0), np.mean(baseline, 0)),
      per_seed=np.array([percent for *_, percent in by_seed]),
      reached=np.array([not np.isnan(needed) for _, needed, _ in by_seed]))
