"""The user's own pairs: a folder of images and a table of pairs.

The table is JSON lines, `{"image": path, "text": ..., "group": optional,
"split": optional}`, or a CSV with the same columns, separated by commas unless
it states otherwise.
"""

from collections.abc import Iterator, Sequence
import os
import pathlib

from mmal_jax.data import pair_rows
from mmal_jax.data import schema
from mmal_jax.data.images import checked_images
from mmal_jax.data.images import image_listing
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.files import csv_table
from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib

_ENDINGS = (*json_lines.ENDINGS, '.csv')
_COLUMNS = ('image', 'text', 'group', 'split')
_MAX_BYTES = 2**31  # of a table, which is read as a whole


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
  return pair_rows.to_dataset(
      'paired_folder', folder / pairs, rows, problems, size, test_fraction,
      seed, preprocess, drop_duplicates)


def read_table(
    folder: pathlib.Path, name: str, problems: list[str],
    drop_duplicates: bool | None = None,
) -> list[pair_rows.Row]:
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
  rows = _check(_read(folder / name, problems), folder, problems)
  rows = pair_rows.settle(
      rows, pair_rows.twice(rows), drop_duplicates, problems)
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
) -> list[pair_rows.Row]:
  """Keeps the sound rows, and says what is wrong with others."""
  rows = []
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
    rows.append(pair_rows.Row(
        place, path, fields['text'], None if group is None else str(group),
        fields.get('split')))
  return rows


def _wrong_groups(rows: list[pair_rows.Row]) -> list[str]:
  members = {}
  for row in rows:
    members.setdefault(row.group, []).append(row)
  members.pop(None, None)
  return [
      f'{", ".join(row.place for row in group_rows)}: group '
      f'{json_object.quote(group)} must be two rows of the same split.'
      for group, group_rows in members.items()
      if len(group_rows) != 2 or len({row.split for row in group_rows}) != 1]


def _wrong_fields(fields: dict[str, object]) -> list[str]:
  quote = json_object.quote
  wrong = [f'unknown field {quote(k)}; known are {_COLUMNS}'
           for k in fields if k not in _COLUMNS]
  for column in ('image', 'text'):
    wrong += problems_lib.of_text(column, fields.get(column))
  group = fields.get('group')
  if isinstance(group, bool) or not isinstance(group, (str, int, type(None))):
    wrong.append(f'\'group\' is {quote(group)}, not a string or integer')
  if fields.get('split') not in (None,) + pair_rows.SPLITS:
    wrong.append(f'\'split\' is {quote(fields["split"])}, not one of '
                 f'{pair_rows.SPLITS}')
  return wrong
