"""Divides rows into pool and test so that nothing lies on both sides."""

from collections.abc import Hashable, Sequence

import numpy as np


def hold_out(
    keys: Sequence[Sequence[Hashable]], fraction: float, seed: int
) -> np.ndarray:
  """Draws a test set of whole clusters of rows.

  Rows that share a key (an image with five captions, a Winoground group) are
  one cluster, and so are the rows joined through a chain of such rows: were
  they parted, the test would hold what the pool has shown.

  >>> hold_out([('a.png',), ('b.png',), ('a.png',)], 0.5, seed=0)
  array([ True, False,  True])

  Args:
    keys: for each of n rows, the keys it has.
    fraction: wanted share of test rows, within (0, 1). The test set grows
      cluster by cluster, in random order, while it is short of that share.
    seed: of the order.

  Returns:
    `[n]` bool, True for test rows.

  Raises:
    ValueError: if `fraction` is out of range, or pool or test would be empty.
  """
  if not 0 < fraction < 1:
    raise ValueError(
        f'test_fraction={fraction!r} must lie strictly between 0 and 1.')
  clusters = _clusters(keys)
  order = np.random.default_rng(seed).permutation(clusters.max(initial=-1) + 1)
  rank = np.argsort(order)[clusters]  # [n] the turn in which a row is taken
  sizes = np.bincount(clusters, minlength=len(order))[order]
  taken_before = np.cumsum(sizes) - sizes
  turns = np.count_nonzero(taken_before < round(fraction * len(keys)))
  is_test = rank < turns
  if not is_test.any() or is_test.all():
    raise ValueError(
        f'test_fraction={fraction!r} of {len(keys)} rows in {len(order)} '
        'independent clusters leaves the pool or the test set empty.')
  return is_test


def _clusters(keys: Sequence[Sequence[Hashable]]) -> np.ndarray:
  """Numbers the connected components of rows joined by shared keys."""
  parent = list(range(len(keys)))

  def root(i):
    while parent[i] != i:
      parent[i] = parent[parent[i]]
      i = parent[i]
    return i

  first: dict[Hashable, int] = {}
  for i, row_keys in enumerate(keys):
    for key in row_keys:
      a, b = root(i), root(first.setdefault(key, i))
      parent[max(a, b)] = min(a, b)
  roots = np.array([root(i) for i in range(len(keys))], np.int64)
  return np.unique(roots, return_inverse=True)[1]
