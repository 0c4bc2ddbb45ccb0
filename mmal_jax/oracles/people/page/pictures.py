"""Pictures as a page holds them: small, upright, without metadata."""

import base64
import io
from typing import NamedTuple

from absl import logging
import numpy as np
from PIL import Image

from mmal_jax.data import feature_rows
from mmal_jax.data.images import image_files
from mmal_jax.data.images import images as images_lib
from mmal_jax.oracles.people import display

_EXACT = 96  # pixels of a side up to which nothing is lost
_QUALITY = 75


class Picture(NamedTuple):
  """A picture of a page.

  Attributes:
    address: a `data:` one, of WebP.
    size: width and height in pixels.
  """

  address: str
  size: tuple[int, int]


def of_item(items: display.Items, number: int, side: int) -> Picture | None:
  """An image as a page shows it.

  Args:
    items: that are shown as images.
    number: of the item.
    side: pixels that the longer side has at most.

  Returns:
    The picture. None for what can stand for features without being read here,
    as an SVG.

  Raises:
    ValueError: if an image of the pool cannot be read.
  """
  image = _open(items, number)
  if image is None:
    return None
  image.thumbnail((side, side), Image.Resampling.LANCZOS)
  image.info.clear()  # It may say where a photo was taken.
  out = io.BytesIO()
  image.save(out, 'WEBP', quality=_QUALITY, lossless=max(image.size) <= _EXACT)
  content = base64.b64encode(out.getvalue()).decode()
  return Picture(f'data:image/webp;base64,{content}', image.size)


def name(items: display.Items, number: int) -> str | None:
  """What an image's file is called; None where it has none."""
  if isinstance(items, feature_rows.FeatureRows):
    return name(items.labels, number)
  return items.paths[number].name if isinstance(
      items, image_files.ImageFiles) else None


def _open(items, number) -> Image.Image | None:
  labels = isinstance(items, feature_rows.FeatureRows)
  items = items.labels if labels else items
  if isinstance(items, np.ndarray):
    return Image.fromarray(items[number])
  source = items.paths[number]
  try:
    return images_lib.open_rgb(image_files.content(source))
  except ValueError as e:
    if labels:
      logging.warning('image %r %s: its name is shown.', str(source), e)
      return None
    raise ValueError(f'image {str(source)!r} {e}') from e
