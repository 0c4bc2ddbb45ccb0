"""Embeds a pool into memory-mapped files, and only what is not there yet."""

from collections.abc import Mapping, Sequence
import json
import os
import pathlib
from typing import Any, NamedTuple
import zlib

from flax import nnx
import numpy as np

from mmal_jax.data import encode
from mmal_jax.embed import disk
from mmal_jax.embed import in_memory as embed_lib
from mmal_jax.files import durable
from mmal_jax.models import fingerprint
from mmal_jax.parallel import processes

# One entry a row: SHA-256 of the item, and CRC-32 of all that made the row and
# of its values. So no row counts that was not written whole, or lies elsewhere
# than the entry says, wherever the program was stopped.
_ENTRY = np.dtype([('item', np.uint8, 32), ('check', '<u4')])
_FLUSH_EVERY = 16  # batches; until then a loss of power may cost them
_CHUNK = 2**26  # bytes of rows that are copied or checked at a time
_WHY = {
    'weights': 'the weights of the model are others',
    'code': 'the model, the type that it computes in, the code of mmal_jax or '
            'a library that it runs on has changed'}


class Before(NamedTuple):
  """What a folder holds of rows that are made as they would be now.

  Attributes:
    note: what rows are made of, but for the items.
    rows: where the row of each item is, by the item's digest; of copies the
      first.
    items: of each row of the file the digest of its item; empty where the row
      was not reached.
    why: why rows of the file are not kept; None if they are, or there are none.
  """

  note: dict[str, str]
  rows: Mapping[bytes, int]
  items: Sequence[bytes]
  why: str | None

  @property
  def unfinished(self) -> int:
    """Rows of the file that were not reached."""
    return sum(not item for item in self.items)

  def row_of(self, item: bytes, row: int) -> int:
    """Where an item's row is: best where it belongs; -1 if there is none."""
    if row < len(self.items) and self.items[row] == item:
      return row
    return self.rows.get(item, -1)


class Embedded(NamedTuple):
  """Rows on disk.

  Attributes:
    rows: `[n, embed_dim]` float32 of norm 1, memory-mapped.
    is_kept: `[n]` bool: those that were there before.
  """

  rows: disk.DiskRows
  is_kept: np.ndarray


def note_of(
    graphdef: nnx.GraphDef, params: nnx.State, modality: str, prepared: str = ''
) -> dict[str, str]:
  """What makes the rows of a modality; hashes all of its parameters.

  Args:
    graphdef: of a `DualEncoder`.
    params: its parameters.
    modality: `image` or `text`.
    prepared: in words, how items become what the tower reads, where their
      digests do not show.
  """
  return {'code': fingerprint.of(graphdef),
          'weights': fingerprint.of_params(
              params, (f'{modality}_tower.', f'{modality}_projection.')),
          'prepared': prepared}


def find(
    folder: str | os.PathLike[str], modality: str, note: dict[str, str]
) -> Before:
  """Finds the rows of a folder that need not be made again.

  Args:
    folder: as for `embed_to_disk`.
    modality: `image` or `text`.
    note: from `note_of`.

  Raises:
    ValueError: if there is a file of rows that `embed_to_disk` did not write.
  """
  paths = paths_of(folder, modality)
  if not paths.rows.exists():
    return Before(note, {}, (), None)
  if not paths.note.exists():
    raise ValueError(f'{paths.rows} exists, but not {paths.note.name} beside '
                     'it: it was made by something else. Move it away, or '
                     'choose another folder.')
  try:
    was = json.loads(paths.note.read_text('utf-8'))
    rows = disk.open_rows(paths.rows, _CHUNK)
    entries = np.fromfile(paths.entries, _ENTRY)
    # The first version kept one digest of all items.
    if not isinstance(was, dict) or was.keys() != note.keys() or (
        (len(rows), rows.dtype) != (len(entries), np.float32)):
      raise ValueError
  except (OSError, RecursionError, ValueError):
    return Before(note, {}, (), f'{paths.note.name} and what it describes are '
                  'damaged, or of another version of this program')
  changed = [key for key in note if was[key] != note[key]]
  if changed:
    # Other code may make another digest of the same weights.
    reasons = [key for key in changed
            if key != 'weights' or 'code' not in changed]
    return Before(note, {}, (), '; '.join(
        _WHY.get(key) or f'{modality}s were prepared otherwise '
        f'({was[key]}; now {note[key]})' for key in reasons))
  items = [entry['item'].tobytes() if is_done else b'' for entry, is_done
           in zip(entries, _are_done(entries, rows, note))]
  found: dict[bytes, int] = {}
  for row, item in enumerate(items):
    if item:
      found.setdefault(item, row)
  return Before(note, found, items, None)


def embed_to_disk(
    folder: str | os.PathLike[str],
    graphdef: nnx.GraphDef,
    params: nnx.State,
    items: encode.Items,
    modality: str,
    batch_size: int = 512,
    before: Before | None = None,
) -> Embedded:
  """Embeds n items of one modality into `MODALITY.npy`.

  Beside it, `MODALITY.items` names the item of each row by the SHA-256 of its
  content, and `MODALITY.json` what made them. A row whose item is still among
  the items is kept, wherever it is now, if the tower, its projection and the
  preparation of the items are the same: so work goes on where it stopped, and
  what one item more, fewer or another costs is that item.

  Args:
    folder: made if it does not exist.
    graphdef: of a `DualEncoder`.
    params: its parameters. Where they lie over a mesh, batches do, too.
    items: to be embedded.
    modality: `image` or `text`.
    batch_size: rows at a time.
    before: what `find` returned, where it was called.

  Raises:
    OSError: if the disk has no room for the rows.
    ValueError: if an embedding is NaN or infinite, if there is no item, as
      `find`, or with several processes, which would write to the same file.
  """
  if processes.are_several():
    raise ValueError('embed_to_disk works with one process; there are '
                     f'{processes.count()}: use embed.shares.')
  if before is None:
    prepared = ('' if isinstance(items.values, np.ndarray)
                else items.values.preprocess.description())
    before = find(
        folder, modality, note_of(graphdef, params, modality, prepared))
  return fill(folder, graphdef, params, items, modality, batch_size, before)


def fill(
    folder: str | os.PathLike[str],
    graphdef: nnx.GraphDef,
    params: nnx.State,
    items: encode.Items,
    modality: str,
    batch_size: int,
    before: Before,
    numbers: np.ndarray | None = None,
) -> Embedded:
  """As `embed_to_disk`, in a folder to which this process alone writes.

  Args:
    folder: as for `embed_to_disk`, like all up to `before`.
    graphdef: of a `DualEncoder`.
    params: its parameters.
    items: n to be embedded.
    modality: of the items.
    batch_size: rows at a time.
    before: what `find` returned.
    numbers: `[n]` int, by which errors call the items; None: by their rows.

  Raises:
    OSError: as `embed_to_disk`, like all that follows.
    ValueError: if an embedding is not finite, or there is no item.
  """
  if not len(items):
    raise ValueError(f'there are no {modality}s to embed.')
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  paths = paths_of(folder, modality)
  digests = encode.digests(items, np.arange(len(items)))
  at = np.array([before.row_of(digest, row)
                 for row, digest in enumerate(digests)])
  missing = np.flatnonzero(at < 0)
  rows = entries = None
  if before.rows:
    rows, entries = _kept(paths, at)
  if missing.size:
    wanted = items if missing.size == len(items) else items.take(missing)
    seed = _seed(before.note)
    for i, (first, batch) in enumerate(embed_lib.embed_batches(
        graphdef, params, wanted.values, modality, batch_size), 1):
      batch = np.asarray(batch)
      here = missing[first:first + len(batch)]
      embed_lib.check_finite(
          batch, modality, here if numbers is None else numbers[here])
      if rows is None:
        rows, entries = _begun(paths, len(items), batch.shape[1], before.note)
      rows[here] = batch
      for row in here:
        entries[row] = (np.frombuffer(digests[row], np.uint8),
                        zlib.crc32(rows[row].tobytes(), seed))
      done = first + len(batch)
      if i % _FLUSH_EVERY == 0 or done == missing.size:
        rows.flush()
        entries.flush()
  return Embedded(disk.open_rows(paths.rows), at >= 0)


class Paths(NamedTuple):
  """Of the files of a modality."""

  rows: pathlib.Path
  entries: pathlib.Path
  note: pathlib.Path


def paths_of(folder: str | os.PathLike[str], modality: str) -> Paths:
  """Where the rows of a modality lie, and what they are."""
  return Paths(*(pathlib.Path(folder) / f'{modality}.{kind}'
                  for kind in ('npy', 'items', 'json')))


def _seed(note: Mapping[str, str]) -> int:
  return zlib.crc32(json.dumps(note, sort_keys=True).encode())


def _are_done(entries, rows, note) -> np.ndarray:
  """`[n]` bool: whose entry is of the row beside it."""
  seed, done = _seed(note), np.zeros(len(entries), bool)
  values = (row for chunk in rows.chunks() for row in chunk)
  for i, (entry, row) in enumerate(zip(entries, values)):
    done[i] = entry['item'].any() and (
        entry['check'] == zlib.crc32(row.tobytes(), seed))
  return done


def _begun(paths: Paths, n: int, width: int, note: Mapping[str, Any]):
  """Files of n rows of which none is done, in place of those before."""
  paths.entries.unlink(missing_ok=True)  # It describes the rows to be lost.
  durable.write(paths.note, json.dumps(note))
  rows, entries = drafts(paths, n, width)
  return published(paths, rows, entries)


def _kept(paths: Paths, at: np.ndarray):
  """The files with the rows that are kept where they belong now."""
  old = np.load(paths.rows, mmap_mode='r+')
  was = np.memmap(paths.entries, _ENTRY, 'r+')
  kept = np.flatnonzero(at >= 0)
  if len(at) == len(old) and np.array_equal(at[kept], kept):
    return old, was
  rows, entries = drafts(paths, len(at), old.shape[1])
  copy(paths, kept, at[kept], rows, entries)
  rows.flush()
  entries.flush()
  del old, was
  return published(paths, rows, entries)


def copy(
    paths: Paths, to: np.ndarray, of: np.ndarray, rows: np.ndarray,
    entries: np.ndarray,
) -> None:
  """Copies some rows of a folder's files, `of`, to places `to` of others."""
  old = np.load(paths.rows, mmap_mode='r')
  was = np.memmap(paths.entries, _ENTRY, 'r')
  step = max(1, _CHUNK // (old.shape[1] * old.itemsize))
  for first in range(0, len(to), step):
    here, there = to[first:first + step], of[first:first + step]
    rows[here], entries[here] = old[there], was[there]


def drafts(
    paths: Paths, n: int, width: int
) -> tuple[np.memmap, np.memmap]:
  """Files of n rows and entries, beside those that are there."""
  with durable.naming(paths.rows):
    rows = np.lib.format.open_memmap(
        _draft(paths.rows), 'w+', np.float32, (n, width))
    entries = np.memmap(_draft(paths.entries), _ENTRY, 'w+', shape=(n,))
    for path in (paths.rows, paths.entries):
      _reserve(_draft(path))
  return rows, entries


def _reserve(path: pathlib.Path) -> None:
  """Takes the room now: without any, a write to the map would be the end."""
  try:
    with path.open('r+b') as file:
      os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
  except OSError:
    path.unlink()
    raise


def published(
    paths: Paths, rows: np.memmap, entries: np.memmap
) -> tuple[np.memmap, np.memmap]:
  """The drafts, once they are in place of what was there."""
  # If stopped between the two, no entry fits its row: nothing wrong is kept.
  for path in (paths.rows, paths.entries):
    os.replace(_draft(path), path)
  durable.sync_folder(paths.rows.parent)
  return rows, entries


def _draft(path: pathlib.Path) -> pathlib.Path:
  return path.with_name(path.name + '.draft')
