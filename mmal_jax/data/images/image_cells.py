"""Cells of a table that say where an image is, or hold one."""

from collections.abc import Callable
import pathlib
from typing import NamedTuple

from mmal_jax.data.images import image_files
from mmal_jax.data.images import image_listing
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib


class Kept(NamedTuple):
  """A cell whose image stays where it is; a source that reads it there."""

  source: image_files.Source


def reader(
    folder: pathlib.Path | None, column: str
) -> Callable[[object], image_files.Source]:
  """What makes sources of cells; what is in several cells is one source.

  Args:
    folder: what paths are relative to and may not lead out of; None where there
      is none, and no cell may be a path.
    column: its name, for messages.

  Returns:
    A function of a cell: a path, bytes, a dictionary of `bytes` and `path` as
    the `datasets` library stores images, or `Kept`. It raises ValueError, with
    the rest of a sentence, for others and for paths where no file is.
  """
  paths: dict[str, pathlib.Path | str] = {}
  encoded: dict[bytes, image_files.Encoded] = {}

  def of_path(name: str) -> pathlib.Path:
    if folder is None:
      raise ValueError(f'image {json_object.quote(name)} is a path, and there '
                       'is no folder to look in')
    if name not in paths:
      try:
        paths[name] = image_listing.find(folder, name)
      except ValueError as e:
        paths[name] = str(e)
    if isinstance(paths[name], str):
      raise ValueError(paths[name])
    return paths[name]

  def source_of(cell: object) -> image_files.Source:
    if isinstance(cell, Kept):
      return cell.source
    name = None
    if isinstance(cell, dict) and ('bytes' in cell or 'path' in cell):
      name, cell = cell.get('path'), cell.get('bytes') or cell.get('path')
    if isinstance(cell, bytes):
      if cell not in encoded:
        encoded[cell] = image_files.Encoded(
            name if name and isinstance(name, str) else column, cell)
      return encoded[cell]
    if cell is not None and not isinstance(cell, str):
      raise ValueError(f'{column!r} is {json_object.quote(cell)}, neither a '
                       'path nor the bytes of an image')
    wrong = problems_lib.of_text(column, cell)
    if wrong:
      raise ValueError(wrong[0])
    if '://' in cell:
      raise ValueError(f'image {json_object.quote(cell)} is an address: '
                       'nothing is downloaded, save the images first')
    return of_path(cell)

  return source_of
