"""A folder for states outside of a workdir: one experiment's, and whose it is.

A local folder is locked while a run uses it, as a workdir is. Where nothing can
be locked (`gs://`), the record in it alone says whose it is.
"""

from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
import re
import socket
import time
from typing import Any

from etils import epath

from experiments import lines as lines_lib
from experiments import owner
from mmal_jax import checkpoint
from mmal_jax import durable
from mmal_jax.data import image_listing
from mmal_jax.data import json_object

RECORD = 'experiment.json'  # Which experiment the states are of.
_DRAFT = f'.{RECORD}.draft'
_RUN = re.compile(r'.+-seed\d+')  # as `workdir.state_path` names them
# So long after it has written its record a program looks whether that is still
# there. Of two that begin at once the one that writes last has the folder; from
# its look at the empty folder to its own record it must take less.
_SETTLED_SECONDS = 2


def is_local(path: str) -> bool:
  """Whether it can be locked."""
  return '://' not in path


@contextlib.contextmanager
def held(
    path: str | None, workdir: pathlib.Path, begun: bool
) -> Iterator[None]:
  """Keeps other programs from a folder; a local one is made if there is none.

  Args:
    path: any that `etils.epath` takes; None if states lie in the workdir.
    workdir: of the experiment.
    begun: whether it is taken up, so that the folder must be its own.

  Raises:
    owner.InUse: if another program holds it, naming that one.
    ValueError: if it is another experiment's, the workdir, or cannot be made.
  """
  if path is None:
    yield
    return
  checkpoint.check_path(path)
  with _locked(path, workdir) if is_local(path) else contextlib.nullcontext():
    if begun:
      check(path, workdir)
      if not runs_in(path):
        enter(path, workdir)
    yield


@contextlib.contextmanager
def _locked(path: str, workdir: pathlib.Path) -> Iterator[None]:
  try:
    os.makedirs(path, exist_ok=True)
  except OSError as e:
    raise ValueError(
        f'states={path!r} cannot be made: {durable.reason(e)}.') from e
  if os.path.samefile(path, workdir):
    raise ValueError(f'states={path!r} is the workdir itself, where states lie '
                     'if --states is left out.')
  with owner.sole(path, of=f'for the workdir {os.path.abspath(workdir)!r}'):
    yield


def runs_in(path: str) -> list[str]:
  """Names of the runs of which there are states, ascending."""
  folder = epath.Path(path)
  return sorted(entry.name for entry in folder.iterdir() if _RUN.fullmatch(
      entry.name) and entry.is_dir()) if folder.is_dir() else []


def foreign_in(path: str) -> list[str]:
  """Names of what no experiment has written there, ascending."""
  folder = epath.Path(path)
  ours = {owner.NAME, RECORD, _DRAFT, *runs_in(path)}
  return sorted(
      entry.name for entry in (folder.iterdir() if folder.exists() else ())
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
      there['experiment'] != lines_lib.experiment_in(workdir))


def check(path: str, workdir: pathlib.Path) -> None:
  """Refuses a folder that is another experiment's; nothing there is touched.

  Raises:
    ValueError: then, naming it.
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
      'experiment': lines_lib.experiment_in(workdir),
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
