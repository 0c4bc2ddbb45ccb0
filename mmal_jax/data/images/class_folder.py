"""Images of known classes, a folder a class: what zero-shot accuracy needs."""

import os
import pathlib
import unicodedata

import numpy as np

from mmal_jax.data import schema
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import image_listing
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import problems as problems_lib


def load_labelled(
    folder: str | os.PathLike[str],
    image_size: int | None = None,
    preprocess: preprocess_lib.Preprocess | None = None,
) -> schema.Labelled:
  """Reads `FOLDER/CLASS NAME/*.jpg`, and PNG and WebP likewise.

  Args:
    folder: of one folder a class. Classes are named as these are, in Unicode's
      composed form (NFC), `_` read as a space, in alphabetical order of these
      names, which is the same whatever system wrote the folder. Which files
      are images is defined in `image_listing`; no link may lead out of it, and
      links to other folders in it are no classes.
    image_size: every image is resized to this height and width in pixels and
      kept in memory; 64 if None.
    preprocess: in place of `image_size`: images stay in their files, and this
      is done to them whenever they are needed.

  Returns:
    Images, class by class, in order of their names.

  Raises:
    ValueError: if there are fewer than two classes; listing every class
      without images, of a name that another has or that is no UTF-8, and every
      image that cannot be read.
  """
  folder = pathlib.Path(folder)
  size = checked_images.size_of(image_size, preprocess)
  if not folder.is_dir():
    raise ValueError(f'folder={str(folder)!r} is no folder.')
  entries = sorted(path for path in folder.iterdir()
                   if not image_listing.is_hidden(path.name))
  folders, problems = [], []
  left_out: list[image_listing.LeftOut] = []
  for path in entries:
    if not path.is_dir():
      left_out.append(image_listing.LeftOut(
          path.name, 'is in no folder of a class',
          'are in no folder of a class'))
    elif path.is_symlink() and _is_within(path, folder):
      left_out.append(image_listing.LeftOut(  # As `image_listing` does below.
          path.name, 'is a linked folder, which is not followed',
          'are linked folders, which are not followed'))
    else:
      folders.append(path)
  # Composed, as systems give the same name in several ways.
  folders.sort(key=lambda path: unicodedata.normalize('NFC', path.name))
  named = [(_class_name(path.name), path) for path in folders]
  classes, folders = [name for name, _ in named], [path for _, path in named]
  for i, name in enumerate(classes):
    if name is None:
      problems.append(f'folder {folders[i].name!r}: its name is no UTF-8, so '
                      'it names no class: rename it.')
    elif not name or name in classes[:i]:
      problems.append(
          f'folder {folders[i].name!r}: class {name!r} is '
          f'{"there twice" if name else "no name"}.')
  if len(classes) < 2:
    problems.append(f'it holds {len(classes)} class folder(s), not two.')
  paths, labels = [], []
  for label, path in enumerate(folders):
    if not _is_within(path, folder):
      problems.append(f'folder {path.name!r} lies outside the folder.')
      continue
    found = image_listing.listed(path, folder, problems, left_out)
    if not found:
      problems.append(f'folder {path.name!r}: no image.')
    paths += found
    labels += [label] * len(found)
  image_listing.warn(folder, left_out)
  pixels = checked_images.decode(
      {path: f'folder {path.parent.name!r}' for path in paths}, size, problems)
  problems_lib.report(folder, problems)
  return schema.Labelled(
      checked_images.gather(paths, pixels, preprocess),
      np.array(labels, np.int32), tuple(classes))


def _is_within(path: pathlib.Path, folder: pathlib.Path) -> bool:
  return path.resolve().is_relative_to(folder.resolve())


def _class_name(name: str) -> str | None:
  """Of a folder of this name; None if that is no text.

  Systems differ in how they compose letters: one name may be there twice.
  """
  try:
    name.encode()
  except UnicodeEncodeError:
    return None
  return unicodedata.normalize('NFC', ' '.join(name.replace('_', ' ').split()))
