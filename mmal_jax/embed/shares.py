"""A pool embedded by several processes, each of which makes a share of it.

Each writes files of its own, so that no two write to one page of a file that
several hosts see; in the end the first puts them together. What an earlier
program left there, of however many processes, is taken in before anything is
embedded.
"""

from collections.abc import Sequence
import json
import os
import pathlib
from typing import NamedTuple

from flax import nnx
import numpy as np

from mmal_jax.data import encode
from mmal_jax.embed import disk
from mmal_jax.embed import to_disk
from mmal_jax.files import durable
from mmal_jax.parallel import processes

FOLDER = '.shares'  # Within that of the rows; a folder a process.


class Source(NamedTuple):
  """Rows of a folder that need not be made again."""

  folder: pathlib.Path
  before: to_disk.Before


def left(
    folder: str | os.PathLike[str], modality: str, note: dict[str, str]
) -> list[Source]:
  """Shares that a program has left, as it was stopped.

  Args:
    folder: as for `to_disk.find`, like all that follows.
    modality: `image` or `text`.
    note: of what makes the rows now.
  """
  found = []
  for share in sorted((pathlib.Path(folder) / FOLDER).glob('*')):
    before = to_disk.find(share, modality, note)
    if before.rows:
      found.append(Source(share, before))
  return found


def take_in(
    folder: str | os.PathLike[str],
    modality: str,
    digests: Sequence[bytes],
    before: to_disk.Before,
    shares: Sequence[Source],
) -> None:
  """Puts rows of the folder and of its shares together, each where it belongs.

  Called by one process alone.

  Args:
    folder: of the rows.
    modality: of the items.
    digests: of all n items, in order; what no source has is not done yet.
    before: what the folder itself holds.
    shares: what is beside it; at least one, of the same weights.

  Raises:
    OSError: if the disk has no room for the rows.
  """
  folder = pathlib.Path(folder)
  paths, seen = to_disk.paths_of(folder, modality), set()
  sources = [Source(folder, before), *shares]
  width = np.load(
      to_disk.paths_of(shares[0].folder, modality).rows, mmap_mode='r').shape[1]
  rows, entries = to_disk.drafts(paths, len(digests), width)
  for source in sources:
    here = [(row, source.before.row_of(digest, row))
            for row, digest in enumerate(digests) if row not in seen]
    here = np.array([pair for pair in here if pair[1] >= 0], int)
    if len(here):
      to_disk.copy(
          to_disk.paths_of(source.folder, modality), *here.T, rows, entries)
      seen.update(here[:, 0].tolist())
  rows.flush()
  entries.flush()
  if not before.rows:
    # What it describes may have been made by another model.
    paths.entries.unlink(missing_ok=True)
    durable.write(paths.note, json.dumps(before.note))
  to_disk.published(paths, rows, entries)


def remove(folder: str | os.PathLike[str], modality: str) -> None:
  """Removes the shares of a modality, once they are taken in, or are outdated.
  """
  shares = pathlib.Path(folder) / FOLDER
  for share in [*shares.glob('*'), shares]:
    for path in share.glob(f'{modality}.*'):
      path.unlink(missing_ok=True)
    if share.is_dir() and not any(share.iterdir()):
      share.rmdir()


def embed(
    folder: str | os.PathLike[str],
    graphdef: nnx.GraphDef,
    params: nnx.State,
    items: encode.Items,
    modality: str,
    batch_size: int,
    before: to_disk.Before,
) -> to_disk.Embedded:
  """As `to_disk.embed_to_disk`, by all processes together.

  Shares are left where they are, to be removed (`remove`).

  Args:
    folder: on a disk that all of them see.
    graphdef: of a `DualEncoder`.
    params: its parameters, on devices of this process alone.
    items: to be embedded; the same in all.
    modality: `image` or `text`.
    batch_size: rows at a time, in each.
    before: what `to_disk.find` returned; no share is left.

  Raises:
    OSError: if the disk has no room for the rows.
    ValueError: if an embedding is NaN or infinite.
  """
  folder = pathlib.Path(folder)
  digests = encode.digests(items, np.arange(len(items)))
  is_kept = np.array([before.row_of(digest, row) >= 0
                      for row, digest in enumerate(digests)])
  missing = np.flatnonzero(~is_kept)
  mine = np.array_split(missing, processes.count())[processes.index()]
  share, error = folder / FOLDER / str(processes.index()), None
  try:
    if mine.size:
      to_disk.fill(
          share, graphdef, params, items.take(mine), modality, batch_size,
          to_disk.find(share, modality, before.note), mine)
  except (OSError, ValueError) as e:
    error = e
  for one in processes.each(error):  # In all, or the others would wait.
    if one is not None:
      raise one

  def put_together():
    if missing.size:
      take_in(folder, modality, digests, before,
              left(folder, modality, before.note))
    else:  # Rows may have to change places.
      to_disk.fill(
          folder, graphdef, params, items, modality, batch_size, before)

  processes.from_primary(put_together)
  return to_disk.Embedded(
      disk.open_rows(to_disk.paths_of(folder, modality).rows), is_kept)
