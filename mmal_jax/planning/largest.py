"""The largest number that fits, by few looks at what each needs."""

from collections.abc import Callable
import math


def largest(
    need: Callable[[int], float], limit: float, step: int, guess: int
) -> int:
  """The largest multiple of `step` of which no more than the limit is needed.

  Looks where a straight line through what is known meets the limit; and, where
  that is of no use, halfway. If all lies on a line, four looks are enough.

  >>> largest(lambda n: 3.0 * n + 7, limit=1000, step=10, guess=500)
  330

  Args:
    need: grows with the number, or remains the same; may be infinite.
    limit: of what is needed.
    step: of the numbers.
    guess: number to begin with.

  Returns:
    The number; 0 where not even one step fits.
  """
  known = {}

  def fits(steps):
    known[steps] = need(steps * step)
    return known[steps] <= limit

  low, high = 0, None  # What fits, and what does not.
  steps = max(1, guess // step)
  while True:
    if fits(steps):
      low = steps
    else:
      high = steps
    if high is not None and high - low <= 1:
      return low * step
    at = _meets(known, limit)
    if high is None:
      steps = max(low + 1, at if at is not None else 2 * low)
    elif at is None:
      steps = (low + high) // 2
    else:
      steps = min(max(at, low + 1), high - 1)


def _meets(known, limit) -> int | None:
  """Where the line through the two points next to the limit meets it.

  The first point's line comes from nothing at 0.
  """
  points = sorted((abs(value - limit), steps, value)
                  for steps, value in known.items() if math.isfinite(value))
  if not points:
    return None
  (_, a, at_a), (_, b, at_b) = (points + [(limit, 0, 0.0)])[:2]
  slope = (at_b - at_a) / (b - a)
  return math.floor(a + (limit - at_a) / slope) if slope > 0 else None
