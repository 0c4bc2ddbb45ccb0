"""What a curve of scores is worth."""

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


def mean_score(annotations: np.ndarray, scores: np.ndarray) -> np.ndarray:
  """Area under each curve over the annotations, divided by their range.

  Between two measured points the curve is taken for a straight line.

  >>> float(mean_score(np.array([0, 100, 200]), np.array([5, 10, 20])))
  11.25

  Args:
    annotations: `[t]` rising numbers, at least two.
    scores: `[..., t]` the score at each.

  Returns:
    `[...]` float64, in the scores' own unit.

  Raises:
    ValueError: if there is but one point.
  """
  if len(annotations) < 2:
    raise ValueError(f'a curve of {len(annotations)} point(s) has no area.')
  area = np.trapezoid(np.asarray(scores, float), annotations, axis=-1)
  return area / (annotations[-1] - annotations[0])


def some_points(points: np.ndarray, most: int) -> np.ndarray:
  """Which points of a curve to show where all would be too many.

  >>> some_points(np.array([0, 1, 2, 5, 10]), 3)
  array([0, 3, 4])

  Args:
    points: `[t]` rising numbers.
    most: how many.

  Returns:
    `[s]` int indices, s at most `most` (or all), the first and the last among
    them, in between as evenly spaced as may be.
  """
  if len(points) <= most:
    return np.arange(len(points))
  return np.unique(np.searchsorted(
      points, np.linspace(points[0], points[-1], most)))


def on_grid(
    grid: np.ndarray, annotations: np.ndarray, scores: np.ndarray
) -> np.ndarray:
  """Reads a curve off at other numbers of annotations.

  Rounds without an answer leave several scores at one number; the last counts.

  Args:
    grid: `[g]` numbers within those measured.
    annotations: `[t]` numbers that never fall.
    scores: `[t]` the score at each.

  Returns:
    `[g]` float64, on the straight lines between the points.

  Raises:
    ValueError: if the grid reaches beyond the curve.
  """
  annotations, scores = np.asarray(annotations), np.asarray(scores, float)
  if np.min(grid) < annotations[0] or np.max(grid) > annotations[-1]:
    raise ValueError(
        f'the grid from {np.min(grid)} to {np.max(grid)} is not within the '
        f'curve from {annotations[0]} to {annotations[-1]}.')
  last = np.append(annotations[1:] != annotations[:-1], True)
  return np.interp(grid, annotations[last], scores[last])
