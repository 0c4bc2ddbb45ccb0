"""The user's own pairs: a folder of images and a table of who belongs to whom.

The table is JSON lines, `{"image": path, "text": ..., "group": optional,
"split": optional}`, or a CSV with the same columns.
"""

from collections.abc import Iterator
import concurrent.futures
import csv
import hashlib
import io
import json
import os
import pathlib
from typing import NamedTuple

import numpy as np

from mmal_jax.data import image_files
from mmal_jax.data import images as images_lib
from mmal_jax.data import preprocess as preprocess_lib
from mmal_jax.data import schema
from mmal_jax.data import splits as splits_lib

SPLITS = ('pretrain', 'pool', 'test')
_COLUMNS = ('image', 'text', 'group', 'split')
_MAX_SHOWN = 50  # lines of problems in one error message


class Row(NamedTuple):
  """One checked line of the table."""

  line: int
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
) -> schema.Dataset:
  """Reads a folder of JPEG, PNG or WebP images with their texts.

  Args:
    folder: where the images and the table lie. An image's path in the table is
      relative to it and may not lead out of it.
    pairs: file name of the table, ending in `.jsonl` or `.csv`.
    image_size: every image is resized to this height and width in pixels and
      kept in memory; 64 if None.
    test_fraction: share of rows held out for evaluation, where rows name no
      split of their own. Rows that share an image, be it under two names, or a
      group stay together.
    seed: of that division.
    preprocess: in place of `image_size`: images stay in their files, and this
      is done to them whenever they are needed.

  Returns:
    The dataset. `group` joins two rows to one Winoground example. `pretrain`
    is None unless rows name it as their split.

  Raises:
    ValueError: listing every problem of the table and the images, with line
      numbers.
  """
  folder = pathlib.Path(folder)
  if preprocess is not None and image_size is not None:
    raise ValueError(f'image_size={image_size!r} is given, but the model takes '
                     f'images of {preprocess.size}: leave it out.')
  image_size = 64 if image_size is None else image_size
  if image_size < 1:
    raise ValueError(f'image_size={image_size!r} must be at least 1.')
  problems: list[str] = []
  rows = _check(_read(folder / pairs, problems), folder, problems)
  pixels = _decoded(rows, image_size, preprocess is None, problems)
  digests = _digests(pixels)
  problems += _overlaps(rows, digests)
  if not rows and not problems:
    problems.append('it holds no rows.')
  if problems:
    hidden = len(problems) - _MAX_SHOWN
    more = [f'... and {hidden} more.'] if hidden > 0 else []
    raise ValueError('\n  '.join(
        [f'{folder / pairs} has {len(problems)} problem(s):']
        + problems[:_MAX_SHOWN] + more))
  split = _split(rows, digests, test_fraction, seed)
  return schema.Dataset('paired_folder', **{
      name: _pairs(
          [row for row, s in zip(rows, split) if s == name], pixels, preprocess)
      for name in SPLITS if name in split})


def _decoded(
    rows, size: int, keep: bool, problems: list[str]
) -> dict[pathlib.Path, np.ndarray | None]:
  """Pixels of every readable file; nothing in their place unless `keep`."""
  lines: dict[pathlib.Path, int] = {}
  for row in rows:
    lines.setdefault(row.image, row.line)

  def decode(path):
    try:
      pixels = images_lib.decode(path, size if keep else None)
      return pixels if keep else np.empty(0, np.uint8)
    except ValueError as e:
      return e

  with concurrent.futures.ThreadPoolExecutor() as pool:
    found = dict(zip(lines, pool.map(decode, lines)))
  for path, one in found.items():
    if isinstance(one, ValueError):
      problems.append(f'line {lines[path]}: image {path.name!r} {one}')
      found[path] = None
  return found


def _read(
    path: pathlib.Path, problems: list[str]
) -> Iterator[tuple[int, dict[str, object]]]:
  """Yields `(line number, fields)` of each line that can be parsed."""
  if path.suffix not in ('.jsonl', '.csv'):
    raise ValueError(f'pairs={path.name!r} must end in .jsonl or .csv.')
  try:
    table = path.read_bytes().decode('utf-8-sig')
  except OSError as e:
    raise ValueError(f'pairs={str(path)!r} cannot be read: {e}') from e
  except UnicodeDecodeError as e:
    raise ValueError(f'pairs={str(path)!r} is not UTF-8 text: {e}') from e
  if path.suffix == '.csv':
    reader = csv.DictReader(io.StringIO(table, newline=''), strict=True)
    try:
      names = reader.fieldnames or []
      if (set(names) - set(_COLUMNS) or len(set(names)) < len(names)
          or not {'image', 'text'} <= set(names)):
        problems.append(
            f'line 1: the columns are {names}, but image and text are needed, '
            f'only {_COLUMNS} are known, and none may stand twice.')
        return
      for fields in reader:
        if None in fields:
          problems.append(f'line {reader.line_num}: too many columns.')
        else:
          # An empty cell is how a CSV says that there is no group or split.
          yield reader.line_num, {
              k: v for k, v in fields.items()
              if v or k in ('image', 'text') and v is not None}
    except csv.Error as e:
      problems.append(f'line {reader.line_num}: bad CSV: {e}')
    return
  for number, line in enumerate(table.split('\n'), 1):
    if line.strip():
      try:
        fields = json.loads(line, object_pairs_hook=_once)
      except (ValueError, RecursionError) as e:
        problems.append(f'line {number}: bad JSON: {e}')
        continue
      if isinstance(fields, dict):
        yield number, fields
      else:
        problems.append(f'line {number}: {line.strip()[:40]!r} is no object.')


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
  fields = dict(pairs)
  if len(fields) < len(pairs):
    raise ValueError(f'a field stands twice in {[k for k, _ in pairs]}')
  return fields


def _check(numbered, folder, problems: list[str]) -> list[Row]:
  """Keeps the sound rows and says what is wrong with the others."""
  rows, first_line, members = [], {}, {}
  for line, fields in numbered:
    wrong = _wrong_fields(fields)
    if not wrong:
      path = folder / fields['image']
      try:
        path = path.resolve()
        if not path.is_relative_to(folder.resolve()):
          wrong.append(f'image {fields["image"]!r} lies outside the folder')
        elif not path.is_file():
          wrong.append(f'image {fields["image"]!r} does not exist')
      except (OSError, RuntimeError) as e:  # too long a name, a loop of links
        wrong.append(f'image {fields["image"][:40]!r} cannot be found: {e}')
      earlier = first_line.setdefault((path, fields['text']), line)
      if earlier != line:
        wrong.append(f'the same image and text as line {earlier}')
    if wrong:
      problems.extend(f'line {line}: {what}.' for what in wrong)
      continue
    group = fields.get('group')
    row = Row(line, path, fields['text'],
              None if group is None else str(group), fields.get('split'))
    rows.append(row)
    members.setdefault(row.group, []).append(row)
  members.pop(None, None)
  for group, group_rows in members.items():
    if len(group_rows) != 2 or len({row.split for row in group_rows}) != 1:
      at = ', '.join(str(row.line) for row in group_rows)
      problems.append(
          f'line {at}: group {group!r} must be two rows of the same split.')
  unsplit = [row.line for row in rows if row.split is None]
  if unsplit and len(unsplit) < len(rows):
    problems.append(
        f'line {unsplit[0]}: no split, though other rows name theirs.')
  named = {row.split for row in rows} - {None}
  if named and not {'pool', 'test'} <= named:
    problems.append(f'the rows\' splits are {sorted(named)}: pool and test are '
                    'both needed.')
  return rows


def _wrong_fields(fields: dict[str, object]) -> list[str]:
  wrong = [f'unknown field {k!r}; known are {_COLUMNS}'
           for k in fields if k not in _COLUMNS]
  for column in ('image', 'text'):
    value = fields.get(column)
    if value is None:
      wrong.append(f'{column!r} is missing')
    elif not isinstance(value, str) or not value.strip():
      wrong.append(f'{column!r} is {value!r}, not a text')
    elif '\0' in value or not _is_unicode(value):
      wrong.append(f'{column!r} holds a NUL or half a surrogate pair')
  group = fields.get('group')
  if isinstance(group, bool) or not isinstance(group, (str, int, type(None))):
    wrong.append(f'\'group\' is {fields["group"]!r}, not a string or integer')
  if fields.get('split') not in (None,) + SPLITS:
    wrong.append(f'\'split\' is {fields["split"]!r}, not one of {SPLITS}')
  return wrong


def _is_unicode(text: str) -> bool:
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return True


def _digests(
    pixels: dict[pathlib.Path, np.ndarray | None]
) -> dict[pathlib.Path, str]:
  """Digests of the files that could be read: copies share theirs."""
  # Of the files, not of the pixels: once resized, different icons may coincide.
  return {path: hashlib.sha256(path.read_bytes()).hexdigest()
          for path, array in pixels.items() if array is not None}


def _overlaps(
    rows: list[Row], digests: dict[pathlib.Path, str]
) -> list[str]:
  """What is wrong with splits that share an image with the test."""
  tests = {}
  for row in rows:
    if row.split == 'test' and row.image in digests:
      tests.setdefault(digests[row.image], row)
  overlapping = [
      (row, tests[digests[row.image]]) for row in rows
      if row.split in ('pretrain', 'pool') and digests.get(row.image) in tests]
  return [
      f'line {row.line}: image {row.image.name!r} of {row.split} is the same '
      f'as {test.image.name!r} of test in line {test.line}.'
      for row, test in overlapping]


def _split(
    rows: list[Row], digests: dict[pathlib.Path, str], test_fraction: float,
    seed: int,
) -> list[str]:
  if rows[0].split is not None:
    return [row.split for row in rows]
  keys = [(digests[row.image],) + (() if row.group is None else (row.group,))
          for row in rows]
  is_test = splits_lib.hold_out(keys, test_fraction, seed)
  return ['test' if t else 'pool' for t in is_test]


def _pairs(rows: list[Row], pixels, preprocess) -> schema.Pairs:
  digests: dict[str, int] = {}
  groups = [-1 if row.group is None
            else digests.setdefault(row.group, len(digests)) for row in rows]
  images = (
      np.stack([pixels[row.image] for row in rows]) if preprocess is None
      else image_files.ImageFiles([row.image for row in rows], preprocess))
  return schema.image_text(
      images,
      tuple(row.text for row in rows),
      np.array(groups, np.int32))
