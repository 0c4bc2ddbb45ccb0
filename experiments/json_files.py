"""JSON files of an experiment, of which a checksum tells what was changed.

Those in the folder of an experiment end with `"crc32"`, a checksum of the rest
and of the experiment's id, which `run.json` there names; of that file itself it
is one of the rest alone. Elsewhere files have none, nor has any where an
earlier version began the experiment.
"""

import json
import pathlib
from typing import Any
import zlib

import numpy as np

from experiments import lines as lines_lib
from mmal_jax import durable
from mmal_jax.data import json_object

CONFIG = 'config.json'
_CHECKSUM = 'crc32'
_EARLIER = {'experiment', 'settings', 'rounding'}  # in run.json, all there was


def read(path: pathlib.Path) -> dict[str, Any]:
  """What `write` wrote, without its checksum.

  Raises:
    FileNotFoundError: if it is gone.
    ValueError: if it holds something else, was changed after it was written, or
      is another experiment's.
  """
  found = json_object.parse(durable.read(path), path)
  there = found.pop(_CHECKSUM, None)
  if path.name == lines_lib.PROVENANCE:
    if there != _checksum(None, found) and not _is_of_an_earlier_version(
        path, found, there):
      raise ValueError(
          f'{path} is damaged, or was changed after it was written: its '
          'checksum does not fit. Restore it from a copy of this very '
          'experiment.')
    return found
  experiment = _experiment(path.parent)
  if experiment is not None and there != _checksum(experiment, found) and (
      there is not None or _has_checksums(path.parent)):
    raise ValueError(
        f'{path} was changed after it was written, or is not of the experiment '
        f'that {lines_lib.PROVENANCE} beside it names: its checksum does not '
        'fit. Restore both from a copy of this very experiment.')
  return found


def write(path: pathlib.Path, value: dict[str, Any]) -> None:
  """Writes a JSON file, whole or not at all."""
  fields = plain(value)
  fields.pop(_CHECKSUM, None)
  is_provenance = path.name == lines_lib.PROVENANCE
  experiment = None if is_provenance else _experiment(path.parent)
  if is_provenance or experiment is not None and _has_checksums(path.parent):
    fields[_CHECKSUM] = _checksum(experiment, fields)
  durable.write(path, json.dumps(fields, indent=2, allow_nan=False) + '\n')


def plain(value: Any) -> Any:
  """NumPy to JSON; NaN, which JSON lacks, to null."""
  if isinstance(value, dict):
    return {str(k): plain(v) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return [plain(v) for v in value]
  if isinstance(value, np.ndarray):
    return plain(value.tolist())
  if isinstance(value, np.generic):
    return plain(value.item())
  return None if isinstance(value, float) and value != value else value


def _experiment(folder: pathlib.Path) -> str | None:
  """The id of the experiment in a folder; None if nothing says so."""
  try:
    found = read(folder / lines_lib.PROVENANCE).get('experiment')
  except FileNotFoundError:
    return None
  return found if isinstance(found, str) else ''


def _is_of_an_earlier_version(path, found, there) -> bool:
  """Whether `run.json` never had a checksum, and nothing beside it has one."""
  config = path.with_name(CONFIG)
  return there is None and found.keys() == _EARLIER and not (
      config.exists() and f'"{_CHECKSUM}"'.encode() in durable.read(config))


def _has_checksums(folder: pathlib.Path) -> bool:
  """Whether the version that began an experiment wrote them."""
  path = folder / lines_lib.PROVENANCE
  return _CHECKSUM in json_object.parse(durable.read(path), path)


def _checksum(experiment: str | None, fields: dict[str, Any]) -> str:
  text = json.dumps([experiment, fields])
  return f'{zlib.crc32(text.encode()):08x}'
