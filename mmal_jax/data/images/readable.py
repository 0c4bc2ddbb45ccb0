"""Whether images can be read, found out before any work is done on them."""

from collections.abc import Container, Sequence
import concurrent.futures
import hashlib
import io
import os

from PIL import Image

from mmal_jax import progress
from mmal_jax.data.images import image_files
from mmal_jax.data.images import images as images_lib

_BLOCK = 1024  # images whose tasks wait at a time


def check(
    sources: Sequence[image_files.Source],
    known: Container[bytes],
    problems: list[str],
) -> list[bytes]:
  """Reads every image once: its digest, and whether it can be decoded.

  A JPEG is decoded at an eighth of its size, which takes all of its bytes, but
  a half of the time (baseline, 640 x 480) or a third (2000 x 1500); others as a
  whole.

  Args:
    sources: n images.
    known: digests of images that have been decoded before: they are not again.
    problems: takes a sentence for each image that cannot be read.

  Returns:
    n SHA-256 of the encoded bytes; empty for those with a problem.
  """
  def one(source) -> tuple[bytes, str | None]:
    try:
      content = image_files.read(source)
      digest = hashlib.sha256(content).digest()
      if digest not in known and not _is_sound_jpeg(content):
        images_lib.open_rgb(image_files.content(source))
      return digest, None
    except ValueError as e:
      return b'', f'image {str(source)!r} {e}.'

  digests = []
  with concurrent.futures.ThreadPoolExecutor((os.cpu_count() or 1) + 4) as pool:
    found = (result for first in range(0, len(sources), _BLOCK)
             for result in pool.map(one, sources[first:first + _BLOCK]))
    for digest, problem in progress.steps(
        found, len(sources), 'checking images'):
      digests.append(digest)
      if problem is not None:
        problems.append(problem)
  return digests


def _is_sound_jpeg(content: bytes) -> bool:
  """True only for a JPEG that `images.open_rgb` can decode."""
  if not content.startswith(b'\xff\xd8'):
    return False
  try:
    with Image.open(io.BytesIO(content), formats=('JPEG',)) as image:
      long, short = max(image.size), min(image.size)
      if (long * short > images_lib.MAX_PIXELS
          or long > images_lib.MAX_SIDES * short):
        return False
      image.draft('RGB', (1, 1))
      image.load()
      return True
  except Exception:  # pylint: disable=broad-except
    return False  # The decoder reports what is wrong.
