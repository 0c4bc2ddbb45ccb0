"""Embeds images and texts with a checkpoint, into memory-mapped files.

Example:

  python -m experiments.embed --init=DIR --images=photos --texts=captions.txt \
      --embeddings=DIR2

writes `image.npy` and `text.npy`, rows of norm 1, and `image.txt`, the path of
every row. All images are checked first, and those that cannot be read are named
together. Rows go by the content of their items: what was begun is gone on with,
and of what was done only items that are new or have changed are embedded again.
The files are pools for `mmal_jax.ask`. They are features for
`experiments/configs/features.py` if text i belongs to the image in line i of
`image.txt`: images go by their paths, texts by their lines.
"""

from collections.abc import Sequence
import os
import pathlib
import sys
import time
from typing import NamedTuple

from absl import flags
import ml_collections
import numpy as np

from experiments import common_flags
from experiments import program
from mmal_jax import progress
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.data import text_list
from mmal_jax.data.images import image_files
from mmal_jax.data.images import image_listing
from mmal_jax.data.images import readable
from mmal_jax.embed import to_disk
from mmal_jax.experiment import check
from mmal_jax.experiment import pretrained as pretrained_lib
from mmal_jax.files import durable
from mmal_jax.files import lock
from mmal_jax.files import problems as problems_lib
from mmal_jax.models import config as config_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import partition
from mmal_jax.parallel import sharding

_SHOWN = 5  # names in a message
_INIT, _MODEL = common_flags.take('init', 'model')
_IMAGES = common_flags.define_path(
    'images', None, 'Folder of JPEG, PNG and WebP images; those in folders '
    'below it count, hidden ones do not.')
_TEXTS = common_flags.define_path(
    'texts', None, 'File of texts, one a line, a blank line among them being '
    'one, too; or a .jsonl of {"text": ...}.')
_EMBEDDINGS = common_flags.define_path(
    'embeddings', None, 'Folder to write to, or to go on with.')
_TOKENIZER = common_flags.define_path(
    'tokenizer', None, 'Folder of the tokenizer, where it does not lie with the'
    ' weights, as for a .npz.')
_IMAGE_SIZE = flags.DEFINE_integer(
    'image_size', None, 'Pixels, if not as published.', lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 512, 'Items at a time.', lower_bound=1)
_DTYPE = flags.DEFINE_enum(
    'dtype', 'float32', config_lib.DTYPES, 'What the towers compute in.')
_FSDP = flags.DEFINE_integer(
    'fsdp', 1, 'Devices over which parameters are cut; batches always are over '
    'all there are.', lower_bound=1)


class _Task(NamedTuple):
  """Items of one modality, read and checked, and what is there of them.

  Attributes:
    modality: of the items.
    items: to be embedded.
    names: of each item, for messages.
    before: rows that are there.
    listed: names that the rows there had; empty where that is not known.
  """

  modality: str
  items: encode.Items
  names: Sequence[str]
  before: to_disk.Before
  listed: Sequence[str]


def run() -> str:
  """Embeds what is given; says how quick that was."""
  if _IMAGES.value is None and _TEXTS.value is None:
    raise ValueError('give --images, --texts or both.')
  if _EMBEDDINGS.value is None:
    raise ValueError('give --embeddings, the folder to write to.')
  config = ml_collections.ConfigDict({
      'init': _INIT.value,
      'model': {'name': _MODEL.value or pretrained_lib.ANY,
                'dtype': _DTYPE.value, 'image_size': _IMAGE_SIZE.value},
      'text': {'folder': _TOKENIZER.value}})
  check.check_model(config)
  # Before minutes are spent on anything.
  images = None if _IMAGES.value is None else _paths(
      pathlib.Path(_IMAGES.value))
  texts = None if _TEXTS.value is None else _lines(
      pathlib.Path(_TEXTS.value))
  program.say(f'Reading the checkpoint {config.init} ...', sys.stderr)
  model = pretrained_lib.load(config)
  params = partition.place(
      model.params, sharding.make_mesh(-1, _FSDP.value))
  out = pathlib.Path(_EMBEDDINGS.value)
  out.mkdir(parents=True, exist_ok=True)
  with lock.sole(out), progress.shown_by(program.show):
    tasks = []
    if images is not None:
      tasks.append(_images(images, model, params, out))
    if texts is not None:
      tasks.append(_texts(texts, model, params, out))
    return '\n'.join(_embed(task, model, params, out) for task in tasks)


def _images(images, model, params, out) -> _Task:
  """Names all images that cannot be read, of those not embedded before."""
  prepared = model.preprocess.description()
  before = _find(out, model, params, 'image', prepared)
  problems: list[str] = []
  digests = readable.check(images, before.rows, problems)
  problems_lib.report(f'images={_IMAGES.value!r}', problems)
  files = image_files.ImageFiles(images, model.preprocess, digests)
  items = encode.Items(files, image_files.item_ids(files))
  list_path = out / 'image.txt'
  listed = (os.fsdecode(list_path.read_bytes()).split('\n')
            if list_path.exists() else [])
  return _Task('image', items, list(map(str, images)), before, listed)


def _texts(texts, model, params, out) -> _Task:
  items = encode.Items(model.tokenizer(texts), schema.item_ids(texts))
  before = _find(out, model, params, 'text', model.tokenizer.description())
  return _Task('text', items, [f'line {i}' for i in range(1, len(texts) + 1)],
               before, [])


def _find(out, model, params, modality, prepared) -> to_disk.Before:
  before = to_disk.find(
      out, dual_encoder.graphdef_of(model.config), params, modality, prepared)
  if before.why is not None:
    program.say(
        f'{modality}: {before.why}. All rows are embedded anew, in place of '
        f'those in {out}: to keep these, stop now and give another '
        '--embeddings.', sys.stderr)
  return before


def _embed(task, model, params, out) -> str:
  modality, items, before = task.modality, task.items, task.before
  if modality == 'image':
    # Never beside rows that it does not tell of.
    listed = os.fsencode(''.join(f'{name}\n' for name in task.names))
    list_path = out / 'image.txt'
    if list_path.exists() and list_path.read_bytes() != listed:
      list_path.unlink()
  started = time.perf_counter()
  rows, is_kept = to_disk.embed_to_disk(
      out, dual_encoder.graphdef_of(model.config), params, items, modality,
      _BATCH_SIZE.value, before)
  if modality == 'image':
    durable.write(list_path, listed)
  seconds = time.perf_counter() - started
  taken = int((~is_kept).sum())
  return (
      f'{modality}: {rows.shape[0]} rows of {rows.shape[1]}, of which {taken} '
      f'{"was" if taken == 1 else "were"} embedded now'
      f'{_reasons(task, is_kept)} and {rows.shape[0] - taken} kept'
      + (f', {taken / seconds:.1f} a second.' if taken else '.'))


def _reasons(task, is_kept) -> str:
  """Why rows were made, and what became of those that are there no more."""
  before = task.before
  if before.why is not None:
    return f' ({before.why})'
  if not before.rows and not before.unfinished:
    return ''
  listed = set(task.listed)
  new = [f'{name} {"has changed" if name in listed else "is new"}'
         for name, kept in zip(task.names, is_kept, strict=True) if not kept]
  parts = []
  if before.unfinished and new:
    # Which of them the run before had not reached, nothing tells.
    parts.append(f'{before.unfinished} had not been reached before')
    new = []
  if len(new) > _SHOWN:
    new = new[:_SHOWN] + [f'{len(new) - _SHOWN} more']
  parts += new
  gone = len(set(before.rows) - set(
      encode.digests(task.items, np.flatnonzero(is_kept))))
  if gone:
    parts.append(f'{gone} earlier {"row is" if gone == 1 else "rows are"} '
                 'left out')
  return f' ({"; ".join(parts)})' if parts else ''


def _lines(path: pathlib.Path) -> list[str]:
  problems: list[str] = []
  texts = []
  for place, text in text_list.read(path, problems):
    if not isinstance(text, str) or text.strip():  # Blank ones are texts, too.
      problems += [f'{place}: {what}.'
                   for what in problems_lib.of_text('text', text)]
    texts.append(text)
  problems_lib.report(f'texts={str(path)!r}', problems)
  if not texts:
    raise ValueError(f'texts={str(path)!r} is empty: it holds no text.')
  return texts


def _paths(folder: pathlib.Path) -> list[pathlib.Path]:
  if not folder.is_dir():
    raise ValueError(f'images={str(folder)!r} is no folder.')
  folder = folder.absolute()  # image.txt is read from elsewhere, too.
  problems: list[str] = []
  left_out: list[image_listing.LeftOut] = []
  found = image_listing.listed(folder, folder, problems, left_out)
  image_listing.warn(folder, left_out)
  problems += [
      f'image {str(path)!r}: its path holds a new line, but image.txt has a '
      'path a line: rename it.' for path in found
      if not text_list.is_path_line(path)]
  if not found and not problems:
    problems.append('it holds no JPEG, PNG or WebP file.')
  problems_lib.report(f'images={str(folder)!r}', problems)
  return found


def main(argv: Sequence[str]) -> None:
  program.call(run, argv)


if __name__ == '__main__':
  program.start(main)
