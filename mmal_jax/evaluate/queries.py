"""What a strategy asks for: dense or rare items, confused or merely doubled."""

import numpy as np

METRICS = ('density', 'margin', 'twins', 'found')
_K = 10


def describe(
    pool: np.ndarray,
    other_pool: np.ndarray,
    counterparts: np.ndarray,
    other_ids: np.ndarray,
    queried: np.ndarray,
) -> dict[str, float]:
  """Compares queried items with the whole pool they were taken from.

  It knows the true pairing and holds arrays of pool x pool: it is for the
  analysis of a finished run, not for a learner.

  Args:
    pool: `[n, d]` embeddings of the queried modality, rows of norm 1.
    other_pool: `[m, d]` embeddings of the other.
    counterparts: `[n]` int, the row of `other_pool` that each item belongs to.
    other_ids: `[m]` int; equal items of the other pool have equal numbers.
    queried: `[q]` int rows of `pool`.

  Returns:
    By name, with 50 for what is usual in the pool:

    * `density`: mean percentile, within the pool, of an item's mean similarity
      to its 10 nearest in its own pool.
    * `margin`: mean percentile of highest minus second highest similarity to
      the other pool.
    * `twins`: mean percentile of the similarity of an item's two best matches
      with each other.

    And `found`, the percentage of queried items that have their counterpart,
    or its equal, among their 10 best matches, minus the percentage of all.
  """
  own = pool @ pool.T
  np.fill_diagonal(own, -np.inf)
  k = min(_K, len(pool) - 1)
  density = -np.partition(-own, k - 1, axis=1)[:, :k].mean(axis=1)
  similarity = pool @ other_pool.T
  best = np.argsort(-similarity, axis=1, kind='stable')[:, :_K]
  first, second = best[:, 0], best[:, 1]
  rows = np.arange(len(pool))
  margin = similarity[rows, first] - similarity[rows, second]
  twins = np.sum(other_pool[first] * other_pool[second], axis=1)
  found = (other_ids[best] == other_ids[counterparts][:, None]).any(axis=1)
  return {
      'density': percentile(density, queried),
      'margin': percentile(margin, queried),
      'twins': percentile(twins, queried),
      'found': 100 * float(found[queried].mean() - found.mean()),
  }


def percentile(values: np.ndarray, rows: np.ndarray) -> float:
  """Mean percentile of some values among all; ties count half.

  >>> percentile(np.array([5., 1., 3., 2.]), np.array([0]))
  87.5

  Args:
    values: `[n]` floats.
    rows: `[r]` int, which of them.

  Returns:
    Within [0, 100]; 50 if `rows` are a fair sample of all.
  """
  ordered = np.sort(values)
  below = np.searchsorted(ordered, values[rows], side='left')
  up_to = np.searchsorted(ordered, values[rows], side='right')
  return 100 * float(np.mean((below + up_to) / 2)) / len(values)
