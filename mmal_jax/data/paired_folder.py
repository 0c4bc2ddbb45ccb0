"""The user's own pairs: a folder of images and a table of pairs.

The table is JSON lines, `{"image": path, "text": ..., "group": optional,
"split": optional}`, or a CSV with the same columns, separated by commas unless
it states otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence
import os
import pathlib
from typing import NamedTuple

import numpy as np

from mmal_jax.data import duplicates
from mmal_jax.data import schema
from mmal_jax.data import splits as splits_lib
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import image_listing
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import csv_table
from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib

SPLITS = ('pretrain', 'pool', 'test')
_ENDINGS = (*json_lines.ENDINGS, '.csv')
_COLUMNS = ('image', 'text', 'group', 'split')
_MAX_BYTES = 2**31  # of a table, which is read as a whole


class Row(NamedTuple):
  """One checked line of the table."""

  place: str  # line 3, for one
  image: pathlib.Path
  text: str
  group: str | None
  split: str | None


def load(
    folder: str | os.PathLike[str],
    pairs: str = 'pairs.jsonl',
    image_size: int | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    preprocess: preprocess_lib.Preprocess | None = None,
    drop_duplicates: bool | None = None,
) -> schema.Dataset:
  """Reads a folder of JPEG, PNG or WebP images with their texts.

  Args:
    folder: where the images and the table lie. An image's path in the table is
      relative to it and may not lead out of it.
    pairs: file name of the table, ending in `.jsonl` (`.jsonlines` and
      `.ndjson` are the same) or `.csv`.
    image_size: every image is resized to this height and width in pixels and
      kept in memory; 64 if None.
    test_fraction: share of rows held out for evaluation, where rows name no
      split of their own. Rows that share an image, be it under two names, or a
      group stay together.
    seed: of that division.
    preprocess: in place of `image_size`: images stay in their files, and this
      is done to them whenever they are needed.
    drop_duplicates: whether rows of the same image and text as an earlier one,
      and rows of other splits whose image is in the test set, are left out, and
      the rest of their groups with them; how many is logged. If not, they are
      refused.

  Returns:
    The dataset. `group` joins two rows to one Winoground example. `pretrain`
    is None unless rows name it as their split.

  Raises:
    ValueError: listing every problem of the table and the images, with line
      numbers.
  """
  folder = pathlib.Path(folder)
  size = checked_images.size_of(image_size, preprocess)
  problems: list[str] = []
  rows = read_table(folder, pairs, problems, drop_duplicates)
  pixels = checked_images.decode(first_lines(rows), size, problems)
  digests = checked_images.digests(pixels)
  rows = _settle(rows, _copies(rows, digests), drop_duplicates, problems)
  rows = _settle(rows, _overlaps(rows, digests), drop_duplicates, problems)
  problems += _split_problems(rows)
  if not rows and not problems:
    problems.append('it holds no rows.')
  problems_lib.report(folder / pairs, problems)
  split = _split(rows, digests, test_fraction, seed)
  return schema.Dataset('paired_folder', **{
      name: to_pairs(
          [row for row, s in zip(rows, split) if s == name], pixels, preprocess)
      for name in SPLITS if name in split})


def read_table(
    folder: pathlib.Path, name: str, problems: list[str],
    drop_duplicates: bool | None = None,
) -> list[Row]:
  """Reads and checks a table, but for its splits; its images are not opened.

  Args:
    folder: where the table and the images lie.
    name: of the table.
    problems: takes a sentence for each thing that is wrong.
    drop_duplicates: whether rows of the same image and text as an earlier one
      are left out rather than wrong.

  Returns:
    The sound rows.

  Raises:
    ValueError: if the file cannot be read or ends in neither of these.
  """
  rows, copies = _check(_read(folder / name, problems), folder, problems)
  rows = _settle(rows, copies, drop_duplicates, problems)
  problems += _wrong_groups(rows)
  return rows


def wrong_ending(path: str | os.PathLike[str]) -> str | None:
  """Why a file of this name is no table; None if it may be one.

  >>> wrong_ending('pairs.txt')
  'must end in .jsonl, .jsonlines, .ndjson or .csv'
  """
  if pathlib.Path(path).suffix.lower() in _ENDINGS:
    return None
  return f'must end in {", ".join(_ENDINGS[:-1])} or {_ENDINGS[-1]}'


def first_lines(rows: list[Row]) -> dict[pathlib.Path, str]:
  """Where each image stands first, as `checked_images.decode` wants it."""
  at: dict[pathlib.Path, str] = {}
  for row in rows:
    at.setdefault(row.image, row.place)
  return at


def to_pairs(
    rows: list[Row],
    pixels: Mapping[pathlib.Path, np.ndarray],
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


def _read(
    path: pathlib.Path, problems: list[str]
) -> Iterator[tuple[str, dict[str, object]]]:
  """`(place, fields)` of each line that can be parsed."""
  wrong = wrong_ending(path)
  if wrong is not None:
    raise ValueError(f'pairs={path.name!r} {wrong}.')
  try:
    if not path.resolve().is_relative_to(path.parent.resolve()):
      raise ValueError('it is a link that leads out of its folder.')
    content = durable.read(path, _MAX_BYTES)
  except (OSError, RuntimeError, ValueError) as e:
    raise ValueError(f'pairs={str(path)!r} cannot be read: '
                     f'{durable.reason(e)}') from e
  if path.suffix.lower() == '.csv':
    return _read_csv(content, problems)
  return json_lines.read(content, None, problems)


def _read_csv(
    content: bytes, problems: list[str]
) -> Iterator[tuple[str, dict[str, object]]]:
  table = csv_table.read(content, None, problems, separators=',')
  if table is None:
    return
  names = table.columns
  if (set(names) - set(_COLUMNS) or len(set(names)) < len(names)
      or not {'image', 'text'} <= set(names)):
    problems.append(
        f'{table.place}: the columns are {names}, but image and text are '
        f'needed, only {_COLUMNS} are known, and none may appear twice'
        f'{_separator(names)}.')
    return
  for place, cells in table.rows:
    # An empty cell is how a CSV says that there is no group or split.
    yield place, {k: v for k, v in cells.items() if v or k in ('image', 'text')}


def _separator(names: Sequence[str]) -> str:
  """What to do where columns stand apart by something else than commas."""
  by = next((s for s in ';\t|' if len(names) == 1 and s in names[0]), None)
  return '' if by is None else (
      f'; it looks as if {by!r} stood between them: save it with commas')


def _check(
    found, folder, problems: list[str]
) -> tuple[list[Row], dict[Row, str]]:
  """Keeps the sound rows, and says what is wrong with others, or the copies.
  """
  rows, first, copies = [], {}, {}
  for place, fields in found:
    wrong = _wrong_fields(fields)
    if not wrong:
      try:
        path = image_listing.find(folder, fields['image'])
      except ValueError as e:
        path = folder / fields['image']
        wrong.append(str(e))
    if wrong:
      problems.extend(f'{place}: {what}.' for what in wrong)
      continue
    group = fields.get('group')
    row = Row(place, path, fields['text'],
              None if group is None else str(group), fields.get('split'))
    rows.append(row)
    earlier = first.setdefault((path, fields['text']), place)
    if earlier != place:
      copies[row] = f'{place}: the same image and text as {earlier}'
  return rows, copies


def _wrong_groups(rows: list[Row]) -> list[str]:
  members = {}
  for row in rows:
    members.setdefault(row.group, []).append(row)
  members.pop(None, None)
  return [
      f'{", ".join(row.place for row in group_rows)}: group '
      f'{json_object.quote(group)} must be two rows of the same split.'
      for group, group_rows in members.items()
      if len(group_rows) != 2 or len({row.split for row in group_rows}) != 1]


def _settle(
    rows: list[Row], copies: dict[Row, str], drop: bool | None,
    problems: list[str],
) -> list[Row]:
  """Leaves copies out with their groups, or says that they are wrong."""
  if drop:
    groups = {row.group: row.place for row in copies}
    groups.pop(None, None)
    copies = {
        row: copies.get(row) or (f'{row.place}: of the group of '
                                 f'{groups[row.group]}')
        for row in rows if row in copies or row.group in groups}
    rows = [row for row in rows if row not in copies]
  duplicates.settle('rows', copies.values(), drop, problems)
  return rows


def _split_problems(rows: list[Row]) -> list[str]:
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


def _wrong_fields(fields: dict[str, object]) -> list[str]:
  quote = json_object.quote
  wrong = [f'unknown field {quote(k)}; known are {_COLUMNS}'
           for k in fields if k not in _COLUMNS]
  for column in ('image', 'text'):
    wrong += problems_lib.of_text(column, fields.get(column))
  group = fields.get('group')
  if isinstance(group, bool) or not isinstance(group, (str, int, type(None))):
    wrong.append(f'\'group\' is {quote(group)}, not a string or integer')
  if fields.get('split') not in (None,) + SPLITS:
    wrong.append(f'\'split\' is {quote(fields["split"])}, not one of {SPLITS}')
  return wrong


def _copies(
    rows: list[Row], digests: Mapping[pathlib.Path, bytes]
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
    rows: list[Row], digests: dict[pathlib.Path, bytes]
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
    rows: list[Row], digests: dict[pathlib.Path, bytes], test_fraction: float,
    seed: int,
) -> list[str]:
  if rows[0].split is not None:
    return [row.split for row in rows]
  keys = [(digests[row.image],) + (() if row.group is None else (row.group,))
          for row in rows]
  is_test = splits_lib.hold_out(keys, test_fraction, seed)
  return ['test' if t else 'pool' for t in is_test]
