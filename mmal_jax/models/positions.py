"""Position embeddings of an image tower for images of another size."""

import dataclasses

from flax import nnx
import jax
import numpy as np

from mmal_jax.models import config as config_lib
from mmal_jax.models import names

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
    has_class: the first is of the class token, and is kept.

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
  # In float64 on the host, and not by `jax.image.resize` ('cubic-pytorch'),
  # which is as close to PyTorch: a checkpoint is known again by a digest of
  # these values, and float32 sums differ from one device to another.
  down, across = (_weights(*sides) for sides in zip(old_grid, new_grid))
  resized = np.einsum('yh,xw,hwd->yxd', down, across, grid, optimize=True)
  return np.concatenate(
      [position[:first], resized.reshape(-1, position.shape[-1])]
  ).astype(np.float32)


def to_size(
    config: config_lib.DualEncoder,
    params: nnx.State,
    size: int | tuple[int, int] | None,
) -> tuple[config_lib.DualEncoder, nnx.State]:
  """A dual encoder for images of another size.

  Args:
    config: of the dual encoder.
    params: its parameters.
    size: height and width in pixels, a number for both; None changes nothing.

  Returns:
    Configuration and parameters; new positions where the grid is another one.

  Raises:
    ValueError: if images are smaller than a patch.
  """
  if size is None:
    return config, params
  old = config.image
  size = (size, size) if isinstance(size, int) else tuple(size)
  new = dataclasses.replace(old, size=size)
  config = dataclasses.replace(config, image=new)
  if new.grid == old.grid:
    return config, params

  def change(path, values):
    if names.dotted(path) != 'image_tower.position':
      return values
    return resize(np.asarray(values), old.grid, new.grid,
                  old.pooling == 'class')

  return config, jax.tree_util.tree_map_with_path(change, params)


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
