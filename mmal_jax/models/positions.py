"""Position embeddings of an image tower for images of another size."""

import numpy as np

# Of Keys' cubic convolution kernel, as PyTorch has it.
_A = -0.75


def resize(
    position: np.ndarray,
    old_grid: tuple[int, int],
    new_grid: tuple[int, int],
    has_class: bool,
) -> np.ndarray:
  """Interpolates position embeddings: cubic, without antialiasing.

  Equal to `interpolate_pos_encoding` of transformers' CLIP and SigLIP.

  >>> resize(np.ones((5, 2), np.float32), (2, 2), (3, 4), has_class=True).shape
  (13, 2)

  Args:
    position: `[n, width]` float32, rows of patches after one another.
    old_grid: rows and columns of patches that they are for.
    new_grid: those wanted.
    has_class: the first is of the class token, and stays.

  Returns:
    `[m, width]` float32.

  Raises:
    ValueError: if `position` does not have as many rows as the old grid needs.

  References:
    Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981,
    with a = -3/4 instead of -1/2.
  """
  first = int(has_class)
  if len(position) != first + old_grid[0] * old_grid[1]:
    raise ValueError(
        f'position has {len(position)} rows; the class token ({first}) and a '
        f'grid of {old_grid[0]}x{old_grid[1]} patches need '
        f'{first + old_grid[0] * old_grid[1]}.')
  grid = position[first:].reshape(*old_grid, -1)
  down, across = (_weights(*sides) for sides in zip(old_grid, new_grid))
  resized = np.einsum('yh,xw,hwd->yxd', down, across, grid, optimize=True)
  return np.concatenate(
      [position[:first], resized.reshape(-1, position.shape[-1])]
  ).astype(np.float32)


def _weights(old: int, new: int) -> np.ndarray:
  """`[new, old]`, of the four nearest; beyond the edge its value goes on."""
  at = (np.arange(new) + 0.5) * old / new - 0.5
  left = np.floor(at).astype(int)
  weights = np.zeros((new, old))
  for offset in range(-1, 3):
    neighbour = left + offset
    np.add.at(weights, (np.arange(new), np.clip(neighbour, 0, old - 1)),
              _cubic(np.abs(at - neighbour)))
  return weights


def _cubic(x: np.ndarray) -> np.ndarray:
  near = ((_A + 2) * x - (_A + 3)) * x * x + 1
  far = ((x - 5) * x + 8) * x * _A - 4 * _A
  return np.where(x <= 1, near, np.where(x < 2, far, 0))
