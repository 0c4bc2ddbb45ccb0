"""Most similar items by an index whose recall the user states."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import inverted_lists
from mmal_jax.acquire.kernels import pseudo_alignment

# Rows whose exact neighbours say how many cells to look into; and as many
# others, by which the recall is then measured.
_SAMPLE = 1024
# Of the cells; beyond, to compare all takes less time (measured on a CPU).
_MOST = 0.2
_ERRORS = 2  # standard errors that the recall is to be above what is stated


class Choice(NamedTuple):
  """An index, and how many of its cells to look into.

  Attributes:
    index: of the pool that is searched.
    probes: cells to look into.
    recall: measured on rows that did not serve to choose `probes`.
  """

  index: inverted_lists.Index
  probes: int
  recall: float


class Found(NamedTuple):
  """The most similar items of another pool, nearly all of them.

  Attributes:
    indices: `[n, k]` int32, as of `pseudo_alignment.best_matches`.
    similarities: `[n, k]` float32.
    recall: share of the exact ones that was found, measured on rows that did
      not serve to choose `probes`.
    probes: cells that were looked into.
    cells: that there are.
  """

  indices: jax.Array
  similarities: jax.Array
  recall: float
  probes: int
  cells: int


def best_matches(
    view: views_lib.View, other: views_lib.View, k: int, recall: float
) -> Found:
  """As `pseudo_alignment.best_matches`, of which some may be missed.

  Args:
    view: of n items; its metric is used, which must not be INNER. Those that
      remain are those whose neighbours count for the recall.
    other: of m items.
    k: how many.
    recall: within (0, 1), share of the exact ones that is to be found on
      average. Of cells as many are looked into as that takes, with twice the
      sample's standard error to spare.

  Returns:
    What was found. In O(n sqrt(m) d) time for pools that form clusters; all, by
    comparing all, where more than a fifth of the cells would have to be looked
    into.

  Raises:
    TypeError: for a pool on disk.
    ValueError: for pools over several devices, a recall out of bounds, or
      another metric.
  """
  return search(view, other, k, choose(view, other, k, recall))


def search(
    view: views_lib.View, other: views_lib.View, k: int, choice: Choice
) -> Found:
  """As `best_matches`, with what `choose` returned for the same pools."""
  cells = len(choice.index.centres)
  if choice.probes > _MOST * cells:
    exact = pseudo_alignment.best_matches(view, other, k)
    return Found(*exact, 1.0, cells, cells)
  found = inverted_lists.search(
      choice.index, view.pool, k, choice.probes, view.metric)
  return Found(*found, choice.recall, choice.probes, cells)


def choose(
    view: views_lib.View, other: views_lib.View, k: int, recall: float
) -> Choice:
  """Cuts a pool into cells, and finds how many to look into.

  Args:
    view: as for `best_matches`, like all that follows.
    other: of the pool that is searched.
    k: how many neighbours.
    recall: that is to be reached.

  Raises:
    TypeError: as `best_matches`, like all that follows.
    ValueError: for pools over several devices, a recall or a metric.
  """
  check(recall)
  inverted_lists.check(view.metric)
  whole.check({'first': view, 'second': other}, 'approximate best matches')
  cells = max(1, math.isqrt(int(np.sum(other.remaining))))
  index = inverted_lists.build(
      other.pool, other.remaining, jax.random.key(0), cells, view.metric)
  probes, measured = len(index.centres), 1.0
  sample = np.random.default_rng(0).permutation(
      np.flatnonzero(view.remaining))[:2 * _SAMPLE]
  if len(sample) > 1 and np.any(other.remaining):
    first, measure = np.array_split(sample, 2)
    shares = functools.partial(_recalls, index, view, other, k)
    probes = _enough(shares(first), recall)
    measured = float(shares(measure)[:, probes - 1].mean())
  return Choice(index, probes, measured)


def check(recall: float) -> None:
  """Raises ValueError for a recall that cannot be asked for."""
  if not 0 < recall < 1:
    raise ValueError(
        f'recall={recall!r} must lie within (0, 1); None finds all, exactly.')


def _recalls(index, view, other, k, rows) -> np.ndarray:
  """`[s, C]`: of some rows the recall by how many cells are looked into."""
  x = view.pool[jnp.asarray(rows)]
  some = views_lib.View(
      x, jnp.ones(len(x), bool), x[:1], jnp.zeros(1, bool), metric=view.metric)
  exact, _ = pseudo_alignment.best_matches(some, other, k)
  return np.asarray(inverted_lists.recalls(index, x, exact, view.metric))


def _enough(recalls: np.ndarray, recall: float) -> int:
  """How many cells to look into."""
  error = recalls.std(axis=0) / math.sqrt(len(recalls))
  reached = recalls.mean(axis=0) - _ERRORS * error >= recall
  reached[-1] = True
  probes = 1 + int(np.argmax(reached))
  # A program is compiled for each number: so there are four an octave at most.
  step = max(1, 2 ** (probes.bit_length() - 3))
  return min(-(-probes // step) * step, recalls.shape[1])
