"""Images and texts whose pairing is unknown.

Only the test set is of pairs: a few must be known to measure how good a
model is. Whatever else is to be known is asked of a person.
"""

import os
import pathlib

from mmal_jax.data import loose_items
from mmal_jax.data import pair_rows
from mmal_jax.data import paired_folder
from mmal_jax.data import schema
from mmal_jax.data import text_list
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import image_listing
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import problems as problems_lib


def load(
    images: str | os.PathLike[str],
    texts: str | os.PathLike[str],
    test_pairs: str | os.PathLike[str],
    image_size: int | None = None,
    preprocess: preprocess_lib.Preprocess | None = None,
    drop_duplicates: bool | None = None,
) -> schema.Dataset:
  """Reads a folder of images and a file of texts as two loose pools.

  Args:
    images: folder of JPEG, PNG and WebP files, and of folders of these; which
      files are images is defined in `image_listing`. No link may lead out of
      it.
    texts: a file of one text a line, none of them blank, or a `.jsonl` of
      `{"text": ...}`; how it is read is described in `text_list`.
    test_pairs: a table as `paired_folder` reads it, of test pairs alone. Paths
      in it are relative to its own folder.
    image_size: every image is resized to this height and width in pixels and
      kept in memory; 64 if None.
    preprocess: in place of `image_size`: images stay in their files, and this
      is done to them whenever they are needed.
    drop_duplicates: whether items that are in a pool twice, and those that are
      in the test set, too, are left out of the pool, and test pairs that stand
      twice out of the test set, the first being kept; how many is logged. If
      not, they are refused.

  Returns:
    The dataset: `pool` is `Loose`, images in order of their paths, texts in
    order of their lines.

  Raises:
    ValueError: naming every path that is missing; listing every problem with
      its line or file: what cannot be read, blank texts, an item that is in a
      pool twice, an image that is in the test set, too.
  """
  size = checked_images.size_of(image_size, preprocess)
  _check_paths(images, texts, test_pairs)
  folder, file, table = map(pathlib.Path, (images, texts, test_pairs))
  of_table: list[str] = []
  rows = paired_folder.read_table(
      table.parent, table.name, of_table, drop_duplicates)
  of_table += [
      f"{row.place}: 'split' is {row.split!r}, but all are test pairs."
      for row in rows if row.split not in (None, 'test')]
  test_pixels = checked_images.decode(
      pair_rows.first_places(rows), size, of_table)
  if not rows and not of_table:
    of_table.append('it holds no rows.')

  of_texts: list[str] = []
  loose = loose_items.texts(
      text_list.read(file, of_texts), 'text', rows, drop_duplicates, of_texts)

  of_images: list[str] = []
  left_out: list[image_listing.LeftOut] = []
  found = image_listing.listed(folder, folder, of_images, left_out)
  image_listing.warn(folder, left_out)
  if not found and not of_images:
    of_images.append('it holds no image.')
  pixels = checked_images.decode(
      {path: str(path.relative_to(folder)) for path in found}, size, of_images)
  kept = loose_items.images(
      {path: f'image {str(path.relative_to(folder))!r}' for path in pixels},
      test_pixels, drop_duplicates, of_images)
  if not kept and not of_images:
    of_images.append('all its images are in the test set, too.')
  problems_lib.report(f'{folder}, {file.name} or {table.name}', [
      f'{path.name}: {problem}'
      for path, wrong in ((folder, of_images), (file, of_texts),
                          (table, of_table))
      for problem in wrong])
  return schema.Dataset(
      'unpaired_folder',
      schema.Loose({
          'image': checked_images.gather(kept, pixels, preprocess),
          'text': loose}),
      pair_rows.to_pairs(rows, test_pixels, preprocess))


def _check_paths(images, texts, test_pairs) -> None:
  """Names all that is missing at once."""
  missing = []
  if images is None or not pathlib.Path(images).is_dir():
    missing.append(f'images={_given(images)} is no folder: give one of images.')
  for name, path, wrong_ending, what in (
      ('texts', texts, text_list.wrong_ending, 'texts, one a line'),
      ('test_pairs', test_pairs, paired_folder.wrong_ending,
       'image and text of a few pairs that are known')):
    wanted = f'give a file of {what}.'
    if path is None or not pathlib.Path(path).exists():
      missing.append(f'{name}={_given(path)} cannot be read, there is no such '
                     f'file: {wanted}')
    elif wrong := wrong_ending(path):
      missing.append(f'{name}={_given(path)} {wrong}: {wanted}')
  problems_lib.report('unpaired_folder', missing)


def _given(path) -> str:
  return 'None' if path is None else repr(os.fspath(path))
