"""An oracle that errs on a share of the items."""

from collections.abc import Callable, Mapping

import numpy as np

from mmal_jax.oracles import oracle as oracle_lib

# (modality, numbers [q]) -> numbers [q] of other items of that modality.
Mistake = Callable[[str, np.ndarray], np.ndarray]


def wrong(
    oracle: oracle_lib.Oracle,
    sizes: Mapping[str, int],
    share: float,
    mistake: Mistake,
    seed: int,
) -> oracle_lib.Oracle:
  """Replaces the counterparts of some items by wrong ones.

  Which items is drawn once: whoever asks twice gets the same answer.

  Args:
    oracle: whose answers are spoilt.
    sizes: by modality, the number of items, in the order of the columns.
    share: of the items of each modality, within [0, 1].
    mistake: what is named instead (`uniform`, or `similar.nearest_other`).
    seed: of the draw.

  Returns:
    The oracle.

  Raises:
    ValueError: if `share` is out of range.
  """
  if not 0 <= share <= 1:
    raise ValueError(f'wrong={share!r} must lie within [0, 1].')
  rng = np.random.default_rng([seed, 1])
  errs = {m: rng.random(n) < share for m, n in sizes.items()}

  def answer(modality, numbers, suggest=None):
    answers = oracle(modality, numbers, suggest).copy()
    for column, other in enumerate(sizes):
      rows = np.flatnonzero(errs[modality][numbers] & (answers[:, column] >= 0))
      if other != modality and len(rows):
        answers[rows, column] = mistake(other, answers[rows, column])
    return answers

  return answer


def uniform(sizes: Mapping[str, int], seed: int) -> Mistake:
  """Any other item of the modality, with equal chance; it may be a copy.

  Args:
    sizes: by modality, the number of items, at least two.
    seed: of the draw; the same item is always mistaken for the same.

  Raises:
    ValueError: if a modality has but one.
  """
  for modality, size in sizes.items():
    if size < 2:
      raise ValueError(f'{modality} has {size} item(s): there is none to take '
                       'another for.')
  rng = np.random.default_rng([seed, 2])
  steps = {m: rng.integers(1, n, size=n) for m, n in sizes.items()}
  return lambda m, numbers: (
      (numbers + steps[m][numbers]) % sizes[m]).astype(np.int32)
