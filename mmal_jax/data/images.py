"""From image files of any common mode and size to one uint8 array."""

import io
import os

import numpy as np
from PIL import Image
from PIL import ImageOps
from PIL import UnidentifiedImageError

FORMATS = ('PNG', 'JPEG', 'WEBP')


def decode(
    source: bytes | str | os.PathLike[str], size: int | None = None
) -> np.ndarray:
  """Reads a PNG, JPEG or WebP as RGB.

  Grayscale, palette, CMYK and 16-bit images are converted; what is transparent
  is laid on white; EXIF rotation is applied. With `size`, the image is squeezed
  to a square by antialiased bicubic resizing (as SigLIP's preprocessing does).

  Args:
    source: a path, or the bytes of an encoded image.
    size: height and width in pixels of the result; None keeps the image's own.

  Returns:
    `[h, w, 3]` uint8.

  Raises:
    ValueError: if it is none of the three formats, or damaged.
  """
  image = open_rgb(source)
  if size is not None and image.size != (size, size):
    image = image.resize((size, size), Image.Resampling.BICUBIC)
  return np.asarray(image)


def open_rgb(source: bytes | str | os.PathLike[str]) -> Image.Image:
  """`decode` without its last step: an RGB image, upright, of its own size."""
  file = io.BytesIO(source) if isinstance(source, bytes) else source
  try:
    with Image.open(file, formats=FORMATS) as image:
      return to_rgb(ImageOps.exif_transpose(image))
  except UnidentifiedImageError as e:
    # Pillow's own message is of where the bytes lie in memory.
    raise ValueError(
        f'cannot be read as {"/".join(FORMATS)}: it is none of these') from e
  except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
    raise ValueError(f'cannot be read as {"/".join(FORMATS)}: {e}') from e


def to_rgb(image: Image.Image) -> Image.Image:
  """Converts what Pillow has opened; what is transparent is laid on white."""
  if image.mode.startswith('I'):
    # Pillow's own conversion clips 16-bit greys to 255: scale them instead.
    grey = np.asarray(image, np.float32) / 257.0
    image = Image.fromarray(np.round(grey).astype(np.uint8))
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    image = Image.alpha_composite(white, image)
  return image.convert('RGB')
