"""Rows of an image and a text, from any table of a user's, to a dataset."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mmal_jax.data import duplicates
from mmal_jax.data import schema
from mmal_jax.data import splits as splits_lib
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import problems as problems_lib

SPLITS = ('pretrain', 'pool', 'test')


class Row(NamedTuple):
  """One checked pair.

  Attributes:
    place: where it stands, line 3 for one.
    image: where the encoded image is.
    text: not blank.
    group: what joins two rows to a Winoground example, or None.
    split: one of `SPLITS`, or None.
  """

  place: str
  image: image_files.Source
  text: str
  group: str | None = None
  split: str | None = None


def to_dataset(
    name: str,
    where: object,
    rows: Sequence[Row],
    problems: list[str],
    size: int | None,
    test_fraction: float,
    seed: int,
    preprocess: preprocess_lib.Preprocess | None,
    drop_duplicates: bool | None,
) -> schema.Dataset:
  """Decodes the images of rows, divides the rows, and makes a dataset of them.

  Args:
    name: the registry's name of the dataset.
    where: the table, for the message.
    rows: all of them, of which none is the same as another.
    problems: what has been found so far.
    size: as `checked_images.size_of` returns it.
    test_fraction: share of rows held out for evaluation, where rows name no
      split of their own.
    seed: of that division.
    preprocess: of images that stay where they are.
    drop_duplicates: whether copies are left out rather than refused.

  Raises:
    ValueError: listing all problems, the earlier ones and those of the images,
      of copies and of the splits.
  """
  pixels = checked_images.decode(first_places(rows), size, problems)
  digests = checked_images.digests(pixels)
  rows = settle(rows, _copies(rows, digests), drop_duplicates, problems)
  rows = settle(rows, _overlaps(rows, digests), drop_duplicates, problems)
  problems += _split_problems(rows)
  if not rows and not problems:
    problems.append('it holds no rows.')
  problems_lib.report(where, problems)
  split = _split(rows, digests, test_fraction, seed)
  return schema.Dataset(name, **{
      name: to_pairs(
          [row for row, s in zip(rows, split) if s == name], pixels, preprocess)
      for name in SPLITS if name in split})


def first_places(rows: Sequence[Row]) -> dict[image_files.Source, str]:
  """Where each image stands first, as `checked_images.decode` wants it."""
  at: dict[image_files.Source, str] = {}
  for row in rows:
    at.setdefault(row.image, row.place)
  return at


def to_pairs(
    rows: Sequence[Row],
    pixels: Mapping[image_files.Source, np.ndarray],
    preprocess: preprocess_lib.Preprocess | None,
) -> schema.Pairs:
  """Rows as a dataset holds them; the rest as in `checked_images.gather`."""
  numbers: dict[str, int] = {}
  groups = [-1 if row.group is None
            else numbers.setdefault(row.group, len(numbers)) for row in rows]
  return schema.image_text(
      checked_images.gather([row.image for row in rows], pixels, preprocess),
      tuple(row.text for row in rows),
      np.array(groups, np.int32))


def twice(rows: Sequence[Row]) -> dict[Row, str]:
  """Rows of the same image and text as an earlier one, and of which."""
  first: dict[tuple[image_files.Source, str], Row] = {}
  copies = {}
  for row in rows:
    earlier = first.setdefault((row.image, row.text), row)
    if earlier is not row:
      copies[row] = f'{row.place}: the same image and text as {earlier.place}'
  return copies


def settle(
    rows: Sequence[Row], copies: dict[Row, str], drop: bool | None,
    problems: list[str],
) -> list[Row]:
  """Leaves copies out with their groups, or says that they are wrong.

  Args:
    rows: of a table.
    copies: those that are copies, and of what, as `duplicates.settle` says it.
    drop: whether they are left out.
    problems: takes the sentences if they are not.
  """
  if drop:
    groups = {row.group: row.place for row in copies}
    groups.pop(None, None)
    copies = {
        row: copies.get(row) or (f'{row.place}: of the group of '
                                 f'{groups[row.group]}')
        for row in rows if row in copies or row.group in groups}
    rows = [row for row in rows if row not in copies]
  duplicates.settle('rows', copies.values(), drop, problems)
  return list(rows)


def _split_problems(rows: Sequence[Row]) -> list[str]:
  problems = []
  unsplit = [row.place for row in rows if row.split is None]
  if unsplit and len(unsplit) < len(rows):
    problems.append(
        f'{unsplit[0]}: no split, though other rows name theirs.')
  named = {row.split for row in rows} - {None}
  if named and not {'pool', 'test'} <= named:
    problems.append(f'the rows\' splits are {sorted(named)}: pool and test are '
                    'both needed.')
  return problems


def _copies(
    rows: Sequence[Row], digests: Mapping[image_files.Source, bytes]
) -> dict[Row, str]:
  """Rows of an earlier row's text and of a copy of its image, and of which."""
  first, found = {}, {}
  for row in rows:
    if row.image in digests:
      earlier = first.setdefault((digests[row.image], row.text), row)
      if earlier.image != row.image:
        found[row] = (f'{row.place}: the same text as {earlier.place}, and '
                      f'{row.image.name!r} is a copy of {earlier.image.name!r}')
  return found


def _overlaps(
    rows: Sequence[Row], digests: Mapping[image_files.Source, bytes]
) -> dict[Row, str]:
  """What is wrong with rows of splits that share an image with the test."""
  tests = {}
  for row in rows:
    if row.split == 'test' and row.image in digests:
      tests.setdefault(digests[row.image], row)
  overlapping = [
      (row, tests[digests[row.image]]) for row in rows
      if row.split in ('pretrain', 'pool') and digests.get(row.image) in tests]
  return {
      row: f'{row.place}: image {row.image.name!r} of {row.split} is the same '
      f'as {test.image.name!r} of test in {test.place}'
      for row, test in overlapping}


def _split(
    rows: Sequence[Row], digests: Mapping[image_files.Source, bytes],
    test_fraction: float, seed: int,
) -> list[str]:
  if rows[0].split is not None:
    return [row.split for row in rows]
  keys = [(digests[row.image],) + (() if row.group is None else (row.group,))
          for row in rows]
  is_test = splits_lib.hold_out(keys, test_fraction, seed)
  return ['test' if t else 'pool' for t in is_test]
