"""What an annotator sees of an item: a text, an image file, or its number."""

from collections.abc import Mapping, Sequence
import hashlib
import os
import pathlib
import re

import numpy as np
from PIL import Image

from mmal_jax.data import feature_rows
from mmal_jax.data.images import image_files
from mmal_jax.data.images import image_formats

# n texts; n images, `[n, h, w, 3]` or `[n, h, w]` uint8 or in their files; or
# `[n, d]` floats, features: with what stands for each, or by their numbers.
Items = (Sequence[str] | np.ndarray | image_files.ImageFiles
         | feature_rows.FeatureRows)


def check(shown: Mapping[str, Items]) -> None:
  """Refuses what cannot be shown.

  Args:
    shown: by modality, the items.

  Raises:
    TypeError: if items are none of `Items`.
    ValueError: for fewer than two modalities, one without items, or a name that
      is not of letters, digits and underscores.
  """
  if len(shown) < 2:
    raise ValueError(f'shown has the modalities {list(shown)}; two are needed.')
  for modality, items in shown.items():
    if not re.fullmatch(r'[A-Za-z][A-Za-z0-9_]*', modality):
      raise ValueError(f'modality={modality!r} must be of letters, digits and '
                       'underscores: files and questions are named after it.')
    if isinstance(items, np.ndarray):
      pixels = items.ndim in (3, 4) and items.dtype == np.uint8 and (
          items.ndim == 3 or items.shape[3] == 3)
      if not pixels and not (items.ndim == 2 and items.dtype.kind == 'f'):
        raise TypeError(
            f'shown[{modality!r}] is {items.dtype} of shape {items.shape}; '
            '[n, h, w, 3] or [n, h, w] uint8 or [n, d] floats are needed.')
    elif not isinstance(
        items, (image_files.ImageFiles, feature_rows.FeatureRows)):
      odd = [type(x) for x in items if not isinstance(x, str)]
      if odd or isinstance(items, str):
        raise TypeError(f'shown[{modality!r}] holds {(odd or [str])[0]}; texts,'
                        ' an array, ImageFiles or FeatureRows are needed.')
    if not len(items):
      raise ValueError(f'shown[{modality!r}] holds no items.')


def have_rows(items: Items) -> bool:
  """Whether items are rows of the user's file of features."""
  return isinstance(items, feature_rows.FeatureRows)


def are_images(items: Items) -> bool:
  """Whether items are shown as images."""
  if isinstance(items, feature_rows.FeatureRows):
    return are_images(items.labels)
  return isinstance(items, image_files.ImageFiles) or (
      isinstance(items, np.ndarray) and items.ndim > 2)


def digest(items: Items) -> str:
  """SHA-256 of all that is shown, in order; of features whatever they show.

  Labels may be given, or be changed, while people answer.

  Raises:
    ValueError: if a file cannot be read, or a text not written.
  """
  total = hashlib.sha256()
  if isinstance(items, feature_rows.FeatureRows):
    items = items.values
  if isinstance(items, np.ndarray):
    total.update(f'{items.dtype.str} {items.shape}'.encode())
    for row in items:
      total.update(np.ascontiguousarray(row).data)
  elif isinstance(items, image_files.ImageFiles):
    total.update(b'files')
    for one in items.digests:
      total.update(one)
  else:
    total.update(b'texts')
    for number, text in enumerate(items):
      try:
        content = text.encode()
      except UnicodeEncodeError as e:
        raise ValueError(f'text {number} cannot be written: {e}') from e
      total.update(f' {len(content)} '.encode() + content)
  return total.hexdigest()


def catalogue(items: Items) -> list[dict[str, str | int]]:
  """All items by number, to find one that is no candidate.

  Returns:
    A record an item, with its text or its file's path, or what names an image
    that has no file of its own; of features with the row in their file, too.
    Nothing for pixels, and for features that nothing stands for.
  """
  if isinstance(items, np.ndarray):
    return []
  return [{'item': number, **described(items, number)}
          for number in range(len(items))]


def described(items: Items, number: int) -> dict[str, str | int]:
  """What `catalogue` says of one item, but its number; {} where that is all."""
  if isinstance(items, np.ndarray):
    return {}
  if isinstance(items, feature_rows.FeatureRows):
    return {**described(items.labels, number), 'row': int(items.rows[number])}
  if isinstance(items, image_files.ImageFiles):
    source = items.paths[number]
    return {'file': str(
        source.resolve() if isinstance(source, pathlib.Path) else source)}
  return {'text': items[number]}


def put(
    items: Items, number: int, name: str, folder: pathlib.Path, link: bool
) -> dict[str, str | int]:
  """Shows one item; an image gets its file.

  Args:
    items: of its modality.
    number: of the item.
    name: of the image's file, without suffix.
    folder: of the round; image files lie in its `images`.
    link: whether an image that has a file of its own is linked instead of
      copied.

  Returns:
    `{'text': ...}`, or `{'file': path relative to folder}`; of features with
    the row in their file, too.
  """
  if isinstance(items, feature_rows.FeatureRows):
    return {'row': int(items.rows[number])} | put(
        items.labels, number, name, folder, link)
  if not are_images(items):
    if isinstance(items, np.ndarray):
      return {'text': f'item {number}'}
    return {'text': items[number]}
  source = items.paths[number] if isinstance(
      items, image_files.ImageFiles) else None
  suffix = '.png' if source is None else _suffix(source)
  file = folder / 'images' / (name + suffix)
  if not file.exists():  # An item may be a candidate of several queries.
    if source is None:
      Image.fromarray(items[number]).save(file)
    elif link and isinstance(source, pathlib.Path):
      os.symlink(source.resolve(), file)
    else:
      file.write_bytes(source.read_bytes())
  return {'file': f'images/{file.name}'}


def _suffix(source: image_files.Source) -> str:
  """By which a browser knows the format: the name's, or else the content's."""
  suffix = pathlib.PurePath(source.name).suffix
  if suffix.lower() in image_formats.ENDINGS:
    return suffix
  name = image_formats.of(source.read_bytes()).name
  # The names of others are no endings: those keep what they have.
  return f'.{name.lower()}' if name in image_formats.READ else suffix
