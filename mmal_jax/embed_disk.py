"""Embeds a pool into memory-mapped files, and only what is not there yet."""

from collections.abc import Callable
import hashlib
import json
import os
import pathlib
from typing import Any

from flax import nnx
import jax
import numpy as np

from mmal_jax import embed as embed_lib
from mmal_jax.data import disk
from mmal_jax.data import encode
from mmal_jax.models import fingerprint
from mmal_jax.models import names


def embed_to_disk(
    folder: str | os.PathLike[str],
    graphdef: nnx.GraphDef,
    params: nnx.State,
    items: encode.Items,
    modality: str,
    batch_size: int = 512,
    save_every: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> disk.DiskRows:
  """Embeds n items of one modality into `MODALITY.npy`.

  Beside it, `MODALITY.json` says how many rows are done, and of which
  parameters and items. Where both are the same as before, the work goes on
  where it stopped, or there is none; where they are not, it begins anew. So a
  tower that has not changed is not run again.

  Args:
    folder: made if it does not exist.
    graphdef: of a `DualEncoder`.
    params: its parameters. Where they lie over a mesh, batches do, too.
    items: to be embedded.
    modality: `image` or `text`.
    batch_size: rows at a time.
    save_every: batches between two notes of what is done.
    progress: is told the first row and the row behind the last of each batch
      that was embedded.

  Returns:
    `[n, embed_dim]` float32, rows of norm 1, memory-mapped.

  Raises:
    ValueError: if an embedding is NaN or infinite, if there is no item, if
      `save_every` is below 1, or with several processes, which would write to
      the same file.
  """
  if jax.process_count() > 1:
    raise ValueError('embed_to_disk works with one process; there are '
                     f'{jax.process_count()}.')
  if not len(items):
    raise ValueError(f'there are no {modality}s to embed.')
  if save_every < 1:
    raise ValueError(f'save_every={save_every!r} must be at least 1.')
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  rows_path, note_path = (
      folder / f'{modality}.{kind}' for kind in ('npy', 'json'))
  note = {'digest': _digest(graphdef, params, items, modality),
          'rows': len(items)}
  done = _rows_done(rows_path, note_path, note)
  rows = np.load(rows_path, mmap_mode='r+') if done else None
  if done < len(items):
    for i, (first, batch) in enumerate(embed_lib.embed_batches(
        graphdef, params, items.values, modality, batch_size, done), 1):
      batch = np.asarray(batch)
      embed_lib.check_finite(batch, modality, first)
      if rows is None:
        note_path.unlink(missing_ok=True)  # It tells of the rows to be lost.
        rows = np.lib.format.open_memmap(
            rows_path, 'w+', np.float32, (len(items), batch.shape[1]))
      done = first + len(batch)
      rows[first:done] = batch
      if i % save_every == 0 or done == len(items):
        rows.flush()
        _write(note_path, note | {'done': done})
      if progress is not None:
        progress(first, done)
  return disk.open_rows(rows_path)


def _digest(graphdef, params, items, modality) -> str:
  """Of the tower, its projection, the code behind them, and the items."""
  digest = hashlib.sha256(fingerprint.of(graphdef).encode())
  digest.update(encode.digest(items).encode())
  mine = (f'{modality}_tower.', f'{modality}_projection.')
  for name, leaf in zip(
      names.all_names(params), jax.tree.leaves(params), strict=True):
    if name.startswith(mine):
      digest.update(name.encode())
      digest.update(np.ascontiguousarray(leaf).data)
  return digest.hexdigest()


def _rows_done(rows_path, note_path, wanted: dict[str, Any]) -> int:
  """How many rows of the file are what is wanted."""
  try:
    note = json.loads(note_path.read_text('utf-8'))
    shape = np.load(rows_path, mmap_mode='r').shape
  except (OSError, ValueError):  # not there, or torn
    return 0
  if not isinstance(note, dict) or shape[0] != wanted['rows']:
    return 0
  done = note.pop('done', 0)
  return done if note == wanted and 0 <= done <= shape[0] else 0


def _write(path: pathlib.Path, note: dict[str, Any]) -> None:
  """Whole or not at all."""
  draft = path.with_name(path.name + '.draft')
  draft.write_text(json.dumps(note), 'utf-8')
  os.replace(draft, path)
