"""A pool in the plane: which of its items to show, and where."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmal_jax import extras

PCA, UMAP = 'pca', 'umap'
_PASSES = 12  # of the power iteration
_MORE = 4  # directions besides the two, for it to converge


def some_items(size: int, kept: Sequence[int], most: int) -> np.ndarray:
  """Items to show of a pool that may be large.

  >>> some_items(5, [4], 9).tolist(), len(some_items(100, [7, 8], 10))
  ([0, 1, 2, 3, 4], 10)

  Args:
    size: of the pool.
    kept: items that are shown whatever the pool's size.
    most: how many are shown, unless many are kept: others are at least half of
      it, as what was asked is seen among them.

  Returns:
    `[k]` int, ascending: the kept ones and others, drawn alike in every call.
  """
  if size <= most:
    return np.arange(size)
  kept = np.unique(np.asarray(kept, int))
  drawn = np.random.default_rng(0).permutation(size)
  others = drawn[~np.isin(drawn, kept)][
      :max(most - len(kept), most // 2)]
  return np.sort(np.concatenate([kept, others]))


def pca(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The two directions in which rows differ most, by block power iteration.

  The time is linear in rows and columns, and the result always the same.

  Args:
    rows: `[n, d]` finite numbers, n at least 1.

  Returns:
    `[n, 2]` float64 coordinates, and `[2]` the share of the variance along
    each. Of rows that are all alike everything is 0.
  """
  rows = np.asarray(rows, float)
  centred = rows - rows.mean(0)
  total = float(np.sum(centred ** 2))
  places, shares = np.zeros((len(rows), 2)), np.zeros(2)
  # Rounding alone leaves a little of rows that are all alike.
  if total <= 1e-20 * max(float(np.sum(rows ** 2)), 1e-300):
    return places, shares
  width = min(2 + _MORE, *rows.shape)
  basis = np.random.default_rng(0).normal(size=(rows.shape[1], width))
  for _ in range(_PASSES):
    basis = np.linalg.qr(centred.T @ (centred @ basis))[0]
  u, s, _ = np.linalg.svd(centred @ basis, full_matrices=False)
  k = min(2, len(s))
  found = u[:, :k] * s[:k]
  # Else the signs would depend on the library.
  largest = found[np.abs(found).argmax(0), np.arange(k)]
  places[:, :k] = found * np.where(largest < 0, -1, 1)
  shares[:k] = s[:k] ** 2 / total
  return places, shares


def load_umap() -> Any:
  """The package umap-learn.

  Raises:
    ImportError: if it is missing, naming its extra.
  """
  return extras.load('umap', 'to make a map of the pool by UMAP')


def umap(rows: np.ndarray) -> np.ndarray:
  """A map on which near items stay near, by the package umap-learn.

  Args:
    rows: `[n, d]` finite numbers.

  Returns:
    `[n, 2]` float64 coordinates. Fewer than four rows are placed by `pca`.

  Raises:
    ImportError: as `load_umap`.
  """
  if len(rows) < 4:
    return pca(rows)[0]
  made = load_umap().UMAP(
      n_components=2, n_neighbors=min(15, len(rows) - 1), random_state=0,
      n_jobs=1, init='random' if len(rows) < 10 else 'spectral')
  return np.asarray(made.fit_transform(np.asarray(rows, np.float32)), float)
