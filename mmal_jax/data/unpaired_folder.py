"""Images and texts of which nobody knows yet what belongs to what.

Only the test set is of pairs: somebody has to know a few to tell how good a
model is. Whatever else is to be known is asked of a person.
"""

import json
import os
import pathlib

from mmal_jax.data import checked_images
from mmal_jax.data import paired_folder
from mmal_jax.data import preprocess as preprocess_lib
from mmal_jax.data import problems as problems_lib
from mmal_jax.data import schema


def load(
    images: str | os.PathLike[str],
    texts: str | os.PathLike[str],
    test_pairs: str | os.PathLike[str],
    image_size: int | None = None,
    preprocess: preprocess_lib.Preprocess | None = None,
) -> schema.Dataset:
  """Reads a folder of images and a file of texts as two loose pools.

  Args:
    images: folder of JPEG, PNG and WebP files, by their ending, and of folders
      of these.
    texts: a `.txt` of one text a line, none of them blank, or a `.jsonl` of
      `{"text": ...}`.
    test_pairs: a table as `paired_folder` reads it, of test pairs alone. Paths
      in it are relative to its own folder.
    image_size: every image is resized to this height and width in pixels and
      kept in memory; 64 if None.
    preprocess: in place of `image_size`: images stay in their files, and this
      is done to them whenever they are needed.

  Returns:
    The dataset: `pool` is `Loose`, images in order of their paths, texts in
    order of their lines.

  Raises:
    ValueError: listing every problem with its line or file: what cannot be
      read, blank texts, an item that is in a pool twice, an image that is in
      the test set, too.
  """
  folder, file, table = map(pathlib.Path, (images, texts, test_pairs))
  size = checked_images.size_of(image_size, preprocess)
  if not folder.is_dir():
    raise ValueError(f'images={str(folder)!r} is no folder.')
  of_texts: list[str] = []
  loose = _texts(file, of_texts)

  of_table: list[str] = []
  rows = paired_folder.read_table(table.parent, table.name, of_table)
  of_table += [
      f"line {row.line}: 'split' is {row.split!r}, but all are test pairs."
      for row in rows if row.split not in (None, 'test')]
  test_pixels = checked_images.decode(
      paired_folder.first_lines(rows), size, of_table)
  if not rows and not of_table:
    of_table.append('it holds no rows.')

  of_images: list[str] = []
  at = {path: str(path.relative_to(folder))
        for path in checked_images.listed(folder)}
  pixels = checked_images.decode(at, size, of_images)
  of_images += _copies(at, pixels, test_pixels)
  if not at:
    of_images.append('it holds no image.')
  problems_lib.report(f'{folder}, {file.name} or {table.name}', [
      f'{path.name}: {problem}'
      for path, found in ((folder, of_images), (file, of_texts),
                          (table, of_table))
      for problem in found])
  return schema.Dataset(
      'unpaired_folder',
      schema.Loose({
          'image': checked_images.gather(at, pixels, preprocess),
          'text': loose}),
      paired_folder.to_pairs(rows, test_pixels, preprocess))


def _copies(at: dict[pathlib.Path, str], pixels, test_pixels) -> list[str]:
  """Images that are there twice, or in the test set, too."""
  tests = {digest: path for path, digest
           in checked_images.digests(test_pixels).items()}
  first: dict[bytes, pathlib.Path] = {}
  problems = []
  for path, digest in checked_images.digests(pixels).items():
    if digest in tests:
      problems.append(f'image {at[path]!r} is the same as '
                      f'{tests[digest].name!r} of the test pairs.')
    elif first.setdefault(digest, path) != path:
      problems.append(
          f'image {at[path]!r} is the same as {at[first[digest]]!r}.')
  return problems


def _texts(path: pathlib.Path, problems: list[str]) -> tuple[str, ...]:
  """Reads and checks the texts, one a line."""
  if path.suffix not in ('.txt', '.jsonl'):
    raise ValueError(f'texts={str(path)!r} must end in .txt or .jsonl.')
  try:
    lines = path.read_bytes().decode('utf-8-sig').split('\n')
  except OSError as e:
    raise ValueError(f'texts={str(path)!r} cannot be read: {e}') from e
  except UnicodeDecodeError as e:
    raise ValueError(f'texts={str(path)!r} is not UTF-8 text: {e}') from e
  if not lines[-1]:
    lines.pop()
  found: dict[str, int] = {}
  for number, line in enumerate(lines, 1):
    text: object = line.removesuffix('\r')
    if path.suffix == '.jsonl':
      if not line.strip():
        continue
      try:
        fields = json.loads(line, object_pairs_hook=problems_lib.once)
      except (ValueError, RecursionError) as e:
        problems.append(f'line {number}: bad JSON: {e}.')
        continue
      if not isinstance(fields, dict) or fields.keys() != {'text'}:
        problems.append(f'line {number}: {line.strip()[:40]!r} is no object of '
                        "a 'text' alone.")
        continue
      text = fields['text']
    wrong = problems_lib.of_text('text', text)
    if not wrong and found.setdefault(text, number) != number:
      wrong.append(f'the same text as line {found[text]}')
    problems += [f'line {number}: {what}.' for what in wrong]
  if not found and not problems:
    problems.append('it holds no text.')
  return tuple(found)
