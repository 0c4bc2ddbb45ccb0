"""An oracle that refuses to answer for a share of the items."""

from collections.abc import Mapping

import numpy as np

from mmal_jax.oracles import oracle as oracle_lib


def refusing(
    oracle: oracle_lib.Oracle,
    sizes: Mapping[str, int],
    share: float,
    seed: int,
) -> oracle_lib.Oracle:
  """Names no counterparts for some items, at the price of an answer.

  Which items is drawn once: asking twice yields no more.

  Args:
    oracle: who answers otherwise.
    sizes: by modality, the number of items, in the order of the columns.
    share: of the items of each modality, within [0, 1].
    seed: of the draw.

  Returns:
    The oracle.

  Raises:
    ValueError: if `share` is out of range.
  """
  if not 0 <= share <= 1:
    raise ValueError(f'refuse={share!r} must lie within [0, 1].')
  rng = np.random.default_rng([seed, 3])
  refuses = {m: rng.random(n) < share for m, n in sizes.items()}

  def answer(modality, numbers, suggest=None):
    answers = oracle(modality, numbers, suggest)
    column = list(sizes).index(modality)
    return np.where(
        refuses[modality][numbers][:, None],
        oracle_lib.alone(answers, column), answers).astype(np.int32)

  return answer
