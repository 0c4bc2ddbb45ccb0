"""From image files of any common mode and size to one uint8 array."""

import io
import os

import numpy as np
from PIL import ExifTags
from PIL import Image
from PIL import UnidentifiedImageError

FORMATS = ('PNG', 'JPEG', 'WEBP')
MAX_BYTES = 2**29  # encoded; more than the largest image takes unpacked
MAX_PIXELS = 2**26  # 8192 x 8192; several threads hold a dozen bytes for each
MAX_SIDES = 1000  # the longer over the shorter, which may become hundreds
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90}


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
    ValueError: if it is none of the three formats, or damaged; if it says that
      it has more than 2**26 pixels, or a side a thousand times the other,
      before it is decoded.
  """
  image = open_rgb(source)
  if size is not None and image.size != (size, size):
    image = image.resize((size, size), Image.Resampling.BICUBIC)
  return np.asarray(image)


def open_rgb(source: bytes | str | os.PathLike[str]) -> Image.Image:
  """`decode` without its last step: an RGB image, upright, of its own size."""
  file = io.BytesIO(source) if isinstance(source, bytes) else source
  try:
    size = len(source) if isinstance(source, bytes) else os.path.getsize(source)
    if size > MAX_BYTES:
      raise ValueError(f'{size} bytes are more than {MAX_BYTES}')
    with Image.open(file, formats=FORMATS) as image:
      _check(*image.size)
      return to_rgb(_upright(image))
  except UnidentifiedImageError as e:
    # Pillow's own message is of where the bytes lie in memory.
    raise ValueError(
        f'cannot be read as {"/".join(FORMATS)}: it is none of these') from e
  except Exception as e:  # Pillow raises a dozen kinds
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


def _check(width: int, height: int) -> None:
  if width * height > MAX_PIXELS:
    raise ValueError(f'{width} x {height} pixels are more than {MAX_PIXELS}')
  if max(width, height) > MAX_SIDES * min(width, height):
    raise ValueError(f'of {width} x {height} pixels one side is more than '
                     f'{MAX_SIDES} times the other')


def _upright(image: Image.Image) -> Image.Image:
  """Turned as its EXIF data says, which are then of no use."""
  # Not by Pillow's `exif_transpose`: it writes the other EXIF data anew, and
  # fails where a camera wrote nonsense into them.
  image.load()  # They may stand behind the pixels.
  how = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
  return image if how is None else image.transpose(how)
