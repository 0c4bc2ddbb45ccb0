"""Which experiments of a folder are finished; what the others lack."""

import hashlib
import math
import pathlib
from typing import Any

from mmal_jax.data.images import image_listing
from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import plain_text
from mmal_jax.workdir import checksums
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import plan as plan_lib
from mmal_jax.workdir import records_file

# Of a sweep: what it consists of, and one experiment a folder.
PLAN, CELLS = checksums.PLAN, 'cells'
_RECORDS = (workdir_lib.METRICS, workdir_lib.QUERIES, workdir_lib.WHOLE_POOL,
            workdir_lib.CALIBRATION)
_MOST = 3  # folders that a message names
_MOST_CELLS = 1_000_000


def experiments(path: pathlib.Path) -> tuple[list[pathlib.Path], int]:
  """Finished experiments at a path, and how many are not.

  Args:
    path: of an experiment, or of a sweep.

  Raises:
    ValueError: if none is finished, saying what there is; or if a cell of a
      sweep is not what its name says.
  """
  if not path.is_dir():
    raise ValueError(f'{path} is no folder' + (
        ': there is nothing.' if not path.exists() else ', but a file.'))
  if (path / PLAN).exists():
    folders, total = _cells(path)
  elif (path / workdir_lib.CONFIG).exists():
    folders, total = [path], 1
  else:
    raise ValueError(f'{path} holds no experiment: there is no '
                     f'{workdir_lib.CONFIG} in it{_within(path)}.')
  finished = [f for f in folders if (f / workdir_lib.SUMMARY).exists()]
  if not finished:
    raise ValueError(f'{path} holds no finished experiment: ' + (
        f'0 of {total} cells of the sweep are done. The same sweep again goes '
        'on.' if (path / PLAN).exists() else _progress(path)))
  return finished, total - len(finished)


def record_digests(folder: pathlib.Path) -> dict[str, str]:
  """The SHA-256 of each file of an experiment's records, by its name."""
  return {name: hashlib.sha256(durable.whole_lines(folder / name)).hexdigest()
          for name in _RECORDS if (folder / name).exists()}


def check_records(folder: pathlib.Path) -> None:
  """Refuses records that are not those with which an experiment was finished.

  Args:
    folder: of a finished experiment; of one of an earlier version, whose
      summary has no digests, nothing is checked.

  Raises:
    ValueError: naming the first file that was changed, or is missing.
  """
  sealed = workdir_lib.read(folder / workdir_lib.SUMMARY).get('files')
  if not isinstance(sealed, dict):
    return
  found = record_digests(folder)
  for name in sorted({*sealed, *found}):
    if found.get(name) != sealed.get(name):
      records_file.read(folder / name)  # It names the lines that were changed.
      raise ValueError(
          f'{folder / name} ' + (
              'is missing, but was there' if name not in found else
              'is not as it was') + ' when the experiment was finished. '
          'Restore it from a copy of this very experiment, or let --resume '
          'compare it with the states, and compute again what it lacks.')


def _cells(path) -> tuple[list[pathlib.Path], int]:
  """The folders of a sweep's cells, and how many cells it has."""
  plan = workdir_lib.read(path / PLAN)
  settings = plan.get('set')
  if not isinstance(settings, dict):
    raise ValueError(f'{path / PLAN} is damaged: set='
                     f'{json_object.quote(settings)} must be an object, of '
                     'lists by their keys.')
  counts = [len(values) for values in _strategies_and_seeds(plan, path / PLAN)]
  for key, values in settings.items():
    counts.append(len(_filled(values, f'set.{key}', path / PLAN)))
  total = math.prod(counts)
  if total > _MOST_CELLS:
    raise ValueError(f'{path / PLAN} is damaged: it names {total} cells.')
  folders = sorted(folder for folder in (path / CELLS).glob('*')
                   if folder.is_dir()
                   and not image_listing.is_of_a_system(folder.name))
  plan_lib.check(plan, path / PLAN, folders)
  return folders, total


def _strategies_and_seeds(fields, path) -> tuple[list[str], list[int]]:
  """Those of a file's fields, as they can be run."""
  found = []
  for name, fits, what in (
      ('strategies', lambda value: isinstance(value, str), 'names'),
      ('seeds', lambda value: type(value) is int and value >= 0,
       'integers from 0 on')):
    values = _filled(fields.get(name), name, path)
    if not all(map(fits, values)):
      raise ValueError(f'{path} is damaged: {name}={json_object.quote(values)} '
                       f'must be {what}.')
    found.append(values)
  return tuple(found)


def _filled(values, name, path) -> list:
  """The list that a file holds by a name, with anything in it."""
  if not isinstance(values, list):
    raise ValueError(f'{path} is damaged: {name}={json_object.quote(values)} '
                     'must be a list.')
  if not values:
    raise ValueError(f'{path} is damaged: {name} is empty, so that there is '
                     'nothing to run. Take the file from a copy, or run the '
                     'experiment anew in another folder.')
  return values


def _within(path) -> str:
  """Folders in it that may have been meant."""
  meant = sorted(
      str(folder) for name in (workdir_lib.CONFIG, PLAN)
      for folder in (found.parent for found in path.glob(f'*/{name}')))
  if not meant:
    return ''
  more = ', ...' if len(meant) > _MOST else ''
  return f', but in {plain_text.for_terminal(", ".join(meant[:_MOST]))}{more}'


def _progress(folder) -> str:
  """Where an experiment that is not finished was stopped."""
  path = folder / workdir_lib.CONFIG
  config = workdir_lib.read(path)
  strategies, seeds = _strategies_and_seeds(config, path)
  rounds = config.get('rounds')
  if type(rounds) is not int or rounds < 1:
    raise ValueError(f'{path} is damaged: rounds={json_object.quote(rounds)} '
                     'must be an integer of at least 1.')
  done: dict[tuple[str, int], int] = {}
  if (path := folder / workdir_lib.METRICS).exists():
    for record in records_file.metrics(path):
      run: Any = record['strategy'], record['seed']
      done[run] = max(done.get(run, 0), record['round'])
  goes_on = ('It waits for people\'s answers: --resume takes them.' if (
      folder / workdir_lib.WAITING).exists() else '--resume goes on.')
  # In the order in which they are run; where costs have a budget, runs before
  # the last may have ended early.
  runs = [(strategy, seed) for seed in seeds for strategy in strategies]
  at = max((i for i, run in enumerate(runs) if run in done), default=0)
  at += done.get(runs[at], 0) >= rounds
  if at < len(runs):
    strategy, seed = runs[at]
    of = plain_text.for_terminal(f'{strategy}, seed {seed}')
    return (f'{done.get(runs[at], 0)} of {rounds} rounds of {of}, are done. '
            f'{goes_on}')
  return (f'all rounds are done, but there is no {workdir_lib.SUMMARY} yet. '
          '--resume writes it.')
