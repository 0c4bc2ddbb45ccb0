"""Whether a run goes on with the config that it was begun with."""

from collections.abc import Mapping
import json
import pathlib
from typing import Any

from etils import epath

from mmal_jax.config import config as config_lib
from mmal_jax.config import differences
from mmal_jax.config import paths
from mmal_jax.oracles.people import inbox
from mmal_jax.workdir import checksums
from mmal_jax.workdir import json_files
from mmal_jax.workdir import states as states_lib

# A run that was stopped may be resumed with other values of these: up to there
# they made no difference. How people are waited for, or reached, changes no
# answer.
MAY_CHANGE = ('train.divergence', 'train.save_every', 'oracle.port',
              'oracle.url', 'oracle.wait_seconds')
# What people see of items may be mended while they answer.
_LABELS = 'dataset.labels'


def as_read(config: Mapping[str, Any]) -> dict[str, Any]:
  """A config, complete, as its file will be read: without tuples."""
  return json.loads(json.dumps(json_files.plain(config_lib.completed(config))))


def lines(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
  """A line for each value in which two configs are of different experiments.

  Args:
    there: complete, as its file was read.
    now: as `as_read` returns it.
  """
  return differences.lines(there, now, (*MAY_CHANGE, *_paths(now), _LABELS))


def moved(
    there: Mapping[str, Any], now: Mapping[str, Any], folder: pathlib.Path
) -> list[str]:
  """Dotted keys of the paths to data and checkpoint that are others now.

  Args:
    there: as of `lines`.
    now: as of `lines`.
    folder: of the experiment.

  Raises:
    ValueError: if states, people's answers or the mirror would be left behind.
  """
  found = [key for key in differences.keys(there, now)
           if differences.within(key, _paths(now))
           and not differences.within(key, (_LABELS,))]
  for key in (paths.STATES, paths.MIRROR, paths.PEOPLE):
    if key in found:
      _check_moved(key, differences.value(there, key),
                   differences.value(now, key), folder)
      found.remove(key)
  return found


def _paths(config) -> list[str]:
  return paths.keys((config.get('dataset') or {}).get('name'))


def _check_moved(
    key: str, there: str | None, now: str | None, folder: pathlib.Path
) -> None:
  """Refuses a folder that the run wrote to, unless it was moved as a whole.

  Or states that were copied as a whole, with the workdir.

  Raises:
    ValueError: then, saying how to go on.
  """
  if there is not None and now is not None and (
      states_lib.is_same_folder(there, now) or key == paths.STATES and (
          states_lib.is_of_another(there, folder)
          or states_lib.check_copied(there, now, folder))):
    return
  if there is None or now is None or _holds(key, there):
    nowhere = 'none' if key == paths.MIRROR else 'its workdir'
    given = (f'give --config.{key}={there}' if there is not None else
             f'leave --config.{key} out')
    raise ValueError(
        f'{key}: the run that was begun uses {there or nowhere!r}, not '
        f'{now!r}: {given} to go on with it.' + (
            '' if there is None or now is None else
            f' To use another folder, move {there!r} there as a whole.'))
  if not _holds(key, now):
    raise ValueError(
        f'{key}: the run that was begun uses {there!r}, which is gone, and '
        f'{now!r} holds nothing of it: put the folder back, or say where it '
        f'lies now: --config.{key}=PATH.')


def _holds(key: str, path: str) -> bool:
  """Whether a folder holds an experiment, or states or questions of one."""
  folder = epath.Path(path)
  if key == paths.MIRROR:
    return (folder / checksums.CONFIG).exists()
  if key == paths.STATES:
    return bool(states_lib.runs_in(path))
  return folder.is_dir() and any(
      (run / inbox.POOLS).exists() for run in folder.iterdir())
