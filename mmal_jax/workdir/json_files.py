"""JSON files of an experiment, of which a checksum reveals what was changed.

Those in the folder of an experiment end with `"crc32"`, a checksum of the rest
and of the experiment's id (`checksums`). Elsewhere files have none, but for the
plan of a sweep, nor has any where an earlier version began the experiment.
"""

import json
import pathlib
from typing import Any

from absl import logging
import numpy as np

from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.workdir import checksums


def read(path: pathlib.Path, copied: bool = False) -> dict[str, Any]:
  """What `write` wrote, without its checksum.

  Args:
    path: of the file.
    copied: whether it may be a copy that lies elsewhere than the rest of its
      experiment. It is read with a warning, as nothing reveals if it was
      changed.

  Raises:
    FileNotFoundError: if it is gone.
    ValueError: if it holds something else, was changed after it was written, is
      another experiment's, or `run.json` beside it is gone.
  """
  if checksums.is_alone(path):
    return checksums.read_alone(path)[0]
  found = json_object.parse(durable.read(path), path)
  there = found.pop(checksums.KEY, None)
  try:
    experiment = checksums.experiment_in(path.parent)
    if experiment is None and there is not None:
      raise checksums.Missing(path)
  except checksums.Missing as e:
    if not copied:
      raise
    logging.warning('%s It is read as it is.', e)
    return found
  if experiment is not None and there != checksums.of(experiment, found) and (
      there is not None or _has_checksums(path.parent)):
    raise ValueError(
        f'{path} was changed after it was written, or is not of the experiment '
        f'that {checksums.PROVENANCE} beside it names: its checksum does not '
        'fit. Restore both from a copy of this very experiment.')
  return found


def write(path: pathlib.Path, value: dict[str, Any]) -> None:
  """Writes a JSON file, whole or not at all."""
  durable.write(path, text(path, value))


def text(path: pathlib.Path, value: dict[str, Any]) -> str:
  """What a JSON file holds from `write` on."""
  fields = plain(value)
  fields.pop(checksums.KEY, None)
  if checksums.is_alone(path):
    fields[checksums.KEY] = checksums.of(None, fields)
  elif _has_checksums(path.parent):
    fields[checksums.KEY] = checksums.of(
        checksums.experiment_in(path.parent), fields)
  return json.dumps(fields, indent=2, allow_nan=False) + '\n'


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


def _has_checksums(folder: pathlib.Path) -> bool:
  return checksums.version(folder) == checksums.Version.WITH_CHECKSUMS
