"""What is asked of an oracle, and what it answers."""

from collections.abc import Callable, Sequence

import numpy as np

# In an answer: there is no such counterpart, or no annotator would say which.
NONE = -1

# (modality, numbers [q], other modality, k) -> [q, k] int32: numbers of the k
# likeliest counterparts, to show an annotator a choice; `NONE` where
# there are fewer.
Suggest = Callable[[str, np.ndarray, str, int], np.ndarray]

# (modality, numbers [q], suggest or None) -> answers [q, M] int32.
#
# A column a modality, in the run's order: the item's own number, and its
# counterparts' numbers or `NONE`. A row of nothing but `NONE`: there is
# no answer yet. Such a query remains open: it is handed in again in every later
# round, with None for `suggest`, which asks no annotator anew.
Oracle = Callable[[str, np.ndarray, Suggest | None], np.ndarray]


class Waiting(Exception):
  """Not enough queries of the round have been answered; ask again later.

  Attributes:
    message: what is waited for.
    state: what has come so far, in lines of their own; may be empty.
    queries: names of the queries that are waited for, open or not.
  """

  def __init__(
      self, message: str, state: str = '', queries: tuple[str, ...] = ()):
    super().__init__(message, state, queries)
    self.message, self.state, self.queries = message, state, queries

  def __str__(self) -> str:
    return '\n'.join(filter(None, (self.message, self.state)))


def together(waiting: Sequence[Waiting]) -> Waiting:
  """One for several; the last one knows best what has come.

  >>> print(together([Waiting('of image', 'none'), Waiting('of text', 'one')]))
  of image
  of text
  one
  """
  return Waiting('\n'.join(one.message for one in waiting), waiting[-1].state,
                 tuple(query for one in waiting for query in one.queries))


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
