"""Augmentation of a batch of images, inside the jitted step."""

import jax
import jax.numpy as jnp


def random_shift(key: jax.Array, images: jax.Array, most: int) -> jax.Array:
  """Shifts every image by its own random offset, repeating border pixels.

  A few hundred aligned images are soon known by heart, pixel by pixel.

  Args:
    key: typed random key.
    images: `[b, h, w, c]`.
    most: largest shift in pixels, up, down, left and right.

  Returns:
    `[b, h, w, c]` of the same dtype.

  Raises:
    ValueError: if these are no images, or `most` is below 0 or beyond them.
  """
  if images.ndim != 4:
    raise ValueError(f'shift={most} needs pixels [b, h, w, c]; got the shape '
                     f'{images.shape}.')
  if not 0 <= most < min(images.shape[1:3]):
    raise ValueError(f'shift={most} must be at least 0 and below the size of '
                     f'the images, {images.shape[1]}x{images.shape[2]}.')
  b, h, w, c = images.shape
  padded = jnp.pad(
      images, ((0, 0), (most, most), (most, most), (0, 0)), mode='edge')
  offsets = jax.random.randint(key, (b, 2), 0, 2 * most + 1)

  def crop(image, offset):
    return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), (h, w, c))

  return jax.vmap(crop)(padded, offsets)
