"""What people see of a session's items: texts, pictures, or their numbers."""

from collections.abc import Mapping, Sequence
import io
import pathlib

import numpy as np
from PIL import Image

from mmal_jax.data.images import image_files
from mmal_jax.data.images import images as images_lib
from mmal_jax.data.images import preprocess as preprocess_lib

# n texts, n images in files or in memory, or how many items have only numbers.
Shown = Sequence[str] | image_files.ImageFiles | int
Items = Mapping[str, Shown]

_EDGE = 128  # pixels of a thumbnail's longer side
THUMBNAIL = preprocess_lib.Preprocess(size=_EDGE, edge=_EDGE)


def item(
    shown: Shown, number: int
) -> str | pathlib.Path | image_files.Source | int:
  """A text, the path of an image, or its source; else the number."""
  if isinstance(shown, int):
    return number
  if isinstance(shown, image_files.ImageFiles):
    return shown.paths[number]
  return shown[number]


def text(shown: Shown, number: int) -> str:
  """An item in words: of an image the name, which says nothing of the disk."""
  found = item(shown, number)
  if isinstance(shown, image_files.ImageFiles):
    return found.name
  return f'item {number}' if isinstance(found, int) else found


def thumbnail(shown: Shown, number: int) -> bytes | None:
  """A JPEG of an image, in its own proportions; None of all else.

  Likewise of an image that cannot be read any more: its name is shown.
  """
  if not isinstance(shown, image_files.ImageFiles):
    return None
  try:
    picture = images_lib.open_rgb(
        image_files.content(shown.paths[number]), _EDGE)
  except ValueError:
    return None
  picture.thumbnail((_EDGE, _EDGE), Image.Resampling.BICUBIC)
  file = io.BytesIO()
  picture.save(file, 'JPEG', quality=85)
  return file.getvalue()


def sizes(items: Items) -> dict[str, int]:
  """By modality, the number of items."""
  return {m: shown if isinstance(shown, int) else len(shown)
          for m, shown in items.items()}


def of_numbers(rows: np.ndarray) -> int:
  """Features alone: their numbers are shown."""
  return len(rows)
