"""Checkpoints of training that is not done, as training sees them."""

import contextlib
from typing import Any, Protocol, TypeVar

Tree = TypeVar('Tree')


class Checkpointer(Protocol):
  """Saves the state within one training, so that a program that ended goes on.

  Training itself stays a function of what it is given: with or without a
  checkpointer, interrupted or not, it comes to the same, to the bit.

  Attributes:
    every: number of steps between two saves. Training of no more steps than
      that is not saved at all.
  """

  every: int

  def training(
      self, of: str, like: Tree
  ) -> contextlib.AbstractContextManager[Tree | None]:
    """To be entered while steps are taken.

    Args:
      of: a digest of all that the training reads: what was kept of any other
        does not count.
      like: of the structure, shapes and dtypes of what is kept, as of
        `pytrees.load`.

    Returns:
      A context of what was kept last; None: the training begins.
    """

  def is_due(self, step: int, steps: int) -> bool:
    """Whether a state is to be kept now; to be called after every step.

    Args:
      step: how many were taken.
      steps: of the whole training.
    """

  def save(self, step: int, tree: Any) -> None:
    """Keeps a state; its arrays may be donated once this has returned.

    May end the program, by raising what is no `Exception`.

    Args:
      step: how many were taken.
      tree: what training goes on from.
    """
