"""What a strategy asks for: dense or rare items, confused or merely doubled."""

import numpy as np

_K = 10


def item_statistics(
    pool: np.ndarray,
    other_pool: np.ndarray,
    counterparts: np.ndarray,
    other_ids: np.ndarray,
) -> dict[str, np.ndarray]:
  """What may make an item worth asking about, and whether it is known already.

  It knows the true pairing and holds arrays of pool x pool: it is for the
  analysis of a finished run, not for a learner.

  Args:
    pool: `[n, d]` embeddings of one modality, rows of norm 1.
    other_pool: `[m, d]` embeddings of the other.
    counterparts: `[n]` int, the row of `other_pool` that each item belongs to.
    other_ids: `[m]` int; equal items of the other pool have equal numbers.

  Returns:
    By name, `[n]` arrays:

    * `density`: mean similarity to the 10 nearest in its own pool.
    * `margin`: highest minus second highest similarity to the other pool.
    * `twins`: similarity of the two best matches with each other.
    * `found`: bool, whether the counterpart or its equal is among the 10 best
      matches.

  Raises:
    ValueError: if a pool holds fewer than two items.
  """
  if min(len(pool), len(other_pool)) < 2:
    raise ValueError(f'pools of {len(pool)} and {len(other_pool)} items: two '
                     'are needed to compare.')
  own = pool @ pool.T
  np.fill_diagonal(own, -np.inf)
  k = min(_K, len(pool) - 1)
  density = -np.partition(-own, k - 1, axis=1)[:, :k].mean(axis=1)
  similarity = pool @ other_pool.T
  k = min(_K, len(other_pool))
  best = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
  order = np.argsort(-np.take_along_axis(similarity, best, 1), axis=1)
  best = np.take_along_axis(best, order, 1)
  first, second = best[:, 0], best[:, 1]
  rows = np.arange(len(pool))
  return {
      'density': density,
      'margin': similarity[rows, first] - similarity[rows, second],
      'twins': np.sum(other_pool[first] * other_pool[second], axis=1),
      'found': (other_ids[best] == other_ids[counterparts][:, None]).any(1),
  }


def percentile(values: np.ndarray, rows: np.ndarray) -> float:
  """Mean percentile of some values among all; ties count half.

  >>> percentile(np.array([5., 1., 3., 2.]), np.array([0]))
  87.5

  Args:
    values: `[n]` floats.
    rows: `[r]` int, which of them.

  Returns:
    Within [0, 100]; about 50 if `rows` are a fair sample of all.
  """
  ordered = np.sort(values)
  below = np.searchsorted(ordered, values[rows], side='left')
  up_to = np.searchsorted(ordered, values[rows], side='right')
  return 100 * float(np.mean((below + up_to) / 2)) / len(values)
