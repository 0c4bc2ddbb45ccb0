"""Feature rows as people see them: by a label, or by their row in a file."""

from collections.abc import Sequence
import os
import pathlib

from absl import logging
import numpy as np

from mmal_jax import durable
from mmal_jax.data import image_files
from mmal_jax.data import image_formats
from mmal_jax.data import image_listing
from mmal_jax.data import preprocess as preprocess_lib
from mmal_jax.data import problems as problems_lib
from mmal_jax.data import text_file

_MAX_BYTES = 2**31  # of a file of labels, which is read as a whole
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
    labelled: whether somebody gave the labels; else they tell of the rows.
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
    path: a text file whose line i labels row i, from 0 on: with a text, or with
      the path of an image, absolute or relative to that file's folder or to
      the current one. Or a folder, whose images in the order of their paths
      (or, if it holds none, names of files) label the rows.
    n: how many there have to be.
    modality: for messages.
    preprocess: of images.

  Returns:
    Texts, or images that are not read yet.

  Raises:
    ValueError: if it cannot be read, does not label n rows, or some of the
      lines name an image that exists and others one that does not.
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
    problems = []
    try:
      found = text_file.lines(durable.read(path, _MAX_BYTES), problems)
    except (OSError, ValueError) as e:
      raise ValueError(f'{what} cannot be read: {durable.reason(e)}') from e
    problems_lib.report(what, problems)
    while len(found) > n and not found[-1].strip():
      found.pop()
    kind = 'lines'
    images = [] if len(found) != n else _images(what, path.parent, found)
  if len(found) != n:
    raise ValueError(
        f'{what} has {len(found)} {kind}, but the features of {modality} have '
        f'{n} rows: label i is that of row i.')
  return image_files.ImageFiles(images, preprocess) if images else found


def _images(
    what: str, folder: pathlib.Path, lines: Sequence[str]
) -> list[pathlib.Path]:
  """The images that lines name; none if they are texts."""
  names = [line.strip() for line in lines]
  if not all(name.lower().endswith(_ENDINGS) for name in names):
    return []
  found = [next((path for path in (folder / name, pathlib.Path(name))
                 if path.is_file()), None) for name in names]
  missing = [(number, name) for number, (name, path)
             in enumerate(zip(names, found), 1) if path is None]
  if not missing:
    return [path.absolute() for path in found]
  if len(missing) == len(names):
    logging.warning(
        '%s: none of its lines names an image that exists, %r for one, neither '
        'from %s on nor from here: people see the names alone.', what,
        names[0], folder)
    return []
  raise ValueError(
      f'{what}: {len(missing)} of its {len(names)} images do not exist, the '
      f'first in line {missing[0][0]}: {missing[0][1]!r}.')
