"""Everybody's likeliest counterparts by a plan, and what speaks for the first.

Two items that are equal cannot be distinguished, and a counterpart that equals
the true one is right. So what the plan gives to equal items counts together.
"""

from typing import NamedTuple

import numpy as np

from mmal_jax.matching import plan as plan_lib

_LEAST = 1e-6  # of a probability and its complement, for their logarithms
_MOST_MARGIN = 10.0
FEATURES = ('logit of the plan', 'similarity', 'margin', 'is mutual')
SIMILARITY = FEATURES.index('similarity')


class Candidates(NamedTuple):
  """Of the items of one modality among those of another.

  Attributes:
    items: `[q]` int rows of the items, rising.
    partners: `[q, k]` int rows of the other pool, likeliest first; -1 where
      there are fewer.
    plan: `[q, k]` float64, what the plan gives to the partner and its equals.
    features: `[q, f]` float64, of the first partner (`FEATURES`). They are the
      same for a pair from either side, but for equal items.
    mutual: `[q]` bool, whether the item is the first of its first partner.
  """

  items: np.ndarray
  partners: np.ndarray
  plan: np.ndarray
  features: np.ndarray
  mutual: np.ndarray


def both_ways(
    found: plan_lib.Edges,
    log_plan: np.ndarray,
    x_ids: np.ndarray,
    y_ids: np.ndarray,
    k: int,
) -> tuple[Candidates, Candidates]:
  """The candidates of x among y, and those of y among x.

  Args:
    found: the pairs that come into question.
    log_plan: `[e]` float64, of each.
    x_ids: `[n]` int; equal items have equal numbers.
    y_ids: `[m]` int.
    k: how many for each.
  """
  ways = [
      _Way(found.x, found.y, log_plan, y_ids, k),
      _Way(found.y, found.x, log_plan, x_ids, k)]
  return tuple(
      _candidates(found, log_plan, way, back, ids)
      for way, back, ids in zip(ways, ways[::-1], (x_ids, y_ids)))


class _Way:
  """One direction: pairs in order of the item and of falling likelihood."""

  def __init__(self, of, to, log_plan, ids, k):
    self.items, group = np.unique(of, return_inverse=True)
    count = len(self.items)
    order = np.lexsort((to, -log_plan, group))
    first = np.flatnonzero(np.r_[True, np.diff(group[order]) > 0][:len(order)])
    self.best = order[first]  # [q] pairs
    place = np.arange(len(order)) - first[group[order]]
    near = place < k
    self.partners = np.full((count, k), -1)
    self.partners[group[order][near], place[near]] = to[order][near]
    key = group * (int(ids.max(initial=0)) + 1) + ids[to]
    _, which = np.unique(key, return_inverse=True)
    together = np.bincount(which, np.exp(log_plan))[which]
    self.together = together
    self.plan = np.zeros((count, k))
    self.plan[group[order][near], place[near]] = together[order][near]
    # The likeliest one that does not equal the first.
    other = key != key[self.best][group]
    self.second = np.full(count, -np.inf)
    np.maximum.at(self.second, group[other], log_plan[other])
    self.to = to


def _candidates(found, log_plan, way, back, ids) -> Candidates:
  best = way.best
  # Where the first partner's own candidates stand.
  place = np.searchsorted(back.items, way.to[best])
  rival = back.to[back.best[place]]
  mutual = rival == way.items
  is_first = ids[rival] == ids[way.items]
  beyond = np.where(is_first, back.second[place], log_plan[back.best[place]])
  margin = log_plan[best] - np.maximum(way.second, beyond)
  p = np.clip(way.together[best], _LEAST, 1.0 - _LEAST)
  features = np.stack([
      np.log(p) - np.log1p(-p), found.similarities[best],
      np.clip(margin, -_MOST_MARGIN, _MOST_MARGIN), is_first], axis=1)
  return Candidates(way.items, way.partners, way.plan, features, mutual)
