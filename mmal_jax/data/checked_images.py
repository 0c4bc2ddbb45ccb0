"""Images of somebody's files: found, each decoded once, and kept or left."""

from collections.abc import Collection, Iterable, Mapping
import concurrent.futures
import hashlib
import pathlib

from absl import logging
import numpy as np

from mmal_jax.data import image_files
from mmal_jax.data import images as images_lib
from mmal_jax.data import preprocess as preprocess_lib
from mmal_jax.data import schema

_MAX_NAME = 4096  # letters of a path; no system takes more
_SUFFIXES = ('.jpeg', '.jpg', '.png', '.webp')


def size_of(
    image_size: int | None, preprocess: preprocess_lib.Preprocess | None
) -> int | None:
  """What images are resized to in memory; None: they stay in their files.

  Args:
    image_size: 64 if None.
    preprocess: in place of it.

  Raises:
    ValueError: if both are given, or `image_size` is below 1.
  """
  if preprocess is not None:
    if image_size is not None:
      raise ValueError(
          f'image_size={image_size!r} is given, but the model takes images of '
          f'{preprocess.size}: leave it out.')
    return None
  image_size = 64 if image_size is None else image_size
  if image_size < 1:
    raise ValueError(f'image_size={image_size!r} must be at least 1.')
  return image_size


def find(folder: pathlib.Path, name: str) -> pathlib.Path:
  """The path of a file that a table names.

  Args:
    folder: what `name` is relative to and may not lead out of.
    name: as the table says it.

  Raises:
    ValueError: if it lies outside the folder or is no file, without a full
      stop: what was wrong with image `name`.
  """
  if len(name) > _MAX_NAME:
    raise ValueError(f'image {name[:40]!r}... cannot be found: its path has '
                     f'{len(name)} letters, more than {_MAX_NAME}')
  try:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
      raise ValueError(f'image {name!r} lies outside the folder')
    if not path.is_file():
      raise ValueError(f'image {name!r} '
                       + ('is no file' if path.exists() else 'does not exist'))
  except (OSError, RuntimeError) as e:  # too long a name, a loop of links
    raise ValueError(f'image {name[:40]!r} cannot be found: {e}') from e
  return path


def listed(
    folder: pathlib.Path, root: pathlib.Path, problems: list[str]
) -> list[pathlib.Path]:
  """Paths of all images in a folder and those in it, by their ending.

  Args:
    folder: what is hidden in it is not seen; links to folders are not followed.
    root: the folder, or one around it: no file's link may lead out of it.
    problems: takes a sentence for each image that `find` refuses, and each
      folder that cannot be read.

  Returns:
    The paths of the others, sorted.
  """
  found, folders = [], [folder]
  while folders:  # not `rglob`: it passes over what it may not read
    try:
      entries = [path for path in folders.pop().iterdir()
                 if not path.name.startswith('.')]
    except OSError as e:
      problems.append(f'a folder cannot be read: {e}.')
      continue
    for path in entries:
      if path.is_dir():
        folders += [] if path.is_symlink() else [path]
      elif path.suffix.lower() in _SUFFIXES:
        found.append(path)
  sound = []
  for path in sorted(found):
    try:
      find(root, str(path.relative_to(root)))
      sound.append(path)
    except ValueError as e:
      problems.append(f'{e}.')
  return sound


def decode(
    at: Mapping[image_files.Source, str], size: int | None, problems: list[str]
) -> dict[image_files.Source, np.ndarray]:
  """Decodes every image once, to see that it can be.

  Args:
    at: where each image is named, `line 3` for one.
    size: height and width of what is kept; None keeps no pixels.
    problems: takes a sentence for each image that cannot be read.

  Returns:
    Of the images that can be read, `[size, size, 3]` uint8 or an empty array.
  """
  def one(source):
    try:
      pixels = images_lib.decode(image_files.content(source), size)
      return np.empty(0, np.uint8) if size is None else pixels
    except ValueError as e:
      return e

  found = {}
  with concurrent.futures.ThreadPoolExecutor() as pool:
    for source, pixels in zip(at, pool.map(one, at)):
      if isinstance(pixels, np.ndarray):
        found[source] = pixels
      else:
        problems.append(f'{at[source]}: image {source.name!r} {pixels}')
  return found


def digests(
    sources: Collection[image_files.Source]
) -> dict[image_files.Source, bytes]:
  """SHA-256 of each image's encoded bytes: copies share theirs."""
  # Not of the pixels: once resized, different icons may coincide.
  with concurrent.futures.ThreadPoolExecutor() as pool:
    return dict(zip(sources, pool.map(image_files.digest, sources)))


def gather(
    sources: Iterable[image_files.Source],
    pixels: Mapping[image_files.Source, np.ndarray],
    preprocess: preprocess_lib.Preprocess | None,
) -> schema.Images:
  """n images as a dataset holds them.

  Args:
    sources: n of them, in any order, and again and again if need be.
    pixels: as `decode` returns them.
    preprocess: what is done to images that stay where they are.

  Returns:
    `[n, size, size, 3]` uint8, or the same to be decoded when it is needed.
  """
  if preprocess is not None:
    return image_files.ImageFiles(sources, preprocess)
  return np.stack([pixels[source] for source in sources])


def digests_as_held(images: schema.Images) -> list[bytes]:
  """SHA-256 of each image of a dataset: of its file, or else of its pixels."""
  if isinstance(images, image_files.ImageFiles):
    return images.digests
  return [hashlib.sha256(np.ascontiguousarray(image)).digest()
          for image in images]


def warn_of_shared(
    pool: Collection[bytes], test: Collection[bytes], kind: str = 'test'
) -> None:
  """Logs how many test images the pool holds, too: no error in a published set.

  Args:
    pool: digests of the pool's images, each once or more.
    test: the same of the test set.
    kind: what the images of the test set are called.
  """
  test = set(test)
  shared = len(test.intersection(pool))
  if shared:
    logging.warning('%d of %d %s images are in the pool, too.',
                    shared, len(test), kind)
