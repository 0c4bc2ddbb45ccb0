"""Emoji as two vendors draw them; the drawings come with the package.

Which emoji belong together is known from Unicode. Sources and licences of the
drawings are in `mmal_jax/emoji/LICENSES.txt`.
"""

from collections.abc import Mapping, Sequence
import csv
import hashlib
import importlib.resources
import io
import json
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mmal_jax.data import schema
from mmal_jax.data import splits
from mmal_jax.data.images import images as images_lib
from mmal_jax.files import durable
from mmal_jax.files import json_object

FOLDER = pathlib.Path(str(importlib.resources.files('mmal_jax'))) / 'emoji'
STYLES = ('noto', 'twemoji')  # the modalities, and names of their sheets
SIZE = 48  # height and width of a drawing
_TABLE, _MADE_OF, _ENDING = 'emoji.csv', 'emoji.json', '.png'


class Emoji(NamedTuple):
  """A row of the table: `grinning`, `1F600`, `Smileys & Emotion`."""

  name: str
  unicode: str
  group: str


def load(test_fraction: float = 0.2, seed: int = 0) -> schema.Dataset:
  """Reads the drawings.

  Args:
    test_fraction: share of the emoji held out. Emoji of the same drawing in
      either style (flags, mostly) stay together.
    seed: of that division.

  Returns:
    The dataset, of `noto` and `twemoji`, `[n, 48, 48, 3]` uint8 pixels on
    white; it has no groups and no `pretrain`.

  Raises:
    ValueError: if a file is missing or damaged, or `test_fraction` is out of
      range.
  """
  _, drawings = read()
  ids = [[(style, i) for i in schema.item_ids(pixels).tolist()]
         for style, pixels in drawings.items()]
  is_test = splits.hold_out(list(zip(*ids)), test_fraction, seed)
  pool, test = (
      schema.Pairs({style: pixels[mask] for style, pixels in drawings.items()},
                   schema.no_groups(np.count_nonzero(mask)))
      for mask in (~is_test, is_test))
  return schema.Dataset('emoji', pool, test)


def read(
    folder: str | os.PathLike[str] = FOLDER,
) -> tuple[list[Emoji], dict[str, np.ndarray]]:
  """The table, and by style the drawings of its n rows, `[n, 48, 48, 3]`.

  Args:
    folder: that `write` wrote to.

  Raises:
    ValueError: if a file is missing, or is not the one that was written.
  """
  folder = pathlib.Path(folder)
  made_of = json_object.parse(_file(folder, _MADE_OF), folder / _MADE_OF)
  digests = made_of.get('sha256')
  if not isinstance(digests, dict):
    raise ValueError(f'{folder / _MADE_OF} has no sha256. {_HINT}')

  def checked(name):
    content = _file(folder, name)
    if hashlib.sha256(content).hexdigest() != digests.get(name):
      raise ValueError(f'{folder / name} is damaged: its SHA-256 is not the '
                       f'one that {_MADE_OF} states. {_HINT}')
    return content

  _, *rows = csv.reader(io.StringIO(checked(_TABLE).decode()))
  table = [Emoji(*row) for row in rows]
  return table, {
      style: images_lib.decode(checked(f'{style}{_ENDING}')).reshape(
          -1, SIZE, SIZE, 3)
      for style in STYLES}


def write(
    folder: str | os.PathLike[str],
    table: Sequence[Emoji],
    drawings: Mapping[str, np.ndarray],
    made_of: Mapping[str, Any],
) -> None:
  """Writes a sheet of 256 colours a style, the table, and their digests.

  Args:
    folder: that is there; files in it are replaced.
    table: n rows.
    drawings: by style, `[n, 48, 48, 3]` uint8.
    made_of: what to state beside the digests.
  """
  folder = pathlib.Path(folder)
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerows([Emoji._fields, *table])
  contents = {_TABLE: text.getvalue().encode()}
  for style in STYLES:
    file = io.BytesIO()
    # A drawing's pixels follow one another: so PNG packs them best.
    Image.fromarray(drawings[style].reshape(-1, 24 * SIZE, 3)).quantize(
        256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
            file, 'PNG', optimize=True)
    contents[f'{style}{_ENDING}'] = file.getvalue()
  for name, content in contents.items():
    durable.write(folder / name, content)
  durable.write(folder / _MADE_OF, json.dumps(dict(made_of) | {
      'sha256': {name: hashlib.sha256(content).hexdigest()
                 for name, content in contents.items()}}, indent=2) + '\n')


_HINT = 'Install the package again.'


def _file(folder, name) -> bytes:
  try:
    return durable.read(folder / name)
  except OSError as e:
    raise ValueError(f'the emoji cannot be read: {name}: {durable.reason(e)}. '
                     f'{_HINT}') from e
