"""A folder for states outside of a workdir: one experiment's, and whose it is.

A local folder is locked while a run uses it, as a workdir is. Where nothing can
be locked (`gs://`), the record in it alone says whose it is: of which
experiment, and in which workdir that goes on. A copy of a workdir is the same
experiment, and needs a copy of the states, of which the record names the copied
workdir from its first `--resume` on.
"""

from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
import re
import shlex
import socket
import time
from typing import Any

from absl import logging
from etils import epath

from mmal_jax.checkpoint import pytrees
from mmal_jax.data.images import image_listing
from mmal_jax.files import buckets
from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import lock
from mmal_jax.files import seals
from mmal_jax.workdir import checksums
from mmal_jax.workdir import json_files
from mmal_jax.workdir import records_file

FOLDER = 'states'  # In a workdir, or in a mirror.
RECORD = 'experiment.json'  # Which experiment the states are of.
_DRAFT = f'.{RECORD}.draft'
_RUN = re.compile(r'.+-seed\d+')  # as `layout.state_path` names them
# How long after writing its record a program checks whether that is still
# there. Of two that begin at once the one that writes last has the folder; from
# its look at the empty folder to its own record it must take less.
_SETTLED_SECONDS = 2


def states_of(states: str | None, mirror: str | None) -> str | None:
  """Where the states of an experiment lie; None if in its workdir."""
  if states is None and mirror is not None:
    return str(epath.Path(mirror) / FOLDER)
  return states


def is_local(path: str) -> bool:
  """Whether it can be locked."""
  return '://' not in path


@contextlib.contextmanager
def locked(
    path: str | None, workdir: pathlib.Path, begun: bool,
    in_mirror: bool = False, looks: lock.Looks | None = None,
) -> Iterator[None]:
  """Locks a folder; a local one is made if there is none.

  Args:
    path: any that `etils.epath` takes; None if states lie in the workdir.
    workdir: of the experiment.
    begun: whether it is resumed, so that the folder must be its own.
    in_mirror: whether it lies in the mirror of the experiment, whose workdirs
      take turns.
    looks: as of `lock.exclusive`.

  Raises:
    lock.InUse: if another program has locked it, naming that one.
    ValueError: if it is another experiment's, or one that another workdir goes
      on with, or the workdir; or if it cannot be made.
  """
  if path is None:
    yield
    return
  pytrees.check_path(path)
  with (_local_lock(path, workdir, looks) if is_local(path)
        else contextlib.nullcontext()):
    if begun:
      check(path, workdir, in_mirror)
      if (not runs_in(path) or _is_recorded_elsewhere(path, workdir)
          or _has_lost_record(path, workdir)):
        enter(path, workdir)
    yield


@contextlib.contextmanager
def _local_lock(
    path: str, workdir: pathlib.Path, looks: lock.Looks | None
) -> Iterator[None]:
  try:
    os.makedirs(path, exist_ok=True)
  except OSError as e:
    raise ValueError(
        f'states={path!r} cannot be made: {durable.reason(e)}.') from e
  if os.path.samefile(path, workdir):
    raise ValueError(f'states={path!r} is the workdir itself, where states lie '
                     'if --states is left out.')
  with lock.exclusive(
      path, of=f'for the workdir {os.path.abspath(workdir)!r}', looks=looks):
    yield


def runs_in(path: str) -> list[str]:
  """Names of the runs of which there are states, ascending."""
  folder = epath.Path(path)
  return sorted(
      entry.name for entry in buckets.entries(folder)
      if _RUN.fullmatch(entry.name) and entry.is_dir())


def foreign_in(path: str) -> list[str]:
  """Names of what no experiment has written there, ascending."""
  folder = epath.Path(path)
  ours = {lock.NAME, RECORD, _DRAFT, *runs_in(path)}
  return sorted(
      entry.name for entry in buckets.entries(folder)
      if entry.name not in ours
      and not image_listing.is_of_a_system(entry.name))


def read(path: str) -> dict[str, Any] | None:
  """The record of a folder; None if there is none (earlier versions).

  Raises:
    ValueError: if it is damaged.
  """
  file = epath.Path(path) / RECORD
  if not file.exists():
    return None
  found = json_object.parse(
      durable.read(file) if is_local(path) else file.read_bytes(), file)
  if not all(isinstance(found.get(name), str)
             for name in ('experiment', 'workdir')):
    raise ValueError(
        f'{file} is damaged: it needs "experiment" and "workdir". Restore it '
        'from a copy, or choose another folder for states.')
  return found


def is_of_another(path: str, workdir: pathlib.Path) -> bool:
  """Whether a folder is recorded to be another experiment's than a workdir's.
  """
  there = read(path)
  return there is not None and (
      there['experiment'] != records_file.experiment_in(workdir))


def is_same_folder(one: str, other: str) -> bool:
  """Whether two paths, one of them by a link perhaps, lead to one folder."""
  # Earlier versions kept the last slash of gs://BUCKET/NAME/.
  return one.rstrip('/') == other.rstrip('/') or (
      os.path.exists(one) and os.path.exists(other)
      and os.path.samefile(one, other))


def user_besides(path: str, workdir: pathlib.Path) -> str | None:
  """Another workdir of the same experiment that goes on with a folder's states.

  One was copied from the other. The record names the one that went on with them
  last; they are no longer its own if it is gone, holds another experiment, or
  has other states in its config.

  Args:
    path: of the folder.
    workdir: that would go on with it.

  Returns:
    Its path; None if there is none, or an earlier version recorded none.

  Raises:
    ValueError: if it, or the record, is damaged.
  """
  there = read(path)
  if there is None or is_same_folder(there['workdir'], str(workdir)):
    return None
  other = pathlib.Path(there['workdir'])
  if records_file.experiment_in(other) != there['experiment']:
    return None
  try:
    config = json_files.read(other / checksums.CONFIG)
  except FileNotFoundError:
    return None
  states = config.get('states')
  if isinstance(config.get('mirror'), str):
    states = states_of(states, config['mirror'])
  return there['workdir'] if isinstance(states, str) and is_same_folder(
      states, path) else None


def check_copied(there: str, now: str, workdir: pathlib.Path) -> bool:
  """Whether a workdir was copied, and is given a copy of its states.

  Args:
    there: folder of the states that its config names.
    now: that it is given.
    workdir: of the experiment.

  Returns:
    False if it is no copy of a workdir that still uses `there`.

  Raises:
    ValueError: if it is, and `now` holds no states of its experiment.
  """
  other = user_besides(there, workdir)
  if other is None:
    return False
  copied = read(now)
  if copied is None or not runs_in(now) or (
      copied['experiment'] != records_file.experiment_in(workdir)):
    raise ValueError(f'states={now!r} holds no states of the experiment in '
                     f'{str(workdir)!r}. {_two_workdirs(there, other)}')
  return True


def _two_workdirs(path: str, other: str) -> str:
  """What to do where a folder is used by another workdir, from a copy."""
  command = f' (cp -r {shlex.quote(path)} NEW)' if is_local(path) else ''
  return (
      f'{path!r} is used by the workdir {other!r}, which holds the same '
      'experiment: of two workdirs each needs states of its own. Go on in that '
      f'one; or copy the states as a whole{command}, and give the copy: '
      '--states=NEW.')


def _is_recorded_elsewhere(path: str, workdir: pathlib.Path) -> bool:
  """Whether the record names a workdir of before a move or a copy."""
  there = read(path)
  if there is None or is_same_folder(there['workdir'], str(workdir)):
    return False
  host = there.get('host', socket.gethostname())
  if host != socket.gethostname() and not os.path.exists(there['workdir']):
    logging.warning(
        'states=%r was used by the workdir %r on %s, which cannot be seen from '
        'here. From now on it is that of %r: do not go on in the other one.',
        path, there['workdir'], host, str(workdir))
  return True


def _has_lost_record(path: str, workdir: pathlib.Path) -> bool:
  """Whether states that are all this experiment's have no record."""
  if read(path) is not None or sealed_of(path) != {
      records_file.experiment_in(workdir)}:
    return False
  logging.warning(
      '%s is missing, which an earlier version did not write: whether another '
      'workdir goes on with these states is not known. From now on they are '
      'those of %r.', epath.Path(path) / RECORD, str(workdir))
  return True


def sealed_of(path: str) -> set[str]:
  """Ids of the experiments that the seals of states name, as they say."""
  found = set()
  for name in runs_in(path):
    for file in (epath.Path(path) / name).glob(f'*{seals.ENDING}'):
      with contextlib.suppress(
          AttributeError, OSError, RecursionError, ValueError):
        run = json.loads(file.read_text()).get('run')
        if run is not None:
          found.add(str(run.get('experiment')))
  return found


def check(
    path: str, workdir: pathlib.Path, in_mirror: bool = False
) -> None:
  """Refuses a folder that is not this workdir's; nothing there is touched.

  Args:
    path: of the folder.
    workdir: of the experiment.
    in_mirror: as of `locked`: another workdir of the experiment may be gone on
      with from there.

  Raises:
    ValueError: if it is another experiment's, or another workdir of the same
      experiment goes on with it, naming that.
  """
  if is_of_another(path, workdir):
    there = read(path)
    raise ValueError(
        f'states={path!r} is not of the experiment in {str(workdir)!r}: it '
        f'holds states of experiment {there["experiment"]}, of the workdir '
        f'{there["workdir"]!r}. Nothing of it is used, and it is left as it '
        'is. Give --states=FOLDER with the states of this experiment, or with '
        'an empty folder: then its rounds are computed again, with the answers '
        'in the journals.')
  other = None if in_mirror else user_besides(path, workdir)
  if other is not None:
    raise ValueError(
        f'{str(workdir)!r} cannot go on. {_two_workdirs(path, other)}')


def enter(path: str | None, workdir: pathlib.Path) -> None:
  """Records whose a folder is that is empty, or this experiment's.

  Args:
    path: of the folder; None if states lie in the workdir.
    workdir: of an experiment that has an id.

  Raises:
    ValueError: if another program has just done so.
  """
  if path is None:
    return
  text = json.dumps({
      'experiment': records_file.experiment_in(workdir),
      'workdir': os.path.abspath(workdir), 'host': socket.gethostname(),
  }, indent=2) + '\n'
  file = epath.Path(path) / RECORD
  if is_local(path):
    os.makedirs(path, exist_ok=True)
    durable.write(pathlib.Path(file), text)
    return
  file.parent.mkdir(parents=True, exist_ok=True)
  file.write_text(text)
  time.sleep(_SETTLED_SECONDS)
  check(path, workdir)


def clear(path: str) -> None:
  """Removes the states of an experiment that is replaced; the record last."""
  folder = epath.Path(path)
  for name in runs_in(path):
    durable.remove(folder / name)
  (folder / RECORD).unlink(missing_ok=True)
