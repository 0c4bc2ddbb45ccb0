"""Images of a user's files: each decoded once, and kept or left."""

from collections.abc import Collection, Iterable, Mapping
import concurrent.futures
import hashlib

from absl import logging
import numpy as np

from mmal_jax import progress
from mmal_jax.data import schema
from mmal_jax.data.images import image_files
from mmal_jax.data.images import images as images_lib
from mmal_jax.data.images import preprocess as preprocess_lib


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
    for source, pixels in zip(at, progress.steps(
        pool.map(one, at), len(at), 'reading images')):
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
  return dict(zip(sources, image_files.digests(sources), strict=True))


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
