r"""Sinkhorn's plan of whole pools, on each item's most similar ones alone.

A matrix of all pairs would grow with the product of the pools. Of nearly all of
its entries the plan makes nothing: so only pairs count here of which one is
among the k most similar of the other. These are `n k + m k` pairs at most, and
they are found tile by tile.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import pseudo_alignment
from mmal_jax.matching import approximate
from mmal_jax.parallel import rows as rows_lib

ITERATIONS = 10


class Edges(NamedTuple):
  """Pairs of items that may belong together; none comes twice.

  Attributes:
    x: `[e]` int, row of the one item; rising.
    y: `[e]` int, row of the other.
    similarities: `[e]` float64.
    recalls: what share of x's, and of y's, most similar ones was looked for
      with success, as measured on a sample; None where all were found.
  """

  x: np.ndarray
  y: np.ndarray
  similarities: np.ndarray
  recalls: tuple[float, float] | None = None


def edges(
    x: jax.Array,
    y: jax.Array,
    x_there: np.ndarray,
    y_there: np.ndarray,
    k: int,
    recall: float | None = None,
) -> Edges:
  """Everybody's k most similar ones of the other pool.

  Args:
    x: `[n, d]` float32 embeddings; over a mesh, filled up at the end.
    y: `[m, d]`.
    x_there: `[n]` bool, False for items that take no part.
    y_there: `[m]` bool.
    k: how many.
    recall: None finds all of them. Within (0, 1): an index is used, which is
      to find that share of them (`approximate.best_matches`).

  Returns:
    The pairs in which one is among the k of the other, by x and then y. In
    O(n m d) time, and memory that grows with n + m alone.

  Raises:
    ValueError: for a recall out of bounds, or with one for embeddings over
      several devices.
  """
  nothing = jnp.zeros((1, x.shape[1])), jnp.zeros(1, bool)
  one, other = (
      views_lib.with_remaining(views_lib.View(pool, None, *nothing), there)
      for pool, there in ((x, x_there), (y, y_there)))
  if recall is not None:
    ways = [approximate.best_matches(view, of, k, recall)
            for view, of in ((one, other), (other, one))]
  elif one.rows is None and other.rows is None:
    ways = pseudo_alignment.best_both_ways(one, other, k)
  else:
    ways = [pseudo_alignment.best_matches(view, of, k)
            for view, of in ((one, other), (other, one))]
  found = []
  for matches, there in zip(ways, (x_there, y_there)):
    best, similarities = (
        rows_lib.on_host(values, len(there)) for values in matches[:2])
    kept = (best >= 0) & there[:, None]
    rows = np.broadcast_to(np.arange(len(best))[:, None], best.shape)
    found.append((rows[kept], best[kept].astype(int), similarities[kept]))
  (rows, columns, ones), (back, heads, others) = found
  rows, columns = np.r_[rows, heads], np.r_[columns, back]
  _, first = np.unique(rows * len(y_there) + columns, return_index=True)
  return Edges(rows[first], columns[first],
               np.r_[ones, others][first].astype(np.float64),
               None if recall is None else tuple(way.recall for way in ways))


def without(found: Edges, apart: np.ndarray) -> Edges:
  """The pairs that are none of some.

  >>> without(Edges(np.array([0, 0]), np.array([3, 4]), np.array([0.5, 0.2])),
  ...         np.array([[0, 3]])).y
  array([4])

  Args:
    found: pairs.
    apart: `[r, 2]` int, rows of x and of y.
  """
  width = 1 + max(found.y.max(initial=0), apart[:, 1].max(initial=0))
  kept = ~np.isin(found.x * width + found.y, apart @ [width, 1])
  return Edges(*(values[kept] for values in found[:3]), found.recalls)


def log_plan(
    found: Edges,
    temperature: float,
    share: float = 1.0,
    iterations: int = ITERATIONS,
) -> np.ndarray:
  r"""Logarithms of the plan's entries.

  .. math::
    P_{ij} = u_i e^{s_{ij} / T} v_j, \qquad
    u_i = \left( a / \sum_j e^{s_{ij} / T} v_j \right)^\rho, \quad
    v_j = \left( b / \sum_i u_i e^{s_{ij} / T} \right)^\rho

  over the pairs that are there; of n and m items :math:`a = \min(1, m/n)` and
  :math:`b = \min(1, n/m)`, so that the smaller pool finds a place for all.

  >>> found = Edges(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]),
  ...               np.array([1.0, 0.9, 0.9, 0.0]))
  >>> print(np.exp(log_plan(found, 0.1, iterations=200)).round(1))
  [0. 1. 1. 0.]

  Args:
    found: the pairs.
    temperature: T, above 0.
    share: rho, within (0, 1], of the items that have a counterpart
      (`acquire.kernels.sinkhorn`).
    iterations: updates of u and v.

  Returns:
    `[e]` float64.
  """
  x, y = (np.unique(rows, return_inverse=True)[1] for rows in found[:2])
  n, m = (int(rows.max(initial=-1)) + 1 for rows in (x, y))
  a, b = (np.log(min(1.0, p / max(q, 1))) if p else 0.0
          for p, q in ((m, n), (n, m)))
  scaled = found.similarities / temperature
  u, v = np.zeros(n), np.zeros(m)
  for _ in range(iterations):
    u = share * (a - _log_sums(x, scaled + v[y], n))
    v = share * (b - _log_sums(y, scaled + u[x], m))
  # Not yet converged, rows and columns would differ in what they sum to: once
  # more the rows, and half of the way.
  u = 0.5 * (u + share * (a - _log_sums(x, scaled + v[y], n)))
  return scaled + u[x] + v[y]


def _log_sums(of, values, n):
  """`[n]`: log of the sum of exponentials over each one's values."""
  highest = np.full(n, -np.inf)
  np.maximum.at(highest, of, values)
  return highest + np.log(
      np.bincount(of, np.exp(values - highest[of]), minlength=n))
