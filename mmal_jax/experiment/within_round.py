"""What becomes of long training where a program ends in its midst."""

from collections.abc import Iterator
import contextlib
from typing import Any, TypeVar

from absl import logging
import numpy as np

from mmal_jax.checkpoint import newest
from mmal_jax.experiment import preemption
from mmal_jax.parallel import processes

Tree = TypeVar('Tree')
# Of several processes, all have to agree to end: every ten steps they ask one
# another, each of which waits for the steps before it.
_AGREE_EVERY = 10


class Checkpointer:
  """A `learn.checkpointer.Checkpointer` in a folder.

  It acts on SIGTERM between steps.

  Attributes:
    every: steps.
  """

  def __init__(
      self, kept: newest.Within, every: int, notice: preemption.Notice
  ):
    """Takes the folder, the number of steps, and the notice of the end."""
    self._kept, self.every, self._notice = kept, every, notice
    self._of = np.zeros(0, np.uint8)

  @contextlib.contextmanager
  def training(self, of: str, like: Tree) -> Iterator[Tree | None]:
    """As `learn.checkpointer.Checkpointer`; the steps are not interrupted."""
    self._of = np.frombuffer(bytes.fromhex(of), np.uint8)
    with preemption.deferred():
      found = self._found(like)
    at_once, self._notice.at_once = self._notice.at_once, False
    try:
      yield found
    finally:
      self._notice.at_once = at_once

  def is_due(self, step: int, steps: int) -> bool:
    """As `learn.checkpointer.Checkpointer`; also where the program is to end.
    """
    due = step % self.every == 0 and step < steps
    return due or self._is_to_end(step)

  def save(self, step: int, tree: Any) -> None:
    """As `learn.checkpointer.Checkpointer`, in the background.

    Raises:
      preemption.Preempted: if the program is to end; all is written then.
    """
    ends = processes.any_process(self._notice.given)
    with preemption.deferred():
      self._kept.save(step, {'of': self._of, 'tree': tree})
      if ends:
        self._kept.wait()
    if ends:
      raise preemption.Preempted

  def _found(self, like):
    found = self._kept.newest({'of': self._of, 'tree': like})
    if found is None:
      return None
    step, there = found
    if not np.array_equal(there['of'], self._of):
      logging.warning(
          'A state within training, after step %d, is of other answers or keys:'
          ' it is removed, and the training begins anew.', step)
      self._kept.forget()
      return None
    logging.info('Training goes on after step %d.', step)
    return there['tree']

  def _is_to_end(self, step) -> bool:
    if not processes.are_several():
      return self._notice.given
    return step % _AGREE_EVERY == 0 and processes.any_process(
        self._notice.given)
