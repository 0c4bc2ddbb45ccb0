"""Images and texts of which nobody knows yet what belongs to what.

Only the test set is of pairs: somebody has to know a few to tell how good a
model is. Whatever else is to be known is asked of a person.
"""

from collections.abc import Iterator
import os
import pathlib

from mmal_jax import durable
from mmal_jax.data import checked_images
from mmal_jax.data import json_lines
from mmal_jax.data import json_object
from mmal_jax.data import paired_folder
from mmal_jax.data import preprocess as preprocess_lib
from mmal_jax.data import problems as problems_lib
from mmal_jax.data import schema

_MAX_BYTES = 2**31  # of the texts, which are read as a whole


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
      of these. No link may lead out of it.
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
      f"{row.place}: 'split' is {row.split!r}, but all are test pairs."
      for row in rows if row.split not in (None, 'test')]
  test_pixels = checked_images.decode(
      paired_folder.first_lines(rows), size, of_table)
  if not rows and not of_table:
    of_table.append('it holds no rows.')

  of_images: list[str] = []
  at = {path: str(path.relative_to(folder))
        for path in checked_images.listed(folder, folder, of_images)}
  pixels = checked_images.decode(at, size, of_images)
  of_images += _copies(at, pixels, test_pixels)
  if not at and not of_images:
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
    content = durable.read(path, _MAX_BYTES)
  except (OSError, ValueError) as e:
    raise ValueError(f'texts={str(path)!r} cannot be read: {e}') from e
  read = _plain_lines if path.suffix == '.txt' else _json_lines
  found: dict[str, str] = {}
  for place, text in read(content, problems):
    wrong = problems_lib.of_text('text', text)
    if not wrong and found.setdefault(text, place) != place:
      wrong.append(f'the same text as {found[text]}')
    problems += [f'{place}: {what}.' for what in wrong]
  if not found and not problems:
    problems.append('it holds no text.')
  return tuple(found)


def _plain_lines(
    content: bytes, problems: list[str]
) -> Iterator[tuple[str, str]]:
  try:
    lines = content.decode('utf-8-sig').split('\n')
  except UnicodeDecodeError as e:
    problems.append(f'not UTF-8 text: {e}.')
    return
  if not lines[-1]:
    lines.pop()
  for number, line in enumerate(lines, 1):
    yield f'line {number}', line.removesuffix('\r')


def _json_lines(
    content: bytes, problems: list[str]
) -> Iterator[tuple[str, object]]:
  for place, fields in json_lines.read(content, None, problems):
    if fields.keys() == {'text'}:
      yield place, fields['text']
    else:
      problems.append(
          f'{place}: it has the fields {json_object.told(list(fields))}; '
          "'text' alone is needed.")
