"""What of a workdir is copied to its mirror, and in which order."""

from collections.abc import Iterator
import hashlib
import pathlib

from etils import epath

from mmal_jax.files import buckets
from mmal_jax.files import durable
from mmal_jax.files import lock
from mmal_jax.files import seals
from mmal_jax.workdir import layout

OWNER = 'in_use.json'  # Who copies to the mirror now.
RECORDS = (layout.WHOLE_POOL, layout.QUERIES, layout.METRICS,
           layout.CALIBRATION)
_FOLDERS = layout.JOURNALS, layout.PRETRAINED, layout.MATCHES
# In the order of copying: with its config, the last, a mirror is begun.
_ORDER = (layout.JOURNALS, layout.PROVENANCE, layout.ITEMS, layout.TOKENIZER,
          layout.PRETRAINED, *RECORDS, layout.MATCHES, layout.CURVES,
          layout.WAITING, layout.SUMMARY, layout.CONFIG)
# What a run removes, or puts aside. All else that is gone was lost.
_MAY_GO = layout.SUMMARY, layout.WAITING, layout.MATCHES
# All that lies in a mirror.
OURS = (*_ORDER, layout.STATES, layout.MODELS, lock.NAME, OWNER)


def names(folder: pathlib.Path | epath.Path) -> list[str]:
  """Paths in a folder of what is copied, in the order of copying.

  Args:
    folder: a workdir, or a mirror; it need not exist.

  Raises:
    Exception: what its file system raises where it cannot be read. It is never
      taken for an empty one.
  """
  present = {path.name for path in buckets.entries(folder)}
  found = []
  for name in _ORDER:
    if name in present:
      found += [name] if name not in _FOLDERS else sorted(
          _within(folder / name, name),
          key=lambda x: (x.endswith(seals.ENDING), x))
  return found


def _within(folder, name) -> Iterator[str]:
  for path in buckets.entries(folder):
    if path.is_dir():
      yield from _within(path, f'{name}/{path.name}')
    elif not is_draft(path.name):
      yield f'{name}/{path.name}'


def is_draft(name: str) -> bool:
  """Whether a crash may have left a file of that name."""
  return name.startswith('.') and name.endswith('.draft')


def is_journal(name: str) -> bool:
  """Whether a path in a workdir is of a journal."""
  return name.startswith(f'{layout.JOURNALS}/') and name.endswith('.journal')


def may_go(name: str) -> bool:
  """Whether what is gone from the workdir goes from the mirror, too."""
  return name.partition('/')[0] in _MAY_GO


def place(name: str) -> int:
  """Where a path comes in the order of copying."""
  return _ORDER.index(name.partition('/')[0])


def content(path: pathlib.Path) -> bytes | None:
  """What is copied of a file: whole lines, where more are being added.

  None if there is no such file.
  """
  if not path.exists():
    return None
  if path.suffix == '.jsonl':
    return durable.whole_lines(path)
  found = durable.read(path, durable.MOST_OF_OURS)
  return found[:found.rfind(b'\n') + 1] if (
      is_journal(f'{path.parent.name}/{path.name}')) else found


def digest(found: bytes) -> str:
  """Of what a file holds, to tell whether it has changed."""
  return hashlib.sha256(found).hexdigest()
