"""The folder of one experiment: what lies there, and who may write to it."""

import json
import os
import pathlib
import shutil
from typing import Any

import numpy as np

# All that an experiment writes, and so all that `--overwrite` may remove.
CONFIG = 'config.json'
TOKENIZER = 'tokenizer.json'
PRETRAINED = 'pretrained'
METRICS = 'metrics.jsonl'
QUERIES = 'queries.jsonl'
SUMMARY = 'summary.json'
CURVES = 'curves.png'
STATES = 'states'
MODELS = 'models'
_OURS = (CONFIG, TOKENIZER, PRETRAINED, METRICS, QUERIES, SUMMARY, CURVES,
         STATES, MODELS)


def check(
    path: str | os.PathLike[str], *, overwrite: bool, resume: bool
) -> None:
  """Makes sure of a folder that can be written and holds nothing to lose.

  It is made if there is none; nothing in it is touched.

  Raises:
    ValueError: if it is in use and `overwrite` is not given, if it cannot be
      made, or for `resume`.
  """
  if resume:
    raise ValueError(
        '--resume is not there yet: the state of every finished run is saved, '
        'but an unfinished experiment cannot be taken up again. Start anew with'
        ' --overwrite, or with another --workdir.')
  if '://' in str(path):
    raise ValueError(f'workdir={str(path)!r} must be a local folder.')
  path = pathlib.Path(path)
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as e:
    raise ValueError(f'workdir={str(path)!r} cannot be made: {e}.') from e
  if not os.access(path, os.W_OK):
    raise ValueError(f'workdir={str(path)!r} cannot be written to.')
  present = sorted(p.name for p in path.iterdir())
  foreign = [name for name in present if name not in _OURS]
  if present and (foreign or not overwrite):
    way_out = (
        f'it holds {foreign[:3]}, which no experiment wrote; choose another'
        if foreign else
        'give --overwrite to replace the experiment there, or choose another')
    raise ValueError(f'workdir={str(path)!r} is not empty: {way_out}.')


def claim(path: str | os.PathLike[str]) -> pathlib.Path:
  """Clears a folder that `check` has passed of an earlier experiment."""
  path = pathlib.Path(path)
  for name in _OURS:
    entry = path / name
    if entry.is_dir():
      shutil.rmtree(entry)
    else:
      entry.unlink(missing_ok=True)
  return path


def state_path(
    folder: pathlib.Path, strategy: str, seed: int
) -> pathlib.Path:
  """Where the last state of a run is kept."""
  return folder / STATES / f'{strategy}-seed{seed}'


def model_path(
    folder: pathlib.Path, strategy: str, seed: int
) -> pathlib.Path:
  """Where the parameters that a run on a checkpoint ended with are kept."""
  return folder / MODELS / f'{strategy}-seed{seed}'


def append(path: pathlib.Path, record: dict[str, Any]) -> None:
  """Adds a line to a JSON-lines file."""
  with open(path, 'a', encoding='utf-8') as file:
    file.write(json.dumps(_plain(record), allow_nan=False) + '\n')


def read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
  """The records of a JSON-lines file."""
  return [json.loads(line) for line in path.read_text('utf-8').splitlines()]


def write(path: pathlib.Path, value: dict[str, Any]) -> None:
  """Writes a JSON file, whole or not at all."""
  draft = path.with_name(path.name + '.draft')
  draft.write_text(
      json.dumps(_plain(value), indent=2, allow_nan=False) + '\n', 'utf-8')
  os.replace(draft, path)


def _plain(value):
  """NumPy to JSON; NaN, which JSON lacks, to null."""
  if isinstance(value, dict):
    return {str(k): _plain(v) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return [_plain(v) for v in value]
  if isinstance(value, np.ndarray):
    return _plain(value.tolist())
  if isinstance(value, np.generic):
    return _plain(value.item())
  return None if isinstance(value, float) and value != value else value
