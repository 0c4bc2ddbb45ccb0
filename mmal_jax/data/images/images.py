"""From image files of any common mode and size to one uint8 array."""

import io
import os

import numpy as np
from PIL import Image
from PIL import UnidentifiedImageError

from mmal_jax.data.images import image_bytes
from mmal_jax.data.images import image_formats
from mmal_jax.data.images import orientation
from mmal_jax.files import downloads
from mmal_jax.files import durable

FORMATS = image_formats.READ
MAX_BYTES = 2**29  # encoded; more than the largest image takes unpacked
MAX_PIXELS = 2**26  # 8192 x 8192; several threads hold a dozen bytes for each
MAX_SIDES = 1000  # the longer over the shorter, which may become hundreds
_WHAT = f'cannot be read as {"/".join(FORMATS)}'
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90}
# Bits of PNG's greys, by how Pillow names them.
_GREYS = {'1': 1, 'L;2': 2, 'L;4': 4, 'L': 8}


def decode(
    source: bytes | str | os.PathLike[str], size: int | None = None
) -> np.ndarray:
  """Reads a PNG, JPEG or WebP as RGB.

  Grayscale, palette, CMYK and 16-bit images are converted; what is transparent
  is laid on white; the rotation that EXIF data or XMP state is applied. Nothing
  else of the metadata is used, and none of it, however damaged, stops an image
  from being read. With `size`, the image is squeezed to a square by antialiased
  bicubic resizing (as SigLIP's preprocessing does).

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


def open_rgb(
    source: bytes | str | os.PathLike[str], least: int | None = None
) -> Image.Image:
  """`decode` without its last step: an RGB image, upright.

  Args:
    source: a path, or the bytes of an encoded image.
    least: pixels of its sides that are enough: a larger JPEG is decoded at a
      half, a quarter or an eighth of them, which is quick; None keeps its size.
  """
  if isinstance(source, bytes):
    content = source
    if len(content) > MAX_BYTES:
      raise ValueError(f'{_WHAT}: {len(content)} bytes are more than '
                       f'{MAX_BYTES}')
  else:
    try:
      content = durable.read(source, MAX_BYTES)
    except (OSError, ValueError) as e:
      raise ValueError(f'cannot be read: {durable.reason(e)}') from e
  try:
    parts = image_bytes.split(content)
    with Image.open(io.BytesIO(parts.picture), formats=FORMATS) as image:
      _check(*image.size)
      if least is not None:
        image.draft(None, (least, least))
      rgb = _keyed(image, parts.picture) or to_rgb(image)
  except Exception as e:  # Pillow raises a dozen kinds
    wrong = None if isinstance(source, bytes) else downloads.wrong(
        source, content)
    raise ValueError(wrong or f'{_WHAT}: {_reason(e, content)}') from e
  turn = _UPRIGHT.get(orientation.find(parts.exif, parts.xmp))
  return rgb if turn is None else rgb.transpose(turn)


def to_rgb(image: Image.Image) -> Image.Image:
  """Converts what Pillow has opened; what is transparent is laid on white."""
  if image.mode.startswith('I'):
    # Pillow's own conversion clips 16-bit greys to 255: scale them instead.
    grey = np.asarray(image)
    scaled = np.round(grey.astype(np.float32) / 257.0).astype(np.uint8)
    scaled[grey == image.info.get('transparency', -1)] = 255
    image = Image.fromarray(scaled)
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    image = Image.alpha_composite(white, image)
  return image.convert('RGB')


class _TooLarge(ValueError):
  """An image of more pixels than are decoded."""


def _reason(error: Exception, content: bytes) -> str:
  """Why it cannot be read, and not where its bytes lie in memory."""
  if isinstance(error, (_TooLarge, Image.DecompressionBombError)):
    return str(error)
  found = image_formats.of(content)
  if not found.is_read:
    return f'it is none of these, but {found.description}'
  # Others are of Python.
  if isinstance(error, (OSError, SyntaxError, ValueError)) and not isinstance(
      error, UnidentifiedImageError):
    return f'it is a damaged {found.name} ({error})'
  return f'it is a damaged {found.name}'


def _check(width: int, height: int) -> None:
  if width * height > MAX_PIXELS:
    raise _TooLarge(f'{width} x {height} pixels are more than {MAX_PIXELS}')
  if max(width, height) > MAX_SIDES * min(width, height):
    raise _TooLarge(f'of {width} x {height} pixels one side is more than '
                    f'{MAX_SIDES} times the other')


def _keyed(image: Image.Image, picture: bytes) -> Image.Image | None:
  """Mends how Pillow reads one transparent colour that is not of 8 bits.

  Returns:
    RGB, where that took more than scaling the colour as the pixels are.
  """
  key = image.info.get('transparency')
  if image.format != 'PNG' or not image.tile:
    return None
  codec, area, at, raw = image.tile[0]
  if isinstance(key, int) and raw in _GREYS:
    most = 2**_GREYS[raw] - 1
    image.info['transparency'] = (key & most) * 255 // most
  if not isinstance(key, tuple):
    return None
  if raw != 'RGB;16B':
    image.info['transparency'] = tuple(value & 255 for value in key)
    return None
  # Pillow keeps the upper half of each number; the lower one counts as well.
  with Image.open(io.BytesIO(picture), formats=FORMATS) as other:
    other.tile = [(codec, area, at, 'RGB;16L')]
    lower = np.asarray(other)
  upper = np.asarray(image)
  values = np.array(key, np.uint16)
  is_clear = np.all(
      (upper == values >> 8) & (lower == (values & 255)), axis=-1)
  return Image.fromarray(
      np.where(is_clear[..., None], np.uint8(255), upper))
