"""What a report's page shows of items: small pictures, captions, names."""

from collections.abc import Iterable
import concurrent.futures

from absl import logging

from mmal_jax.analysis.report_page import elements
from mmal_jax.data import feature_rows
from mmal_jax.experiment import gallery
from mmal_jax.oracles.people import display
from mmal_jax.oracles.people.page import pictures

_SIDE = 128  # pixels of a picture's longer side
_LONGEST = 400  # letters of a text


def see(
    shown: gallery.RawItems | None, wanted: Iterable[tuple[str, int]]
) -> elements.See:
  """What is seen of items; of all else, their names.

  Args:
    shown: of the run; None where its data are not at hand.
    wanted: modality and number of each item that may have a picture.
  """
  if shown is None:
    return lambda modality, number: elements.Item(f'item {number}')
  wanted = list(dict.fromkeys(wanted))
  with concurrent.futures.ThreadPoolExecutor() as pool:
    found = dict(zip(wanted, pool.map(lambda one: _seen(shown, *one), wanted)))
  return lambda modality, number: found.get(
      (modality, number)) or elements.Item(text(shown, modality, number))


def text(shown: gallery.RawItems, modality: str, number: int) -> str:
  """An item in one line: a caption, a file's name, or a row."""
  if not _is_there(shown, modality, number):
    return f'item {number}'
  items, row = shown.items[modality], int(shown.rows[modality][number])
  found = gallery.in_a_line(
      pictures.name(items, row) or shown.text(modality, number))
  return found if len(found) <= _LONGEST else f'{found[:_LONGEST - 1]}…'


def _is_there(shown, modality, number) -> bool:
  """Whether the data have an item that a file of the run names."""
  return 0 <= number < len(shown.rows.get(modality, ()))


def _seen(shown, modality, number) -> elements.Item:
  if not _is_there(shown, modality, number):
    return elements.Item(f'item {number}')
  items, row = shown.items[modality], int(shown.rows[modality][number])
  words = text(shown, modality, number)
  labels = items.labels if isinstance(
      items, feature_rows.FeatureRows) else items
  if not display.are_images(labels):
    return elements.Item(words)
  try:
    picture = pictures.of_item(items, row, _SIDE)
  except ValueError as e:
    logging.warning('%s: its name is shown.', e)
    picture = None
  return elements.Item(words) if picture is None else elements.Item(
      words, picture.address, picture.size)
