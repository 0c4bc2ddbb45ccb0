"""One oracle for several processes: the first asks, all hear the answer."""

from collections.abc import Callable
import queue
import threading
from typing import Any

import numpy as np

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.parallel import processes


def shared(
    oracle: oracle_lib.Oracle | None,
    meanwhile: Callable[[], None] | None = None,
) -> oracle_lib.Oracle:
  """Lets all processes of a run ask one oracle.

  All ask the same at the same time, as one program does. What the oracle
  raises is raised in each of them, so that people's open answers
  (`oracle.Waiting`) end all together.

  Args:
    oracle: who is asked, or a journal of that, by the first process. The others
      need none. Where it calls `suggest`, all processes do: what that ranks may
      lie over all of their devices.
    meanwhile: called by all every few seconds while people think it over; it
      may raise, in all.

  Returns:
    An oracle; with one process it answers as `oracle` does.
  """
  def ask(
      modality: str,
      numbers: np.ndarray,
      suggest: oracle_lib.Suggest | None = None,
  ) -> np.ndarray:
    if suggest is None or not processes.are_several():
      return processes.from_primary(
          lambda: oracle(modality, numbers, suggest), meanwhile)
    asked = None
    if processes.is_primary():
      asked = _Asked(oracle, modality, numbers)
    while True:
      wanted, answers = processes.from_primary(
          lambda: asked.next(), meanwhile)  # pylint: disable=unnecessary-lambda
      if wanted is None:
        return answers
      made = suggest(*wanted)
      if asked is not None:
        asked.tell(made)

  return ask


class _Asked:
  """An oracle at work in a thread of its own, which waits for suggestions."""

  def __init__(self, oracle, modality, numbers):
    self._said, self._made = queue.SimpleQueue(), queue.SimpleQueue()

    def answer():
      try:
        self._said.put((None, oracle(modality, numbers, self._suggest), None))
      except Exception as e:  # pylint: disable=broad-exception-caught
        self._said.put((None, None, e))

    # A daemon: if the program ends meanwhile, nothing more is made.
    threading.Thread(target=answer, name='oracle', daemon=True).start()

  def _suggest(self, *wanted):
    self._said.put((wanted, None, None))
    return self._made.get()

  def next(self) -> tuple[tuple[Any, ...] | None, np.ndarray | None]:
    """What suggestions are wanted of; or None, and the answers."""
    wanted, answers, error = self._said.get()
    if error is not None:
      raise error
    return wanted, answers

  def tell(self, made: np.ndarray) -> None:
    """Hands over the suggestions that were wanted."""
    self._made.put(made)
