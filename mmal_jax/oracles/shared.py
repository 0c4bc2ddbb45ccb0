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
    oracle: who is asked, or a journal of that, by the first process; `suggest`
      is called there alone. The others need none.
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
    return processes.from_primary(
        lambda: oracle(modality, numbers, suggest), meanwhile)

  return ask
