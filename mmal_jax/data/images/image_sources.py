"""Images in whatever users hold them, as sources of encoded images."""

from collections.abc import Iterable, Mapping
import io
import os
import pathlib
from typing import Any

import numpy as np
from PIL import Image

from mmal_jax.data.images import image_files
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib

_KINDS = ('a path, an image of Pillow, an array [h, w, 3] of uint8, or a '
          'mapping with the bytes or the path of an image')


def sources(images: Iterable[Any], name: str = 'images') -> tuple[
    image_files.Source, ...]:
  """A source for each image; nothing is decoded.

  >>> [str(source) for source in sources(['a.png', np.zeros((2, 2, 3), 'u1')])]
  ['a.png', 'image 1']

  Args:
    images: paths, images of Pillow, `[h, w, 3]` or `[h, w]` uint8 arrays, or
      what a column of Hugging Face's `datasets` holds: images of Pillow, or
      `{'bytes': ..., 'path': ...}`. Those in memory are kept as PNG.
    name: of the argument, for errors.

  Raises:
    TypeError: for one image, or one path, in place of several.
    ValueError: naming every one that is none of these.
  """
  check_several(images, name)
  problems: list[str] = []
  found = []
  for number, image in enumerate(images):
    one = _source(image, f'image {number}')
    if one is None:
      problems.append(f'image {number} is {json_object.quote(image)}; {_KINDS} '
                      'is needed.')
    found.append(one)
  problems_lib.report(name, problems)
  return tuple(found)


def check_several(images: Any, name: str) -> None:
  """Refuses one image, or one path, in place of several."""
  if isinstance(images, (str, os.PathLike, Image.Image)) or (
      isinstance(images, np.ndarray) and images.dtype == np.uint8
      and images.ndim == 3 and images.shape[2] == 3):
    raise TypeError(f'{name} is one image, or one path: give a list, [image] '
                    'for one.')


def _source(image: Any, name: str) -> image_files.Source | None:
  if isinstance(image, (str, os.PathLike)):
    return pathlib.Path(image)
  if isinstance(image, Mapping):
    content, path = image.get('bytes'), image.get('path')
    if isinstance(content, bytes):
      return image_files.Encoded(
          name if path is None else os.path.basename(str(path)), content)
    return None if path is None else pathlib.Path(path)
  if isinstance(image, np.ndarray):
    if image.dtype != np.uint8 or not (
        image.ndim == 2 or image.ndim == 3 and image.shape[2] == 3):
      return None
    image = Image.fromarray(image)
  if isinstance(image, Image.Image):
    file = io.BytesIO()
    if image.mode not in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I', 'I;16'):
      image = image.convert('RGB')  # What PNG does not hold.
    image.save(file, 'PNG', compress_level=1)
    return image_files.Encoded(name, file.getvalue())
  return image if hasattr(image, 'read_bytes') else None
