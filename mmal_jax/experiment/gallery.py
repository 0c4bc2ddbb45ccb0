"""`asked.md` and `asked.png`: what was asked, and what was answered."""

from collections.abc import Sequence
import pathlib
import re
import textwrap
from typing import Any, NamedTuple

from absl import logging
import numpy as np

from mmal_jax import extras
from mmal_jax.analysis import figures
from mmal_jax.analysis import tables
from mmal_jax.data import encode
from mmal_jax.data import feature_rows
from mmal_jax.data import schema
from mmal_jax.data.images import image_files
from mmal_jax.data.images import images as images_lib
from mmal_jax.files import durable
from mmal_jax.files import plain_text
from mmal_jax.pools import pools as pools_lib

_patches = extras.Lazy('matplotlib.patches', 'to draw figures')

# Queries of a batch in the picture; all are in the table.
_MOST = 12


class RawItems(NamedTuple):
  """The raw items of a pool, under the numbers that queries give them.

  Attributes:
    items: by modality, the items of the dataset.
    rows: by modality, `[n_m]` int, the row that each number stands for.
  """

  items: dict[str, schema.Images | schema.Texts | feature_rows.FeatureRows]
  rows: dict[str, np.ndarray]

  def text(self, modality: str, number: int) -> str:
    """An item in words: a text as it is, all else by its row."""
    row, items = self.rows[modality][number], _looked_at(self.items[modality])
    if isinstance(items, image_files.ImageFiles):
      return str(items.paths[row])
    return f'row {row}' if isinstance(items, np.ndarray) else items[row]

  def can_be_seen(self, modality: str) -> bool:
    """Whether items are images or texts, or features with such labels."""
    items = self.items[modality]
    if isinstance(items, feature_rows.FeatureRows):
      return items.labelled
    return not isinstance(items, np.ndarray) or items.ndim == 4

  def picture(self, modality: str, number: int) -> np.ndarray | None:
    """`[h, w, 3]` uint8 of an image; None of all else.

    Likewise of an image that stands for features and cannot be decoded, as a
    GIF: what people see in a browser need not be read here.
    """
    row, items = self.rows[modality][number], _looked_at(self.items[modality])
    if isinstance(items, image_files.ImageFiles):
      if items is self.items[modality]:
        return items.take(np.array([row]))[0]
      try:
        return items.preprocess.apply(images_lib.open_rgb(items.paths[row]))
      except ValueError as e:
        logging.warning('image %r %s: its name is shown.',
                        str(items.paths[row]), e)
        return None
    is_image = isinstance(items, np.ndarray) and items.ndim == 4
    return items[row] if is_image else None


def _looked_at(items):
  """What people see: of features, what stands for them."""
  return items.labels if isinstance(
      items, feature_rows.FeatureRows) else items


def of_seed(
    pool: schema.Pairs | schema.Loose, seed: int, missing: float = 0.0
) -> RawItems:
  """Shuffles the items of a pool as the runs of a seed did.

  Args:
    pool: as people see it.
    seed: of the runs.
    missing: share of the pairs that lost one of their items.
  """
  if isinstance(pool, schema.Loose):  # These are not shuffled.
    return RawItems(dict(pool.items), {
        m: np.arange(len(items)) for m, items in pool.items.items()})
  # Only the numbers are of interest, whatever the items are.
  places = np.arange(len(pool), dtype=np.int32)
  numbered = encode.EncodedPairs(
      {m: encode.Items(places, places) for m in pool.items}, pool.groups)
  _, hidden = pools_lib.hide_pairing(numbered, seed, missing)
  return RawItems(dict(pool.items), hidden.rows)


def write(
    shown: RawItems, queries: Sequence[dict[str, Any]], title: str,
    folder: pathlib.Path,
) -> bool:
  """Writes the first and the last batch of a run.

  Args:
    shown: from `of_seed`, with the run's seed.
    queries: the run's records, a round each, not all without a query.
    title: of both files.
    folder: they are written here.

  Returns:
    Whether there is a picture: of features alone there is nothing to see.
  """
  asking = [record for record in queries if record['asked']]
  batches = asking[:1] + asking[1:][-1:]
  drawn = any(map(shown.can_be_seen, shown.items))
  parts = [
      f'# {plain_text.for_markdown(title)}',
      '![what was asked](asked.png)' if drawn else
      'The items are features, of which there is no picture: their rows.']
  for record in batches:
    rows = [['asked about', *shown.items]]
    for asked, answer in zip(record['asked'], record['answers']):
      rows.append([asked[0], *(
          _cell(shown, m, n, asked) for m, n in zip(shown.items, answer))])
    parts += [f'## Round {record["round"]}', tables.markdown(rows)]
  durable.write(folder / 'asked.md', '\n\n'.join(parts) + '\n')
  if drawn:
    figures.save(_draw(shown, batches, title), folder / 'asked.png', 100)
  return drawn


def _number(modality: str, answered: int, asked: tuple[str, int]) -> int:
  """What stands in a column: the item asked about, also without an answer."""
  return asked[1] if modality == asked[0] else answered


def _cell(shown, modality, answered, asked) -> str:
  number = _number(modality, answered, asked)
  if number < 0:
    return 'no answer'
  return f'{number}: {in_a_line(shown.text(modality, number))}'


def in_a_line(text: str) -> str:
  """A caption with blanks in place of line breaks and tabs."""
  return re.sub(r'(?:\r?\n|[ \t])+', ' ', text).strip(' ')


def _draw(shown, batches, title) -> Any:
  modalities = list(shown.items)
  height = min(_MOST, max(len(record['asked']) for record in batches))
  columns = len(batches) * len(modalities)
  figure, axes = figures.new(
      height, columns, (2.2 * columns, 0.6 + 1.2 * height))
  figure.suptitle(plain_text.for_terminal(title), parse_math=False)
  for axis in axes.flat:
    axis.set_axis_off()
  for b, record in enumerate(batches):
    block = axes[:, b * len(modalities):(b + 1) * len(modalities)]
    total, first = len(record['asked']), True
    for row, asked, answer in zip(block, record['asked'], record['answers']):
      for axis, modality, answered in zip(row, modalities, answer):
        _show(axis, shown, modality, _number(modality, answered, asked),
              modality == asked[0])
        if first:
          axis.set_title(
              f'{plain_text.for_terminal(modality)}, round {record["round"]}\n'
              f'({min(height, total)} of {total})', fontsize=8,
              parse_math=False)
      first = False
  return figure


def _show(axis, shown, modality, number, is_asked) -> None:
  """An item; in a frame if it is the one that was asked about."""
  picture = None if number < 0 else shown.picture(modality, number)
  frame = {'edgecolor': 'tab:red' if is_asked else 'none', 'linewidth': 2}
  if picture is not None:
    axis.imshow(picture)
    h, w = picture.shape[:2]
    axis.add_patch(_patches.Rectangle((-0.5, -0.5), w, h, fill=False, **frame))
    return
  text = 'no answer' if number < 0 else plain_text.for_terminal(
      in_a_line(shown.text(modality, number)))
  axis.text(0.5, 0.5, textwrap.fill(textwrap.shorten(text, 120), 24),
            ha='center', va='center', fontsize=7, parse_math=False,
            color='grey' if number < 0 else 'black',
            bbox={'facecolor': 'white', 'pad': 3, **frame})
