"""An oracle that refuses to answer for a share of the items."""

from collections.abc import Mapping

from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles import spoilt


def refusing(
    oracle: oracle_lib.Oracle,
    sizes: Mapping[str, int],
    share: float,
    seed: int,
) -> oracle_lib.Oracle:
  """Names no counterparts for some items, at the price of an answer.

  Args:
    oracle, sizes, share, seed: as for `spoilt.spoilt`, whose oracle it is.
  """
  return spoilt.spoilt(
      oracle, sizes, share, lambda modality, numbers: oracle_lib.NONE,
      [seed, 3], 'refuse')
