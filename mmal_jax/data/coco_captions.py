"""MS-COCO captions as TFDS's own builder `coco_captions` prepares them.

COCO 2014 in the splits of Karpathy and Li. Preparing it (once, more than 20 GB
to download) takes TensorFlow:

  pip install mmal_jax[tensorflow]
  tfds build coco_captions --data_dir=DIR --file_format=array_record

Reading it back takes none, and downloads nothing. Who has the images already
and wants no second copy of them reads Karpathy's own JSON file with `karpathy`.

References:
  Chen et al., Microsoft COCO captions, 2015. Karpathy and Li, Deep
  visual-semantic alignments, 2015, section 4.
"""

from collections.abc import Iterator, Sequence
import dataclasses
import os
import pathlib
from typing import Any

import tensorflow_datasets as tfds

from mmal_jax.data import schema
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib

_SPLITS = {'pool': ('train', 'restval'), 'test': ('test',)}


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
  """An encoded image inside a prepared dataset, read in place.

  Attributes:
    records: of one split, `image` undecoded.
    row: in it.
    name: of the image's file.
  """

  records: Sequence[dict[str, Any]]
  row: int
  name: str

  def __str__(self) -> str:
    return self.name

  def read_bytes(self) -> bytes:
    """The JPEG."""
    return self.records[self.row]['image']


def load(
    data_dir: str | os.PathLike[str],
    captions: int = 1,
    test_captions: int = 5,
    image_size: int | None = None,
    preprocess: preprocess_lib.Preprocess | None = None,
) -> schema.Dataset:
  """Reads images with their first captions, a row each.

  Args:
    data_dir: where TFDS prepared it: the folder in which `coco_captions` lies.
    captions: of each image of the pool, which is `train` and `restval`. More
      than one makes an image stand in as many rows.
    test_captions: of each image of the test set, which is `test`; 5 is what
      published recalls are measured with. `val` is left out.
    image_size: every image is resized to this height and width in pixels and
      kept in memory, once for each of its rows; 64 if None.
    preprocess: in place of `image_size`: images stay in TFDS's files, and this
      is done to them whenever they are needed.

  Returns:
    The dataset; it has no groups and no `pretrain`.

  Raises:
    ValueError: if nothing is prepared there, in another format, or what is
      there names other people's code or files elsewhere; for a number of
      captions below 1; listing every split that is missing, every image with
      too few captions or that cannot be read; for a pool or test set of none.
  """
  size = checked_images.size_of(image_size, preprocess)
  wanted = {'pool': captions, 'test': test_captions}
  for name, n in (('captions', captions), ('test_captions', test_captions)):
    if n < 1:
      raise ValueError(f'{name}={n!r} must be at least 1.')
  sources = _open(pathlib.Path(data_dir))
  problems = [
      f'it has no split {split!r}, but {", ".join(sorted(sources))}.'
      for splits in _SPLITS.values() for split in splits
      if split not in sources]
  found = {
      side: [one for split in splits for one in _read(
          split, sources.get(split, ()), wanted[side], problems)]
      for side, splits in _SPLITS.items()}
  for side, rows in found.items():
    if not problems and not rows:
      problems.append(f'no image is of the {side}.')
  pixels = checked_images.decode(
      {record: where for rows in found.values() for where, record, _ in rows},
      size, problems)
  problems_lib.report(f'coco_captions in {str(data_dir)!r}', problems)
  digests = checked_images.digests(pixels)
  checked_images.warn_of_shared(*(
      [digests[record] for _, record, _ in rows] for rows in found.values()))
  return schema.Dataset('coco_captions', **{
      side: _pairs(rows, pixels, preprocess) for side, rows in found.items()})


def _open(data_dir: pathlib.Path) -> dict[str, Sequence[dict[str, Any]]]:
  """Records by split, of the newest version that is prepared."""
  how = ('with TensorFlow installed (the extra `tensorflow`), `tfds build '
         f'coco_captions --data_dir={data_dir} --file_format=array_record` '
         'prepares it.')
  versions = sorted(
      data_dir.glob('coco_captions/2014/*.*.*/dataset_info.json'),
      key=lambda path: tfds.core.Version(path.parent.name))
  if not versions:
    raise ValueError(f'data_dir={str(data_dir)!r} has no coco_captions/2014; '
                     + how)
  folder = versions[-1].parent
  try:
    _check_classes(json_object.loads(durable.read(folder / 'features.json')))
    json_object.loads(durable.read(versions[-1]))
    builder = tfds.builder_from_directory(folder)
    kept = builder.info.file_format.value
    if kept != 'array_record':
      raise ValueError(f'it holds {kept}, of which no single image can be '
                       'read; in another folder and ' + how)
    for split in builder.info.splits.values():
      for path, rows in zip(split.filepaths, split.shard_lengths, strict=True):
        _check_shard(folder, pathlib.Path(path), rows)
    # Undecoded: TFDS's own decoding would make the arrays one by one.
    return builder.as_data_source(
        decoders={'image': tfds.decode.SkipDecoding()})
  except Exception as e:  # TFDS and array_record raise a dozen kinds
    raise ValueError(f'{str(folder)!r} cannot be read: '
                     f'{problems_lib.shortened(durable.reason(e))}.') from e


def _check_classes(value: object) -> None:
  """Refuses features of other classes than TFDS's: it imports what is named."""
  if isinstance(value, dict):
    for key, inner in value.items():
      if key in ('pythonClassName', 'python_class_name', 'type') and not (
          str(inner).startswith('tensorflow_datasets.core.features.')):
        raise ValueError(f'features.json names {json_object.quote(inner)}, no '
                         'feature of TFDS')
      _check_classes(inner)
  elif isinstance(value, list):
    for inner in value:
      _check_classes(inner)


def _check_shard(folder: pathlib.Path, path: pathlib.Path, rows: int) -> None:
  if path.resolve().parent != folder.resolve() or not path.is_file():
    raise ValueError(f'dataset_info.json names {path.name!r}, no file of this '
                     'folder')
  if not 0 <= rows <= path.stat().st_size:
    raise ValueError(f'dataset_info.json says that {path.name!r} holds {rows} '
                     f'images, and it has {path.stat().st_size} bytes')


def _read(
    split: str, records: Sequence[dict[str, Any]], n: int, problems: list[str]
) -> Iterator[tuple[str, Record, tuple[str, ...]]]:
  """Yields where an image stands, the image and its first n captions."""
  for row in range(len(records)):
    where = f'{split} row {row}'
    try:
      fields = records[row]
      texts = [text.decode() for text in fields['captions']['text'][:n]]
      record = Record(records, row, fields['image/filename'].decode())
    except Exception as e:  # array_record and TFDS raise a dozen kinds
      problems.append(f'{where}: it cannot be read: '
                      f'{problems_lib.shortened(durable.reason(e))}.')
      continue
    wrong = [what for text in texts
             for what in problems_lib.of_text('text', text)]
    if len(texts) < n:
      wrong.append(f'it has {len(texts)} captions, and {n} are needed')
    problems += [f'{where}: {what}.' for what in wrong]
    yield where, record, tuple(texts)


def _pairs(rows, pixels, preprocess) -> schema.Pairs:
  unfolded = [(record, text) for _, record, texts in rows for text in texts]
  return schema.image_text(
      checked_images.gather([r for r, _ in unfolded], pixels, preprocess),
      tuple(text for _, text in unfolded), schema.no_groups(len(unfolded)))
