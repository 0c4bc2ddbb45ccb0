"""What a run's `metrics.jsonl` and `queries.jsonl` hold, line by line.

Each line ends with `"crc32"`, a checksum of it and of its experiment's id: it
reveals a line that was changed, and one that is another experiment's.
"""

from collections.abc import Callable, Mapping
import json
import math
import pathlib
from typing import Any

from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import json_object
from mmal_jax.files import problems as problems_lib
from mmal_jax.workdir import checksums

PROVENANCE = checksums.PROVENANCE
experiment_in = checksums.experiment_in


def line(path: pathlib.Path, record: Mapping[str, Any]) -> str:
  """A line to be added to a file, with its newline.

  Args:
    path: of the file, in whose folder `PROVENANCE` says of what it is; without
      that the line gets no checksum.
    record: without `crc32`; JSON holds all of its values.
  """
  experiment = experiment_in(path.parent)
  return json.dumps(
      dict(record) if experiment is None else
      {**record, checksums.KEY: checksums.of(experiment, record)},
      allow_nan=False) + '\n'


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """The records of a JSON-lines file, but for a line that was cut off.

  Returns:
    What was recorded, without checksums.

  Raises:
    ValueError: listing the lines that hold no object, were changed, or are
      another experiment's; or if `run.json`, which says so, is gone.
  """
  problems: list[str] = []
  id_, found = experiment_in(path.parent), []
  for place, record in json_lines.read(
      durable.whole_lines(path), path.name, problems):
    there = record.pop(checksums.KEY, None)
    if id_ is None and there is not None:
      raise checksums.Missing(path)
    if id_ is not None and there != checksums.of(id_, record):
      problems.append(
          f'{place} was changed after it was written, or is of another '
          'experiment: its checksum does not fit. Restore the file from a copy '
          'of this very experiment.')
    elif (name := _not_finite(record)) is not None:
      problems.append(
          f'{place}: {name} is {json_object.quote(record[name])}, and no line '
          'holds NaN or an infinite number.')
    else:
      found.append(record)
  problems_lib.report(path, problems)
  return found


def metrics(path: pathlib.Path) -> list[dict[str, Any]]:
  """The records of all runs: what each round came to.

  Raises:
    ValueError: if a line is damaged, saying in which field.
  """
  return _checked(path, _RUN | {
      'annotations': _is_number, 'cost': _is_number, 'scores': _are_scores})


def queries(path: pathlib.Path) -> list[dict[str, Any]]:
  """The records of all runs: what each round asked, and was answered.

  Raises:
    ValueError: as `metrics`.
  """
  found = _checked(path, _RUN | {'asked': _are_items, 'answers': _are_rows})
  problems_lib.report(path, [
      f'line {number}: {len(record["asked"])} items were asked about, and '
      f'{len(record["answers"])} answers given.'
      for number, record in enumerate(found, 1)
      if len(record['asked']) != len(record['answers'])])
  return found


def whole_pool(path: pathlib.Path) -> list[dict[str, Any]]:
  """The records of all seeds: what the whole pool aligned came to.

  Raises:
    ValueError: as `metrics`.
  """
  return _checked(path, {
      'seed': _is_whole, 'aligned': _is_whole, 'scores': _are_scores})


def calibration(path: pathlib.Path) -> list[dict[str, Any]]:
  """The records of all runs: how true the probabilities of matches are.

  Returns:
    The records; none where the file does not exist, as nothing was matched.

  Raises:
    ValueError: as `metrics`.
  """
  if not path.exists():
    return []
  return _checked(path, {
      name: fits for name, fits in _RUN.items() if name != 'round'} | {
          'annotations': _is_number, 'of': _are_names, 'items': _are_bins,
          'pairs': _are_bins, 'to_be_had': _is_number, 'had': _are_had})


def _checked(path, fields: Mapping[str, Callable[[Any], bool]]):
  found = read(path)
  problems_lib.report(path, [
      f'line {number}: {name} is {json_object.quote(record.get(name))}.'
      for number, record in enumerate(found, 1)
      for name, fits in fields.items() if not fits(record.get(name))])
  return found


def _not_finite(record) -> str | None:
  """The field, if there is one, that `line` cannot have written."""
  for name, value in record.items():
    try:
      json.dumps(value, allow_nan=False)
    except ValueError:
      return name
  return None


def _is_whole(value, least=0) -> bool:
  return type(value) is int and least <= value < 2**32


def _is_number(value) -> bool:
  return type(value) in (int, float) and 0 <= value < math.inf and (
      value < 2**64)


def _is_text(value) -> bool:
  return isinstance(value, str) and 0 < len(value) < 200


def _are_scores(value) -> bool:
  return isinstance(value, dict) and bool(value) and all(
      _is_text(name) and _is_number(score) for name, score in value.items())


def _are_items(value) -> bool:
  return isinstance(value, list) and all(
      isinstance(item, list) and len(item) == 2 and _is_text(item[0])
      and _is_whole(item[1]) for item in value)


def _are_rows(value) -> bool:
  return isinstance(value, list) and all(
      isinstance(row, list) and all(_is_whole(number, -1) for number in row)
      for row in value)


def _are_names(value) -> bool:
  return isinstance(value, list) and len(value) == 2 and all(
      map(_is_text, value))


def _are_bins(value) -> bool:
  names = 'least', 'count', 'stated', 'true'
  return isinstance(value, dict) and all(
      isinstance(value.get(name), list) and all(map(_is_number, value[name]))
      and len(value[name]) == len(value['least']) for name in names)


def _are_had(value) -> bool:
  return _are_scores(value) and {'0.9', '0.99'} <= set(value)


# The run and its round.
_RUN = {'strategy': _is_text, 'seed': _is_whole, 'round': _is_whole}
