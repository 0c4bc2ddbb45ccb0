"""ColorSwap as its authors publish it, in either of two layouts.

1,000 examples (700 train, 300 test), each two captions with the same words and
swapped colours, and an image for each. Nothing is downloaded. In the folder lie

* `train.json`, `test.json` and the images: the archive that the README of
  github.com/Top34051/colorswap links to, `images.zip` unpacked. Each file is a
  list of `{"id": 0, "caption_1": ..., "caption_2": ..., "image_1":
  "images/img_0_1.png", "image_2": ..., "image_source": "midjourney",
  "caption_source": "human"}`, paths relative to the folder (as that README
  shows). Or
* `train-*.parquet` and `test-*.parquet`, there or in `data`: a copy of
  huggingface.co/datasets/stanfordnlp/colorswap (access is granted there). The
  columns are the same; an image is a struct of its encoded `bytes` and its
  `path`, as the `datasets` library stores its `Image` feature. Seen in its
  card and in code that reads copies of it, not in the gated files themselves.

References:
  Burapacheep et al., ColorSwap, 2024, arXiv 2402.04492, sections 3 and 4.
"""

from collections.abc import Iterable, Iterator
import itertools
import os
import pathlib
from typing import Any

import numpy as np

from mmal_jax.data import schema
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import image_files
from mmal_jax.data.images import image_listing
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import parquet_rows
from mmal_jax.files import problems as problems_lib

_HALVES = ('1', '2')
_COLUMNS = ('id', 'image_1', 'image_2', 'caption_1', 'caption_2')
_BATCH = 32  # examples of a Parquet file that are in memory at a time
# Where an example stands, and its fields.
Example = tuple[str, dict[str, Any]]


def load(
    folder: str | os.PathLike[str],
    image_size: int | None = None,
    preprocess: preprocess_lib.Preprocess | None = None,
) -> schema.Dataset:
  """Reads both splits: train is the pool, test the test set.

  Args:
    folder: of one of the two layouts.
    image_size: every image is resized to this height and width in pixels and
      kept in memory; 64 if None.
    preprocess: in place of `image_size`: images stay in their files (of
      Parquet, as encoded as they are, in memory), and this is done to them
      whenever they are needed.

  Returns:
    The dataset, two rows an example: its two halves are a Winoground group.

  Raises:
    ValueError: if the folder has neither layout or both; listing every problem
      of the examples and the images.
  """
  folder = pathlib.Path(folder)
  size = checked_images.size_of(image_size, preprocess)
  problems: list[str] = []
  made, digests = {}, {}
  for name, split in (('pool', 'train'), ('test', 'test')):
    batches = _batches(folder, split, problems)
    made[name], digests[name] = _pairs(batches, size, preprocess, problems)
    if not digests[name] and not problems:
      problems.append(f'{split}: no example.')
  problems_lib.report(folder, problems)
  checked_images.warn_of_shared(digests['pool'], digests['test'])
  return schema.Dataset('colorswap', **made)


def _pairs(
    batches: Iterable[list[Example]],
    size: int | None,
    preprocess: preprocess_lib.Preprocess | None,
    problems: list[str],
) -> tuple[schema.Pairs | None, set[bytes]]:
  """Pairs of one split (None if something is wrong) and its image digests."""
  images, texts, digests = [], [], set()
  first: dict[object, str] = {}
  for batch in batches:
    rows, at = [], {}
    for where, fields in batch:
      wrong = [what for half in _HALVES for what in problems_lib.of_text(
          f'caption_{half}', fields[f'caption_{half}'])]
      if type(fields['id']) is not int:
        wrong.append(f"'id' is {json_object.quote(fields['id'])}, not an "
                     'integer')
      elif first.setdefault(fields['id'], where) != where:
        wrong.append(f'id {fields["id"]} stands at {first[fields["id"]]}, too')
      problems += [f'{where}: {what}.' for what in wrong]
      for half in _HALVES:
        image = fields[f'image_{half}']
        if isinstance(image, str):
          problems.append(f'{where}: {image}.')
        else:
          at.setdefault(image, where)
          rows.append((image, fields[f'caption_{half}']))
    pixels = checked_images.decode(at, size, problems)
    digests.update(checked_images.digests(pixels).values())
    texts += [text for _, text in rows]
    images += [image if size is None else pixels.get(image)
               for image, _ in rows]
  if problems or not texts:
    return None, digests
  return schema.image_text(
      np.stack(images) if size is not None
      else image_files.ImageFiles(images, preprocess),
      tuple(texts), np.arange(len(texts), dtype=np.int32) // 2), digests


def _batches(
    folder: pathlib.Path, split: str, problems: list[str]
) -> Iterator[list[Example]]:
  """Examples of a split; a string in place of an image says what is wrong."""
  path = folder / f'{split}.json'
  parquets = sorted([*folder.glob(f'{split}-*.parquet'),
                     *folder.glob(f'data/{split}-*.parquet')])
  if path.exists() == bool(parquets):
    raise ValueError(
        f'{str(folder)!r} has {"both" if parquets else "neither"} {split}.json '
        f'and {split}-*.parquet files; one of them is needed.')
  if not parquets:
    yield list(_json(path, problems))
  for parquet in parquets:
    yield from _parquet(parquet, problems)


def _json(path: pathlib.Path, problems: list[str]) -> Iterator[Example]:
  try:
    examples = json_object.loads(durable.read(path))
  except (OSError, ValueError) as e:
    problems.append(f'{path.name} cannot be read: {durable.reason(e)}.')
    return
  if not isinstance(examples, list):
    problems.append(f'{path.name} is no list of examples.')
    return
  for i, fields in enumerate(examples):
    where = f'{path.name} example {i}'
    if not isinstance(fields, dict):
      problems.append(f'{where}: it is no object.')
      continue
    fields = {name: fields.get(name) for name in _COLUMNS}
    for half in _HALVES:
      name = f'image_{half}'
      value = fields[name]
      try:
        wrong = problems_lib.of_text(name, value)
        fields[name] = wrong[0] if wrong else image_listing.find(
            path.parent, value)
      except ValueError as e:
        fields[name] = str(e)
    yield where, fields


def _parquet(
    path: pathlib.Path, problems: list[str]
) -> Iterator[list[Example]]:
  try:
    missing = set(_COLUMNS) - set(parquet_rows.columns(path))
  except ValueError as e:
    problems.append(f'{path.name} {e}.')
    return
  if missing:
    problems.append(f'{path.name}: no column {sorted(missing)}.')
    return
  of_file: list[str] = []
  rows = parquet_rows.read(path, _COLUMNS, of_file)
  while batch := list(itertools.islice(rows, _BATCH)):
    for _, fields in batch:
      for half in _HALVES:
        fields[f'image_{half}'] = _encoded(
            f'image_{half}', fields[f'image_{half}'])
    yield [(f'{path.name} {place}', fields) for place, fields in batch]
  problems += [f'{path.name}: {one}' for one in of_file]


def _encoded(name: str, value: object) -> image_files.Encoded | str:
  content = value.get('bytes') if isinstance(value, dict) else value
  if not isinstance(content, bytes):
    return f'{name!r} holds no bytes of an image'
  path = value.get('path') if isinstance(value, dict) else None
  return image_files.Encoded(
      path if path and isinstance(path, str) else name, content)
