"""What a curve of scores is worth: annotations needed to reach a score."""

import numpy as np


def annotations_to_reach(
    annotations: np.ndarray, scores: np.ndarray, target: float
) -> float:
  """Fewest annotations at which a curve is at `target`.

  Between two measured points the curve is taken for a straight line.

  >>> annotations_to_reach(np.array([0, 100, 200]), np.array([5, 10, 20]), 15)
  150.0

  Args:
    annotations: `[t]` rising numbers.
    scores: `[t]` the score at each.
    target: the score wanted.

  Returns:
    The number, or NaN if the curve never gets there.
  """
  reached = np.flatnonzero(np.asarray(scores) >= target)
  if not reached.size:
    return float('nan')
  i = reached[0]
  if i == 0:
    return float(annotations[0])
  rise = (target - scores[i - 1]) / (scores[i] - scores[i - 1])
  step = annotations[i] - annotations[i - 1]
  return float(annotations[i - 1] + rise * step)
