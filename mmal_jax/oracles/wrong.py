"""An oracle that errs on a share of the items."""

from collections.abc import Callable, Mapping

import numpy as np

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles import spoilt

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

  Args:
    oracle, sizes, share, seed: as for `spoilt.spoilt`, whose oracle it is.
    mistake: what is named instead (`uniform`, or `similar.nearest_other`).
  """
  return spoilt.spoilt(oracle, sizes, share, mistake, [seed, 1], 'wrong')


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
