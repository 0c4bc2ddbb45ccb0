"""Columns of images, texts and splits, row by row, to a dataset.

A row has an image and a text, or a list of texts; an image may stand in several
rows. The rows are pairs; or two pools, in which a row says nothing of what
belongs together, and either of its cells may be empty.
"""

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from absl import logging

from mmal_jax.data import loose_items
from mmal_jax.data import pair_rows
from mmal_jax.data import schema
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib

_SPLITS = {name: name for name in pair_rows.SPLITS} | {
    'train': 'pool', 'val': None, 'valid': None, 'validation': None,
    'dev': None}  # None: not used.
_MOST_NAMED = 20  # columns that a message lists
NEEDS_TEST = (
    'paired=False needs a few pairs that are known, to measure with: give them '
    'as {}, or name by split_column a column that says test of them.')


class Columns(NamedTuple):
  """Names of columns; `split` may be None."""

  image: str
  text: str
  split: str | None

  def names(self) -> tuple[str, ...]:
    """Those that are to be read, each once."""
    return tuple(dict.fromkeys(name for name in self if name is not None))

  def check(self, there: Sequence[str], where: str) -> None:
    """Refuses a table that lacks one of them.

    Args:
      there: the names of its columns.
      where: what the table is called.

    Raises:
      ValueError: naming those that lack, and those that are there.
    """
    lacking = [f'{name!r} (of {role}_column)'
               for role, name in self._asdict().items()
               if name is not None and name not in there]
    if lacking:
      shown = ', '.join(map(repr, there[:_MOST_NAMED])) or 'none'
      more = len(there) - _MOST_NAMED
      raise ValueError(problems_lib.shortened(
          f'column{"s" if lacking[1:] else ""} {" and ".join(lacking)} '
          f'{"are" if lacking[1:] else "is"} not in {where}, which has: {shown}'
          + (f', and {more} more.' if more > 0 else '.')))


class Found(NamedTuple):
  """What a table holds.

  Attributes:
    rows: pairs.
    images: those of a loose pool, and where each stands first.
    texts: those of a loose pool, and where each stands.
  """

  rows: list[pair_rows.Row]
  images: dict[image_files.Source, str]
  texts: list[tuple[str, object]]


class Options(NamedTuple):
  """What becomes of the rows of a table, as the loaders' arguments say it."""

  paired: bool
  captions: int | None
  size: int | None
  test_fraction: float
  seed: int
  preprocess: preprocess_lib.Preprocess | None
  drop_duplicates: bool | None


def options(
    paired: bool, captions: int | None, image_size: int | None,
    test_fraction: float, seed: int,
    preprocess: preprocess_lib.Preprocess | None, drop_duplicates: bool | None,
) -> Options:
  """The options of a loader.

  Raises:
    ValueError: for `captions` below 1, or as `checked_images.size_of`.
  """
  if captions is not None and captions < 1:
    raise ValueError(f'captions={captions!r} must be at least 1, or None for '
                     'all of each image.')
  return Options(
      paired, captions, checked_images.size_of(image_size, preprocess),
      test_fraction, seed, preprocess, drop_duplicates)


def read(
    table: Iterable[tuple[str, dict[str, object]]],
    columns: Columns,
    source_of: Callable[[object], image_files.Source],
    given: Options,
    split: str | None,
    problems: list[str],
) -> Found:
  """Checks the rows of a table, but for what its images hold.

  Args:
    table: the place and the fields of each.
    columns: which fields are read.
    source_of: makes a cell of the column `image` the place of its image, or
      raises ValueError with the rest of a sentence.
    given: what becomes of them.
    split: of all rows; None: the column `split` says it, if there is one.
    problems: takes a sentence for each thing that is wrong.

  Returns:
    What is sound.
  """
  found = Found([], {}, [])
  taken: collections.Counter[image_files.Source] = collections.Counter()
  unused = 0
  for place, fields in table:
    side = split
    if columns.split is not None:
      value = fields.get(columns.split)
      name = value.strip().lower() if isinstance(value, str) else value
      if not isinstance(name, str) or name not in _SPLITS:
        problems.append(
            f'{place}: {columns.split!r} is {json_object.quote(value)}, not one'
            f' of {", ".join(_SPLITS)}.')
        continue
      side = _SPLITS[name]
      if side is None:
        unused += 1
        continue
    is_pair = given.paired or side in ('test', 'pretrain')
    image, cell = None, fields.get(columns.image)
    if is_pair or not _is_blank(cell):
      try:
        image = source_of(cell)
      except ValueError as e:
        problems.append(f'{place}: {e}.')
        if is_pair:
          continue
    texts = _texts(place, fields.get(columns.text))
    if not is_pair:
      found.texts.extend(one for one in texts if not _is_blank(one[1]))
      if image is not None:
        found.images.setdefault(image, place)
      continue
    for at, text in texts:
      if taken[image] == given.captions:
        break
      wrong = problems_lib.of_text(columns.text, text)
      problems += [f'{at}: {what}.' for what in wrong]
      if not wrong:
        taken[image] += 1
        found.rows.append(pair_rows.Row(at, image, text, None, side))
  if unused:
    logging.info('%d rows of other splits than pool, test and pretrain are left'
                 ' out.', unused)
  return found


def to_dataset(
    name: str, where: object, found: Sequence[Found], columns: Columns,
    given: Options, problems: list[str],
) -> schema.Dataset:
  """Decodes all images once, and makes a dataset of what was found.

  Args:
    name: the registry's name of the dataset.
    where: the table, for the message.
    found: of all tables.
    columns: their names.
    given: what becomes of the rows.
    problems: what has been found so far.

  Raises:
    ValueError: listing all problems.
  """
  rows = [row for one in found for row in one.rows]
  rows = pair_rows.settle(
      rows, pair_rows.twice(rows), given.drop_duplicates, problems)
  if given.paired:
    return pair_rows.to_dataset(
        name, where, rows, problems, given.size, given.test_fraction,
        given.seed, given.preprocess, given.drop_duplicates)
  return _loose(name, where, found, rows, columns, given, problems)


def _loose(
    name, where, found, rows, columns, given, problems
) -> schema.Dataset:
  """As `to_dataset`, of two pools; `rows` are those of other splits."""
  if not problems and not any(row.split == 'test' for row in rows):
    problems.append('no row is a test pair.')
  known = checked_images.decode(
      pair_rows.first_places(rows), given.size, problems)
  texts = loose_items.texts(
      (one for of in found for one in of.texts), columns.text,
      rows, given.drop_duplicates, problems)
  at = {image: place for of in found for image, place in of.images.items()}
  pixels = checked_images.decode(at, given.size, problems)
  images = loose_items.images(
      {source: f'{at[source]}: image {source.name!r}' for source in pixels},
      known, given.drop_duplicates, problems)
  if not images and not problems:
    problems.append('it holds no image that is not in the test pairs.')
  problems_lib.report(where, problems)
  return schema.Dataset(
      name,
      schema.Loose({
          'image': checked_images.gather(images, pixels, given.preprocess),
          'text': texts}),
      **{split: pair_rows.to_pairs(
          [row for row in rows if row.split == split], known, given.preprocess)
         for split in sorted({row.split for row in rows})})


def _texts(place: str, cell: object) -> Iterator[tuple[str, object]]:
  """Each text of a cell, and where it stands."""
  if not isinstance(cell, (list, tuple)) or not cell:
    yield place, cell
    return
  for i, text in enumerate(cell, 1):
    yield f'{place}, text {i}', text


def _is_blank(cell: object) -> bool:
  """Whether a cell says that there is nothing; NaN is how pandas says it."""
  return cell is None or cell == [] or cell != cell or (
      isinstance(cell, str) and not cell.strip())
