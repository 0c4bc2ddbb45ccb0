"""Images and texts, embedded with a checkpoint into memory-mapped files.

`image.npy` and `text.npy` hold rows of norm 1, `image.txt` the path of every
row, `MODALITY.statistics.npz` their mean and covariance. Rows go by the content
of their items: what was begun is gone on with, and of what was done only items
that are new or have changed are embedded again.
"""

import collections
from collections.abc import Callable, Sequence
import contextlib
import os
import pathlib
import time
from typing import NamedTuple

import jax
import numpy as np

from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.data import text_list
from mmal_jax.data.images import image_files
from mmal_jax.data.images import image_listing
from mmal_jax.data.images import readable
from mmal_jax.embed import shares
from mmal_jax.embed import statistics
from mmal_jax.embed import to_disk
from mmal_jax.files import durable
from mmal_jax.files import lock
from mmal_jax.files import problems as problems_lib
from mmal_jax.models import dual_encoder
from mmal_jax.models import partition
from mmal_jax.models.pretrained import load as load_lib
from mmal_jax.parallel import processes
from mmal_jax.parallel import sharding

_SHOWN = 5  # names in a message


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


def embed(
    init: str | None,
    out: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    texts: str | os.PathLike[str] | None = None,
    *,
    model: str | None = None,
    tokenizer: str | None = None,
    image_size: int | None = None,
    dtype: str = 'float32',
    batch_size: int = 512,
    fsdp: int = 1,
    notify: Callable[[str], None] | None = None,
) -> str:
  """Embeds a folder of images, a file of texts, or both.

  Of several processes all call it; each embeds a share of the items on its own
  devices.

  Args:
    init: the checkpoint, as for `load_pretrained`.
    out: folder to write to, or to go on with.
    images: folder of JPEG, PNG and WebP images.
    texts: file of texts, one a line, or a .jsonl of {"text": ...}.
    model: a preset that the checkpoint must be; None takes any.
    tokenizer: folder where it lies, if not beside the parameters.
    image_size: pixels, if not as published.
    dtype: what the towers compute in.
    batch_size: items at a time.
    fsdp: devices of a process over which parameters are cut; batches always
      are over all that it has.
    notify: takes lines for the user, about what is being done.

  Returns:
    What was embedded and what was kept, a line a modality.

  Raises:
    ValueError: if neither images nor texts are given, listing all files that
      cannot be read, or as `load_pretrained`.
  """
  if images is None and texts is None:
    raise ValueError('give images, texts or both.')
  notify = notify or (lambda line: None)
  if init is None:
    raise ValueError('init=None: a checkpoint is needed: add --init=DIR.')
  load_lib.check(model, dtype)
  # Before minutes are spent on anything.
  found = None if images is None else paths_of(pathlib.Path(images))
  lines = None if texts is None else text_list.texts_of(pathlib.Path(texts))
  notify(f'Reading the checkpoint {init} ...')
  loaded = load_lib.load(
      init, model=model, tokenizer=tokenizer, image_size=image_size,
      dtype=dtype)
  params = partition.place(loaded.params, sharding.make_mesh(
      -1, fsdp, jax.local_devices()))
  out = pathlib.Path(out)
  with contextlib.ExitStack() as held:
    def take():
      out.mkdir(parents=True, exist_ok=True)
      held.enter_context(lock.exclusive(out))

    processes.from_primary(take)
    tasks = []
    if found is not None:
      tasks.append(_images(images, found, loaded, params, out, notify))
    if lines is not None:
      tasks.append(_texts(lines, loaded, params, out, notify))
    return '\n'.join(
        _embed(task, loaded, params, out, batch_size) for task in tasks)


def _images(folder, images, model, params, out, notify) -> _Task:
  """Names all images that cannot be read, of those not embedded before."""
  before = _find(
      out, model, params, 'image', model.preprocess.description(), notify)
  left = _left(out, 'image', before)
  known = collections.ChainMap(
      *(some.rows for some in (before, *(one.before for one in left))))
  problems: list[str] = []
  mine = np.array_split(np.arange(len(images)), processes.count())[
      processes.index()]
  digests = readable.check([images[i] for i in mine], known, problems)
  digests, problems = (
      [x for some in processes.each(part) for x in some]
      for part in (digests, problems))
  problems_lib.report(f'images={str(folder)!r}', problems)
  if left:
    before = _taken_in(out, 'image', digests, before, left)
  files = image_files.ImageFiles(images, model.preprocess, digests)
  items = encode.Items(files, image_files.item_ids(files))
  list_path = out / 'image.txt'
  listed = (os.fsdecode(list_path.read_bytes()).split('\n')
            if list_path.exists() else [])
  return _Task('image', items, list(map(str, images)), before, listed)


def _texts(texts, model, params, out, notify) -> _Task:
  items = encode.Items(model.tokenizer(texts), schema.item_ids(texts))
  before = _find(
      out, model, params, 'text', model.tokenizer.description(), notify)
  left = _left(out, 'text', before)
  if left:
    before = _taken_in(
        out, 'text', encode.digests(items, np.arange(len(items))), before, left)
  return _Task('text', items,
               [f'line {i}' for i in range(1, len(texts) + 1)], before, [])


def _find(
    out, model, params, modality, prepared, notify
) -> to_disk.Before:
  before = to_disk.find(out, modality, to_disk.note_of(
      dual_encoder.graphdef_of(model.config), params, modality, prepared))
  if before.why is not None:
    notify(
        f'{modality}: {before.why}. All rows are embedded anew, in place of '
        f'those in {out}: to keep these, stop now and give another '
        '--embeddings.')
  return before


def _left(out, modality, before) -> list[shares.Source]:
  found = shares.left(out, modality, before.note)
  processes.all_processes(True)  # None takes them in before all have seen them.
  return found


def _taken_in(out, modality, digests, before, left) -> to_disk.Before:
  """What is there once the first process has put together what was left."""
  def put_together():
    shares.take_in(out, modality, digests, before, left)
    shares.remove(out, modality)

  processes.from_primary(put_together)
  return to_disk.find(out, modality, before.note)


def _embed(task, model, params, out, batch_size) -> str:
  modality, items, before = task.modality, task.items, task.before
  list_path = out / 'image.txt'
  listed = os.fsencode(''.join(f'{name}\n' for name in task.names))

  def unlist():
    # Never beside rows that it does not describe.
    if list_path.exists() and list_path.read_bytes() != listed:
      list_path.unlink()

  if modality == 'image':
    processes.from_primary(unlist)
  started = time.perf_counter()
  given = (out, dual_encoder.graphdef_of(model.config), params, items, modality,
           batch_size, before)
  rows, is_kept = (shares.embed if processes.are_several() else
                   to_disk.embed_to_disk)(*given)
  processes.from_primary(lambda: shares.remove(out, modality))
  if modality == 'image':
    processes.from_primary(lambda: durable.write(list_path, listed))
  seconds = time.perf_counter() - started
  processes.from_primary(lambda: statistics.kept(out, modality))
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
    # Which of them the run before had not reached, nothing records.
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


def paths_of(folder: pathlib.Path) -> list[pathlib.Path]:
  """The images in a folder and in those below it.

  Raises:
    ValueError: if it is no folder, holds none, or a path cannot stand in a
      line of `image.txt`.
  """
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
