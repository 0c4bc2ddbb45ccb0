"""One oracle for several processes: the first asks, all hear the answer."""

from collections.abc import Callable

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
      need none. Of several processes all call `suggest`, for what it ranks lies
      over all of their devices: where the oracle does, it is stopped there, and
      asked anew once the suggestions are made.
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
    made = {}

    def known(*wanted):
      of, asked, *rest = wanted
      key = of, tuple(np.asarray(asked).tolist()), *rest
      if key not in made:
        raise _Wanted(key)
      return made[key]

    while True:
      try:
        return processes.from_primary(
            lambda: oracle(modality, numbers, known), meanwhile)
      except _Wanted as e:
        of, asked, *rest = e.key
        made[e.key] = suggest(of, np.array(asked, np.int32), *rest)

  return ask


class _Wanted(Exception):
  """Suggestions that are not made yet.

  Attributes:
    key: arguments of `suggest`, the numbers as a tuple.
  """

  def __init__(self, key):
    super().__init__(key)  # Which `pickle` makes it of again.
    self.key = key
