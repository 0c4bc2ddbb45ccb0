"""Simulated costs of an answer, by modality and by item."""

from collections.abc import Mapping

import numpy as np


def draw(
    sizes: Mapping[str, int],
    seed: int,
    spread: float = 0.0,
    **by_modality: float,
) -> dict[str, np.ndarray]:
  r"""Costs `c_m e^{s z}` with a standard normal z an item.

  >>> draw({'image': 2, 'text': 1}, seed=0, text=3.0)
  {'image': array([1., 1.], dtype=float32), 'text': array([3.], dtype=float32)}

  Args:
    sizes: by modality, the number of items.
    seed: of the draw.
    spread: s, at least 0.
    **by_modality: the median cost c_m of an item, above 0; 1 where none is
      given.

  Returns:
    By modality, `[n_m]` float32.

  Raises:
    ValueError: for an unknown modality, or a value out of range.
  """
  unknown = set(by_modality) - set(sizes)
  if unknown:
    raise ValueError(
        f'costs.{min(unknown)}: known are spread, {", ".join(sizes)}.')
  if not 0 <= spread < 10:
    raise ValueError(f'costs.spread={spread!r} must lie within [0, 10).')
  rng = np.random.default_rng([seed, 4])
  costs = {}
  for modality, size in sizes.items():
    median = by_modality.get(modality, 1.0)
    if not 0 < median < np.inf:
      raise ValueError(f'costs.{modality}={median!r} must be above 0.')
    drawn = median * np.exp(spread * rng.normal(size=size))
    if not (drawn.min(initial=1.0) > 1e-30 and drawn.max(initial=1.0) < 1e30):
      raise ValueError(
          f'costs.{modality}={median!r} with spread={spread!r} reach from '
          f'{drawn.min()} to {drawn.max()}.')
    costs[modality] = drawn.astype(np.float32)
  return costs
