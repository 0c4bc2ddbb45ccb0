"""The forms in which an answer names an item: its number, or its row.

A number alone is that of an item. `{"row": 144}`, `row 144` and `row 144 of
texts.npy` are a row of the user's file of features, from 0 on; `{"item": 7}`
and `item 7` are an item's number, and cannot be meant as a row.
"""

from collections.abc import Mapping
import pathlib
import re
from typing import Any

from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib
from mmal_jax.oracles.people import spelling

_NAME = re.compile(r'(row|item)[ #:]*([0-9]{1,10})( of .+)?', re.IGNORECASE)
_quote = json_object.quote_json


def path(folder: pathlib.Path, modality: str) -> pathlib.Path:
  """Of the list of a modality's items."""
  return folder / f'items_{modality}.jsonl'


def parse(value: Any) -> Any:
  """What an answer says, if it has one of the forms; else as it is.

  >>> parse('Row 144 of texts.npy')
  {'row': 144, 'name': 'Row 144 of texts.npy'}
  >>> parse('item 7'), parse({'row': 144}), parse(7), parse('ann')
  ({'item': 7}, {'row': 144}, 7, 'ann')
  """
  if not isinstance(value, str):
    return value
  text = spelling.normal(value)
  found = _NAME.fullmatch(text)
  if not found or (found[3] and found[1].lower() == 'item'):
    return value
  named = {found[1].lower(): int(found[2])}
  return named | ({'name': value} if found[3] else {})


def _folded(name: Any) -> str:
  """What different spellings of a name have in common."""
  return spelling.folded(spelling.normal(str(name)))


def is_name(value: Any) -> bool:
  """Whether it is an object of one of the forms."""
  return isinstance(value, dict) and bool(value) and (
      value.keys() <= {'row', 'item', 'name'})


class Items:
  """The items of a folder of questions, by their rows."""

  def __init__(self, folder: pathlib.Path):
    """Reads nothing yet.

    Args:
      folder: of all rounds, with `items_*.jsonl`.
    """
    self._folder = folder
    self._known: dict[str, dict[int, tuple[int, str | None]]] = {}

  def number(self, modality: str, value: Any) -> tuple[Any, str | None]:
    """The number of the item that an answer names.

    Args:
      modality: of the item.
      value: as the answer has it.

    Returns:
      The number, or the value where it has none of the forms; and what is
      wrong, or None.

    Raises:
      ValueError: if the list of items is damaged.
    """
    named = parse(value)
    if not is_name(named):
      return value, None
    for field in ('row', 'item'):
      if field in named and (isinstance(named[field], bool)
                             or not isinstance(named[field], int)):
        return None, (f'{modality} has the {field} {_quote(named[field])}, not '
                      'an integer')
    if 'row' not in named:
      return named.get('item'), None if 'item' in named else (
          f'{modality} is {_quote(value)}, without "row" or "item"')
    row = named['row']
    rows = self._rows(modality)
    if not rows:
      return None, (f'{modality} is given by row {row}, but the items of '
                    f'{modality} have no rows: give the number of the item')
    if row not in rows:
      return None, (f'no {modality} item is row {row} of its file; '
                    f'{path(self._folder, modality)} lists those there are')
    item, label = rows[row]
    # A label that a user gave does not name the file.
    if 'name' in named and (
        label is None or _folded(label) != _folded(named['name'])):
      return None, (f'{modality} is {_quote(named["name"])}, but its row {row} '
                    f'is shown as {_quote(label)}: give {{"row": {row}}} if it '
                    'is meant')
    if named.get('item', item) != item:
      return None, (f'{modality} is both item {named["item"]} and row {row}, '
                    f'but row {row} is item {item}: which is meant?')
    return item, None

  def _rows(self, modality: str) -> Mapping[int, tuple[int, str | None]]:
    """By row, the number and the text of an item; nothing if none has a row."""
    if modality not in self._known:
      listed = path(self._folder, modality)
      try:
        content = durable.read(listed, durable.MOST_OF_OURS)
      except FileNotFoundError:
        content = b''
      problems: list[str] = []
      self._known[modality] = {
          record['row']: (record.get('item'), record.get('text'))
          for _, record in json_lines.read(content, listed.name, problems)
          if isinstance(record.get('row'), int)}
      problems_lib.report(str(listed), problems)
    return self._known[modality]
