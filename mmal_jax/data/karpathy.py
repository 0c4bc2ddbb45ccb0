"""Flickr8k, Flickr30k and MS-COCO in the splits of Karpathy and Li.

The annotations are one of `dataset_flickr8k.json`, `dataset_flickr30k.json`
and `dataset_coco.json` of cs.stanford.edu/people/karpathy/deepimagesent:
`{"images": [{"filename": ..., "filepath": "val2014" (COCO only), "split":
"train", "sentences": [{"raw": ...}, ...]}, ...], "dataset": ...}`; the images
are those that the datasets' own authors hand out. Nothing is downloaded.

References:
  Karpathy and Li, Deep visual-semantic alignments, 2015, section 4.
"""

from collections.abc import Iterable
import os
import pathlib
from typing import NamedTuple

from absl import logging

from mmal_jax.data import schema
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import image_listing
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib

_MAX_BYTES = 2**31  # of the annotations; COCO's are less than a tenth
_SPLIT_OF = {'train': 'pool', 'restval': 'pool', 'test': 'test', 'val': None}


class Image(NamedTuple):
  """One checked image: where it stands, its file, its captions, its split."""

  where: str
  path: pathlib.Path
  captions: tuple[str, ...]
  split: str


def load(
    annotations: str | os.PathLike[str],
    images: str | os.PathLike[str],
    captions: int = 1,
    test_captions: int = 5,
    image_size: int | None = None,
    preprocess: preprocess_lib.Preprocess | None = None,
) -> schema.Dataset:
  """Reads images with their first captions, a row each.

  Args:
    annotations: path of the JSON file.
    images: folder of the images: `filename` is looked for in it, in its folder
      `filepath` where the file says one.
    captions: of each image of the pool, which is `train` and `restval`. More
      than one makes an image stand in as many rows.
    test_captions: of each image of the test set, which is `test`; 5 is what
      published recalls are measured with. `val` is left out.
    image_size: every image is resized to this height and width in pixels and
      kept in memory, once for each of its rows; 64 if None.
    preprocess: in place of `image_size`: images stay in their files, and this
      is done to them whenever they are needed.

  Returns:
    The dataset; it has no groups and no `pretrain`.

  Raises:
    ValueError: for a number of captions below 1; listing every problem of the
      annotations, an image with too few captions among them, and of the images.
  """
  size = checked_images.size_of(image_size, preprocess)
  wanted = {'pool': captions, 'test': test_captions}
  for name, n in (('captions', captions), ('test_captions', test_captions)):
    if n < 1:
      raise ValueError(f'{name}={n!r} must be at least 1.')
  path = pathlib.Path(annotations)
  problems: list[str] = []
  found = _check(_read(path, problems), pathlib.Path(images), wanted, problems)
  pixels = checked_images.decode(
      {image.path: image.where for image in found}, size, problems)
  for split in wanted:
    if not problems and not any(image.split == split for image in found):
      problems.append(f'no image is of the {split}.')
  problems_lib.report(path, problems)
  digests = checked_images.digests(pixels)
  checked_images.warn_of_shared(*(
      [digests[image.path] for image in found if image.split == split]
      for split in ('pool', 'test')))
  return schema.Dataset('karpathy', **{
      split: _pairs([image for image in found if image.split == split],
                    pixels, preprocess)
      for split in wanted})


def _pairs(found: list[Image], pixels, preprocess) -> schema.Pairs:
  rows = [(image.path, text) for image in found for text in image.captions]
  return schema.image_text(
      checked_images.gather([path for path, _ in rows], pixels, preprocess),
      tuple(text for _, text in rows),
      schema.no_groups(len(rows)))


def _read(path: pathlib.Path, problems: list[str]) -> list[object]:
  try:
    content = json_object.loads(durable.read(path, _MAX_BYTES))
  except (OSError, ValueError) as e:
    problems.append(f'it cannot be read: {durable.reason(e)}.')
    return []
  images = content.get('images') if isinstance(content, dict) else None
  if not isinstance(images, list) or not images:
    problems.append("it has no list of 'images'.")
    return []
  return images


def _check(
    entries: Iterable[object], folder: pathlib.Path, wanted: dict[str, int],
    problems: list[str],
) -> list[Image]:
  """Keeps the sound images of pool and test; says what is wrong with others."""
  found, unused = [], 0
  first: dict[pathlib.Path, str] = {}
  for i, entry in enumerate(entries):
    where = f'image {i}'
    if not isinstance(entry, dict):
      problems.append(f'{where}: it is no object.')
      continue
    name, split_name = entry.get('filename'), entry.get('split')
    if split_name not in tuple(_SPLIT_OF):  # It may have no hash.
      problems.append(f"{where}: 'split' is {json_object.quote(split_name)}, "
                      f'not one of {", ".join(_SPLIT_OF)}.')
      continue
    split = _SPLIT_OF[split_name]
    if split is None:
      unused += 1
      continue
    captions, wrong = _captions(entry.get('sentences'), wanted[split])
    wrong += problems_lib.of_text('filename', name)
    if 'filepath' in entry:
      wrong += problems_lib.of_text('filepath', entry['filepath'])
    if not wrong:
      try:
        path = image_listing.find(
            folder, os.path.join(entry.get('filepath', ''), name))
        if first.setdefault(path, where) != where:
          wrong.append(f'the same file as {first[path]}')
      except ValueError as e:
        wrong.append(str(e))
    if wrong:
      problems += [f'{where}: {what}.' for what in wrong]
    else:
      found.append(Image(where, path, captions, split))
  if unused:
    logging.info('%d images of the split val are left out.', unused)
  return found


def _captions(
    sentences: object, n: int
) -> tuple[tuple[str, ...], list[str]]:
  """The first n captions, and what is wrong with them."""
  if not isinstance(sentences, list) or len(sentences) < n:
    has = len(sentences) if isinstance(sentences, list) else 'no list of'
    return (), [f'it has {has} captions, and {n} are needed']
  raws = [one.get('raw') if isinstance(one, dict) else None
          for one in sentences[:n]]
  return tuple(raws), [
      what for raw in raws for what in problems_lib.of_text('raw', raw)]
