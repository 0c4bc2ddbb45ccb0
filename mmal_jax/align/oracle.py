"""What is asked of an oracle, and what it answers."""

from collections.abc import Callable

import numpy as np

# In an answer: there is no such counterpart, or nobody would say which.
NONE = -1

# (modality, numbers [q], other modality, k) -> [q, k] int32: numbers of the k
# likeliest counterparts, for whoever shows an annotator a choice; `NONE` where
# there are fewer.
Suggest = Callable[[str, np.ndarray, str, int], np.ndarray]

# (modality, numbers [q], suggest or None) -> answers [q, M] int32.
#
# A column a modality, in the run's order: the item's own number, and its
# counterparts' numbers or `NONE`. A row of nothing but `NONE`: nobody has
# answered yet. Such a query stays open: it is handed in again in every later
# round, with None for `suggest`, which asks nobody anew.
Oracle = Callable[[str, np.ndarray, Suggest | None], np.ndarray]


class Waiting(Exception):
  """Not enough queries of the round have been answered; ask again later."""


def alone(answers: np.ndarray, column: int) -> np.ndarray:
  """`[q, M]` answers without their counterparts: refused, or none is there.

  >>> alone(np.array([[4, 7], [-1, -1]]), 0)
  array([[ 4, -1],
         [-1, -1]], dtype=int32)

  Args:
    answers: `[q, M]`.
    column: of the items that were asked about.
  """
  found = np.full(answers.shape, NONE, np.int32)
  found[:, column] = answers[:, column]
  return found
