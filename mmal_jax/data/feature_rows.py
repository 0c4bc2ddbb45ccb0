"""Feature rows as people see them: by a label, or by their row in a file."""

from collections.abc import Sequence
import os
import pathlib
import re

from absl import logging
import numpy as np

from mmal_jax.data import text_list
from mmal_jax.data.images import image_files
from mmal_jax.data.images import image_formats
from mmal_jax.data.images import image_listing
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import durable
from mmal_jax.files import problems as problems_lib

# Of what a browser may show, be it read by this package or not.
_ENDINGS = (*image_formats.ENDINGS, '.bmp', '.gif', '.svg', '.tif', '.tiff')

# A text for each row, or an image.
Labels = Sequence[str] | image_files.ImageFiles


class FeatureRows:
  """n rows of features, with what stands for each where people look at it.

  Attributes:
    values: `[n, d]` float32.
    labels: n texts, or n images.
    rows: `[n]` int, the row of each in the user's file, from 0 on.
    labelled: whether the user gave the labels; else they name the rows.
  """

  def __init__(self, values: np.ndarray, labels: Labels, rows: np.ndarray,
               labelled: bool):
    self.values, self.labels = values, labels
    self.rows, self.labelled = rows, labelled

  def __len__(self) -> int:
    return len(self.rows)

  def select(self, rows: np.ndarray) -> 'FeatureRows':
    """Some of them, in that order.

    Args:
      rows: `[m]` int, within `[0, n)`.
    """
    labels = (self.labels.select(rows)
              if isinstance(self.labels, image_files.ImageFiles)
              else [self.labels[row] for row in rows])
    return FeatureRows(
        self.values[rows], labels, self.rows[rows], self.labelled)


def label(
    values: np.ndarray,
    source: str | os.PathLike[str],
    key: str,
    path: str | os.PathLike[str] | None = None,
    preprocess: preprocess_lib.Preprocess | None = None,
) -> FeatureRows:
  """Labels all rows of a file of features.

  Args:
    values: `[n, d]`, all rows of the file, in order.
    source: the file.
    key: of the array in it, where a file holds several.
    path: of n labels, as `read` takes it; None labels each row by its number.
    preprocess: of images.

  Raises:
    ValueError: as `read`.
  """
  n = len(values)
  name = pathlib.Path(source).name
  of = name if name.endswith('.npy') else f'{key} in {name}'
  labels = [''] * n if path is None else read(path, n, key, preprocess)
  if not isinstance(labels, image_files.ImageFiles):
    # Where there is none, the row is better than nothing.
    labels = [one if one.strip() else f'row {row} of {of}'
              for row, one in enumerate(labels)]
  return FeatureRows(values, labels, np.arange(n), path is not None)


def read(
    path: str | os.PathLike[str], n: int, modality: str,
    preprocess: preprocess_lib.Preprocess | None = None,
) -> Labels:
  """Reads the labels of n rows.

  Args:
    path: a list of texts, as `text_list` reads it, whose text i labels row i,
      from 0 on: as it stands, or as the path of an image, absolute or relative
      to that file's folder or to the current one. Names of files that are no
      UTF-8 stand there byte for byte. Or a folder, whose images in the order of
      their paths (or, if it holds none, names of files) label the rows.
    n: how many there have to be.
    modality: for messages.
    preprocess: of images.

  Returns:
    Texts, or images that are not read yet.

  Raises:
    ValueError: if it cannot be read, does not label n rows, names in a folder
      that differ in a number alone are not in the order of these, or some of
      the lines name an image that exists and others one that does not.
  """
  path = pathlib.Path(path)
  preprocess = preprocess or preprocess_lib.Preprocess(size=64, edge=64)
  what = f'labels.{modality}={str(path)!r}'
  if path.is_dir():
    problems: list[str] = []
    left_out: list[image_listing.LeftOut] = []
    images = image_listing.listed(path, path, problems, left_out)
    problems_lib.report(path, problems)
    if images:
      image_listing.warn(path, left_out)
    found = images or sorted(
        str(file.relative_to(path)) for file in path.rglob('*')
        if file.is_file() and not any(map(
            image_listing.is_hidden, file.relative_to(path).parts)))
    kind = 'images' if images else 'files'
  else:
    found, images = _listed(what, path, n)
    kind = 'lines'
  if len(found) != n:
    raise ValueError(
        f'{what} has {len(found)} {kind}, but the features of {modality} have '
        f'{n} rows: label i is that of row i.')
  if path.is_dir():
    pair = _out_of_order([
        str(file.relative_to(path)) for file in images] or found)
    if pair is not None:
      raise ValueError(
          f'{what}: {pair[0]!r} comes before {pair[1]!r} by name, but not by '
          'number. Which row does each one label? Give a text file with a path '
          'a line, as the image.txt of experiments.embed is one.')
  return image_files.ImageFiles(images, preprocess) if images else found


def _out_of_order(names: Sequence[str]) -> tuple[str, str] | None:
  """The first two names that count their items, the higher number first.

  Numbers within digests and UUIDs, and ones far above the number of items, as
  those of a photo site, count nothing.

  Args:
    names: in the order in which they label rows.
  """
  last: dict[str, tuple[int, str]] = {}
  most = max(1000, 10 * len(names))
  for name in names:
    for found in re.finditer(r'\d+(?![^\W_])', name):
      number, before = int(found[0]), name[:found.start()]
      if before in last and number < last[before][0] <= most:
        return last[before][1], name
      last[before] = number, name
  return None


def _listed(
    what: str, path: pathlib.Path, n: int
) -> tuple[list[str], list[pathlib.Path]]:
  """Labels of a file, and the images that they name, if they name n of them."""
  wrong = text_list.wrong_ending(path)
  if wrong is not None:
    raise ValueError(f'{what} {wrong}.')
  try:
    content = durable.read(path, text_list.MAX_BYTES)
  except (OSError, ValueError) as e:
    raise ValueError(f'{what} cannot be read: {durable.reason(e)}') from e
  names = text_list.path_lines(content)
  if len(names) == n:  # Until the first that is none: texts end it at once.
    exact = []
    for name in names:
      image = _find(path.parent, name)
      if image is None or not _is_image(image):
        break
      exact.append(image)
    else:
      return names, exact
  problems: list[str] = []
  found = []
  for place, text in text_list.parse(path, content, problems, n):
    if not isinstance(text, str) or text.strip():  # Blank ones are labels, too.
      problems += [f'{place}: {one}.'
                   for one in problems_lib.of_text('text', text)]
    found.append((place, text))
  if problems and any(name.lower().endswith(_ENDINGS) and _find(
      path.parent, name) for name in names):
    # Of what is no text: names as the file system has them.
    problems = []
    found = [(f'line {i}', name) for i, name in enumerate(names, 1)]
  problems_lib.report(what, problems)
  labels = [text for _, text in found]
  return labels, _images(what, path.parent, found) if len(found) == n else []


def _images(
    what: str, folder: pathlib.Path, lines: Sequence[tuple[str, str]]
) -> list[pathlib.Path]:
  """The images that lines name; none if they are texts."""
  names = [line.strip() for _, line in lines]
  if not all(name.lower().endswith(_ENDINGS) for name in names):
    return []
  found = [_find(folder, line) or _find(folder, line.strip())
           for _, line in lines]
  missing = [(place, name) for (place, _), name, path
             in zip(lines, names, found) if path is None]
  if not missing:
    return found
  if len(missing) == len(names):
    logging.warning(
        '%s: none of its lines names an image that exists, %r for one, neither '
        'from %s on nor from here: people see the names alone.', what,
        names[0], folder)
    return []
  raise ValueError(
      f'{what}: {len(missing)} of its {len(names)} images do not exist, the '
      f'first in {missing[0][0]}: {missing[0][1]!r}.')


def _find(folder: pathlib.Path, name: str) -> pathlib.Path | None:
  """The file that a line names, from `folder` on or from here, if there is one.
  """
  for path in (folder / name, pathlib.Path(name)):
    try:
      if path.is_file():
        return path.absolute()
    except OSError:  # Texts may be longer than any system's names.
      continue
  return None


def _is_image(path: pathlib.Path) -> bool:
  """By its name, or else by its first bytes, as `image_listing` has it."""
  if path.name.lower().endswith(_ENDINGS):
    return True
  try:
    with path.open('rb') as file:
      return image_formats.of(file.read(image_formats.HEAD)).is_read
  except OSError:
    return False
