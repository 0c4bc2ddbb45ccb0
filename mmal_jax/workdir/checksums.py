"""Which experiment a folder holds, which version began it, and checksums.

`run.json` names the experiment by an id, of which each checksum is one, too: it
reveals what was changed, and what is another experiment's. That of `run.json`
itself, and of the plan of a sweep, is of the file alone. Earlier versions wrote
fewer; `version` is the one place that distinguishes them.
"""

from collections.abc import Mapping
import enum
import functools
import json
import os
import pathlib
from typing import Any
import zlib

from mmal_jax.files import durable
from mmal_jax.files import json_object

KEY = 'crc32'
PROVENANCE = 'run.json'
PLAN = 'sweep.json'
CONFIG = 'config.json'
# What those of an earlier version held, which had no checksum.
_EARLIER = {PROVENANCE: {'experiment', 'settings', 'rounding'},
            PLAN: {'strategies', 'seeds', 'set', 'config'}}


class Version(enum.IntEnum):
  """Versions of this code, by what they wrote."""

  WITHOUT_ID = 0  # no `run.json`, and no checksum
  WITH_ID = 1  # checksums in the lines of records alone
  WITH_CHECKSUMS = 2  # in all files, and seals of matches and models


class Missing(ValueError):
  """There is no `run.json` by which a checksum could be compared."""

  def __init__(self, path: pathlib.Path):
    super().__init__(
        f'{path.with_name(PROVENANCE)} is missing, which says to what '
        f'experiment {path.name} belongs: it cannot be checked. Restore it '
        'from a copy of this very experiment, or take another folder.')


def of(experiment: str | None, fields: Mapping[str, Any]) -> str:
  """The checksum of what a file or a line holds.

  Args:
    experiment: its id; None of a file that is checked alone.
    fields: without the checksum.
  """
  text = json.dumps([experiment, fields])
  return f'{zlib.crc32(text.encode()):08x}'


def is_alone(path: pathlib.Path) -> bool:
  """Whether a file's checksum is of it alone."""
  return path.name in _EARLIER


def read_alone(path: pathlib.Path) -> tuple[dict[str, Any], bool]:
  """What `run.json`, or the plan of a sweep, holds, and if it has a checksum.

  Raises:
    FileNotFoundError: if it is gone.
    ValueError: if it holds something else, or was changed.
  """
  found = json_object.parse(durable.read(path), path)
  there = found.pop(KEY, None)
  if there is None and not (
      path.name == PROVENANCE and _has_checksum(path.with_name(CONFIG))):
    # A part of a plan is refused by whoever needs the rest.
    keys = _EARLIER[path.name]
    if found.keys() == keys or path.name == PLAN and found.keys() <= keys:
      return found, False
  if there is None or there != of(None, found):
    raise ValueError(
        f'{path} is damaged, or was changed after it was written: its '
        'checksum does not fit. Restore it from a copy of this very '
        + ('sweep.' if path.name == PLAN else 'experiment.'))
  return found, True


def version(folder: pathlib.Path) -> Version:
  """The version that began the experiment in a folder; the first of none.

  Raises:
    ValueError: if `run.json` is damaged, or missing where `config.json` has a
      checksum.
  """
  return _known(folder)[0]


def experiment_in(folder: pathlib.Path) -> str | None:
  """The id of the experiment in a folder; None if nothing says so.

  Raises:
    ValueError: as `version`.
  """
  return _known(folder)[1]


def _known(folder: pathlib.Path) -> tuple[Version, str | None]:
  path = folder / PROVENANCE
  try:
    there = os.stat(path)
    found = _read(path, (
        there.st_ino, there.st_mtime_ns, there.st_ctime_ns, there.st_size))
  except FileNotFoundError:
    if _has_checksum(folder / CONFIG):
      raise Missing(folder / CONFIG) from None
    return Version.WITHOUT_ID, None
  if found[0] == Version.WITH_ID:
    read_alone(path)  # The config beside it may be another by now.
  return found


@functools.lru_cache(maxsize=128)
def _read(
    path: pathlib.Path, seen: tuple[int, ...]
) -> tuple[Version, str]:
  """What `run.json` says, read once: every line of every round needs it.

  Args:
    path: of the file.
    seen: what the system says of it, so that another one is read anew.
  """
  del seen
  found, checked = read_alone(path)
  if not isinstance(found.get('experiment'), str):
    raise ValueError(f'{path} names no experiment: it is damaged. Restore it '
                     'from a copy of this very experiment.')
  return (Version.WITH_CHECKSUMS if checked else Version.WITH_ID,
          found['experiment'])


def _has_checksum(path: pathlib.Path) -> bool:
  """Whether a JSON file has one, be it right or wrong."""
  try:
    return f'"{KEY}"'.encode() in durable.read(path)
  except FileNotFoundError:
    return False
