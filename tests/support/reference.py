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


def distance_to(pool, centre, metric):
  """`[n]`, of rows of any norm; equal rows get equal distances, to the bit."""
  x, y = np.asarray(pool, np.float64), np.asarray(centre, np.float64)[None]
  if metric == 'sqeuclidean':
    return np.square(x - y).sum(axis=1)
  if metric == 'inner':
    return -(x * y).sum(axis=1)
  x, y = (z / np.sqrt(np.square(z).sum(1, keepdims=True)) for z in (x, y))
  # 1 - x.y, but 0 for equal rows and not some 1e-16.
  return 0.5 * np.square(x - y).sum(axis=1)


def nearest(pool, centres, metric):
  distances = np.full(len(pool), np.inf)
  for centre in centres:
    distances = np.minimum(distances, distance_to(pool, centre, metric))
  return distances


def k_center(pool, remaining, aligned, k, metric):
  """The textbook greedy, ties to the lowest index."""
  near, left, picks = nearest(pool, aligned, metric), remaining.copy(), []
  for _ in range(min(k, left.sum())):
    picks.append(int(np.argmax(np.where(left, near, -np.inf))))
    left[picks[-1]] = False
    near = np.minimum(near, distance_to(pool, pool[picks[-1]], metric))
  return picks


def regrets(pool, remaining, aligned, picks, metric):
  """How much nearer each pick was than the farthest then, and how far that."""
  near, left = nearest(pool, aligned, metric), remaining.copy()
  regret, largest = [], []
  for pick in picks:
    assert left[pick], f'{pick} was not there to be picked'
    largest.append(near[left].max())
    regret.append(largest[-1] - near[pick] if near[pick] < np.inf else 0.0)
    left[pick] = False
    near = np.minimum(near, distance_to(pool, pool[pick], metric))
  return np.array(regret), np.array(largest)


def margins_by(metric, candidates, pool, remaining):
  """As `margins`, of rows of any norm."""
  distances = np.array([
      distance_to(pool[remaining], row, metric) for row in candidates])
  if distances.shape[1] < 2:
    return np.full(len(candidates), np.inf)
  distances = np.sort(distances, axis=1)
  return distances[:, 1] - distances[:, 0]


def logits(rows, pool, remaining, metric, scale, bias=0.0):
  """`[c, n]`: the scale times the similarity, plus the bias."""
  at_zero = 1.0 if metric == 'cosine' else 0.0
  return np.array([
      scale * (at_zero - distance_to(pool[remaining], row, metric)) + bias
      for row in rows])


def chances(logits_):
  """Softmax over all matches."""
  powers = np.exp(logits_ - logits_.max(axis=1, keepdims=True))
  return powers / powers.sum(axis=1, keepdims=True)


def entropy(chances_):
  logs = np.log(np.where(chances_ > 0, chances_, 1.0))
  return -(chances_ * logs).sum(axis=1)
