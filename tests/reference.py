"""The acquisition stages in plain NumPy float64, as the paper states them."""

import numpy as np


def distances(x, y):
  return 1.0 - np.asarray(x, np.float64) @ np.asarray(y, np.float64).T


def coverage_gap(pool, remaining, aligned):
  nearest = distances(pool[remaining], aligned).min(axis=1)
  return nearest.max()


def coreset(pool, remaining, aligned, k):
  centres, picks, left = list(aligned), [], list(np.flatnonzero(remaining))
  while len(picks) < k and left:
    gaps = [distances(pool[i], np.array(centres)).min() if centres else np.inf
            for i in left]
    picks.append(left.pop(int(np.argmax(gaps))))
    centres.append(pool[picks[-1]])
  return picks


def margins(candidates, pool, remaining):
  similarity = np.sort(1.0 - distances(candidates, pool[remaining]), axis=1)
  if similarity.shape[1] < 2:
    return np.full(len(candidates), np.inf)
  return similarity[:, -1] - similarity[:, -2]


def uncertain(candidates, view_pool, other_pool, other_remaining, k):
  scores = margins(view_pool[candidates], other_pool, other_remaining)
  return [candidates[i] for i in np.argsort(scores, kind='stable')[:k]]
