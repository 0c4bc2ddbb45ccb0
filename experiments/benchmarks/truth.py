"""Greedy k-center in float64 NumPy, and by what other picks fall short."""

import numpy as np

_CHUNK = 10_000  # rows


def greedy(rows: np.ndarray, first: int, k: int) -> np.ndarray:
  """The textbook's picks, one product in float64 for each.

  Args:
    rows: `[n, d]`.
    first: the pick to start with.
    k: picks in all.

  Returns:
    `[k]` int indices.
  """
  rows = rows.astype(np.float64)
  squares = np.einsum('nd,nd->n', rows, rows)
  picks, nearest = [first], np.full(len(rows), np.inf)
  while len(picks) < k:
    last = picks[-1]
    nearest = np.minimum(
        nearest, squares + squares[last] - 2 * (rows @ rows[last]))
    nearest[last] = -np.inf
    picks.append(int(nearest.argmax()))
  return np.array(picks)


def covering_radius(rows: np.ndarray, centres: np.ndarray) -> float:
  """The largest distance of any row to the nearest centre.

  Args:
    rows: `[n, d]`.
    centres: `[m]` int, which rows are centres.
  """
  chosen = rows[centres].astype(np.float64)
  squares = np.einsum('md,md->m', chosen, chosen)
  largest = 0.0
  for start in range(0, len(rows), _CHUNK):
    part = rows[start:start + _CHUNK].astype(np.float64)
    distances = squares - 2 * (part @ chosen.T)
    nearest = distances.min(axis=1) + np.einsum('nd,nd->n', part, part)
    largest = max(largest, nearest.max())
  return float(np.sqrt(largest))


def compared(picks: np.ndarray, expected: np.ndarray) -> str:
  """`yes` if they are the same, or `from pick i` where they part."""
  differ = np.flatnonzero(np.asarray(picks) != np.asarray(expected))
  return f'from pick {differ[0]}' if len(differ) else 'yes'
