"""An oracle of which the answers about a share of the items are changed."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mmal_jax.oracles import oracle as oracle_lib

# (modality, its numbers [q]) -> what is answered instead of these counterparts.
Change = Callable[[str, np.ndarray], np.ndarray | int]


def spoilt(
    oracle: oracle_lib.Oracle,
    sizes: Mapping[str, int],
    share: float,
    change: Change,
    seed: Sequence[int],
    name: str,
) -> oracle_lib.Oracle:
  """Answers about some items with other counterparts.

  Which items is drawn once: asking twice yields the same answer.

  Args:
    oracle: whose answers are changed.
    sizes: by modality, the number of items, in the order of the columns.
    share: of the items of each modality, within [0, 1].
    change: of the counterparts that there are.
    seed: of the draw.
    name: of the share, for the error.

  Returns:
    The oracle.

  Raises:
    ValueError: if `share` is out of range.
  """
  if not 0 <= share <= 1:
    raise ValueError(f'{name}={share!r} must lie within [0, 1].')
  rng = np.random.default_rng(seed)
  drawn = {m: rng.random(n) < share for m, n in sizes.items()}

  def answer(modality, numbers, suggest=None):
    answers = oracle(modality, numbers, suggest).copy()
    for column, other in enumerate(sizes):
      rows = np.flatnonzero(
          drawn[modality][numbers] & (answers[:, column] >= 0))
      if other != modality and len(rows):
        answers[rows, column] = change(other, answers[rows, column])
    return answers

  return answer
