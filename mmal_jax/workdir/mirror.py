"""A copy of a workdir elsewhere, which outlives the machine.

Copied is what changed since: before a state is sealed, so that all that a state
relies on is there before it counts; the journal also after each call of the
oracle; and at the end. States and models are written to the mirror in the first
place. All lies there as in a workdir, and an empty workdir goes on from it.

Of several programs the last one to start has the mirror. It says so there
before it reads what it goes on from: another one copies nothing more then.
"""

from collections.abc import Mapping
import contextlib
import json
import os
import pathlib
import socket
import threading
import time
from typing import Any
import uuid

from etils import epath

from mmal_jax.config import config as config_lib
from mmal_jax.data.images import image_listing
from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import lock
from mmal_jax.workdir import checksums
from mmal_jax.workdir import layout
from mmal_jax.workdir import mirror_folder
from mmal_jax.workdir import mirrored
from mmal_jax.workdir import provenance
from mmal_jax.workdir import records_file
from mmal_jax.workdir import same_config
from mmal_jax.workdir import states as states_lib

# How long after entering a mirror that cannot be locked it is read: the copy of
# a file that another program had begun is there by then.
_SETTLED_SECONDS = 2
_MOST = 3  # names that a message lists


class TakenOver(OSError):
  """Another program copies to a mirror now."""


class Mirror:
  """The mirror of one workdir, and what was copied there.

  Attributes:
    begun: whether it holds an experiment.
    said: lines about what `bring_back` did.
  """

  def __init__(self, path: str, folder: pathlib.Path):
    """Takes any path that `etils.epath` takes, and the workdir."""
    self._at, self._folder = mirror_folder.Folder(path), folder
    self._name = self._at.name
    self._lock, self._token = threading.Lock(), uuid.uuid4().hex
    self._entered = False
    # By name, the digest of what is there, and how the file here looked then.
    self._there: dict[str, str] = {}
    self._looks: dict[str, tuple[int, ...]] = {}
    self.begun, self.said = False, []

  def bring_back(self, config: Mapping[str, Any], overwrite: bool) -> None:
    """Makes the workdir hold all that is known of its experiment.

    An empty one gets the files of the mirror. Where both hold the experiment,
    the longer one of two journals stays, and records are those of the mirror,
    unless the workdir has these and more. Nothing in the mirror is touched, but
    that this program uses it now, unless it replaces what is there.

    Args:
      config: of the run.
      overwrite: whether the experiment is to be replaced: nothing is copied.

    Raises:
      OSError: if the mirror cannot be read, or written to.
      ValueError: if it holds another experiment, or other answers to the same
        questions.
    """
    found = self._look(config, overwrite)
    if self.begun and overwrite:
      return
    self.enter()
    if not self._at.is_local:
      time.sleep(_SETTLED_SECONDS)
      found = self._look(config, overwrite)
    if self.begun:
      self._merge(found)

  def enter(self) -> None:
    """Makes this program the one that copies to the mirror."""
    self._at.write(mirrored.OWNER, (json.dumps({
        'token': self._token, 'workdir': os.path.abspath(self._folder),
        'host': socket.gethostname(), 'process': os.getpid()}) + '\n').encode())
    self._entered = True

  def copy(self) -> None:
    """Makes the mirror as the workdir is.

    Raises:
      OSError: if it cannot be written to, which costs nothing: what is in the
        workdir is whole, and is copied the next time.
      TakenOver: if another program copies there.
    """
    with self._lock:
      self._check_owner()
      here = mirrored.names(self._folder)
      if layout.CONFIG not in here:
        raise OSError(f'{str(self._folder)!r} holds no {layout.CONFIG} any '
                      f'more: {self._name} stays as it is.')
      for name in [name for name in self._there if name not in here
                   and mirrored.may_go(name)]:
        # First: a summary is of records that stay as they are.
        self._remove(name)
      for name in here:
        self._copy(name)

  def copy_journal(self, path: pathlib.Path) -> None:
    """Copies one journal; raises as `copy`."""
    with self._lock:
      self._check_owner()
      self._copy(path.relative_to(self._folder).as_posix())

  def make_room(self, states: str | None) -> None:
    """Makes sure that a new experiment may be begun there.

    Args:
      states: folder of the states, of which an unfinished beginning left no
        more than the record, which goes.

    Raises:
      OSError: if that cannot be done.
      TakenOver: if another program uses the mirror, or has begun there since.
    """
    if not self._entered:
      self.enter()
    self._check_owner()
    if not self.begun:
      if layout.CONFIG in self._at.names():
        raise TakenOver(f'{self._name}: another program has just begun an '
                        'experiment there. Nothing of it is changed.')
      if states is not None and not states_lib.runs_in(states):
        (epath.Path(states) / states_lib.RECORD).unlink(missing_ok=True)

  def clear(self) -> None:
    """Removes the experiment there, or what was left of a beginning."""
    for name in reversed(self._at.names()):  # The config first.
      self._remove(name)
    self._remove(layout.MODELS)

  def _look(self, config, overwrite) -> dict[str, bytes]:
    """What is there, by name, if it may be gone on with; refuses it if not.

    Of what is to be replaced, the names alone are looked at.
    """
    there = self._at.names()
    self._there = dict.fromkeys(there, '')
    self.begun = layout.CONFIG in there
    if not self.begun:
      self._check_free(there)
      return {}
    of = self._experiment()
    here = records_file.experiment_in(self._folder)
    if here != of and (
        here is not None or overwrite or mirrored.names(self._folder)):
      raise ValueError(
          f'{self._name} holds another experiment ({of}) than the workdir '
          f'{str(self._folder)!r} ({here or "none"}). Nothing is changed: '
          'choose another mirror, or an empty workdir to go on from this one.')
    if overwrite:
      return {}
    if not (self._folder / layout.CONFIG).exists():
      self._check_same(config)
    found = {name: self._at.read(name) for name in there}
    for name in there:
      if mirrored.is_journal(name) and _is_apart(
          mirrored.content(self._folder / name), found[name]):
        raise ValueError(
            f'{self._folder / name} and {self._at.root / name} hold other '
            'answers of the same run: it went on in two places. Nothing is '
            'changed. Move the workdir away to go on with the answers of the '
            'mirror.')
    return found

  def _check_free(self, there) -> None:
    """Refuses a mirror that is not begun, but not empty either."""
    if any(map(mirrored.is_journal, there)):
      raise ValueError(
          f'{self._name} holds answers, in {layout.JOURNALS}, but no '
          f'{layout.CONFIG} that says of what: put it back, or choose another.')
    foreign = [
        name for name in self._at.entries() if name not in mirrored.OURS
        and not mirrored.is_draft(name)
        and not image_listing.is_of_a_system(name)]
    if foreign:
      raise ValueError(
          f'{self._name} is not empty: it holds {foreign[:_MOST]}, which no '
          'experiment wrote; choose another.')

  def _experiment(self) -> str:
    found = self._parsed(layout.PROVENANCE)
    if not isinstance(found.get('experiment'), str):
      raise ValueError(
          f'{self._name}: {layout.PROVENANCE} is damaged: it names no '
          'experiment. Restore it from a copy of this very experiment.')
    return found['experiment']

  def _check_same(self, config) -> None:
    """Refuses what a run would refuse, before it is brought back.

    That is another config, and settings of JAX that draw other numbers.
    """
    there = self._parsed(layout.CONFIG)
    there.pop(checksums.KEY, None)
    there, now = config_lib.completed(there), same_config.as_read(config)
    if now['batch'] is None:  # As it was found to fit then.
      now['batch'] = there['batch']
    different = same_config.lines(there, now)
    if different:
      raise ValueError('\n'.join([
          f'{self._name} holds another experiment; choose another mirror, or '
          'undo:', *different]))
    settings = self._parsed(layout.PROVENANCE).get('settings')
    if isinstance(settings, dict):  # If not, it is refused once it is back.
      provenance.check_settings(settings, str(self._at.root))

  def _parsed(self, name) -> dict[str, Any]:
    return json_object.parse(self._at.read(name), self._at.root / name)

  def _merge(self, found) -> None:
    """Brings back what the workdir lacks."""
    was_begun = (self._folder / layout.CONFIG).exists()
    self._there = {name: mirrored.digest(x) for name, x in found.items()}
    here = {name: mirrored.content(self._folder / name) for name in found}
    lacking = [name for name in found if here[name] is None]
    behind = [
        name for name in found if here[name] is not None
        and (name in mirrored.RECORDS or mirrored.is_journal(name))
        and not here[name].startswith(found[name])]
    if any(name in mirrored.RECORDS for name in behind) and was_begun:
      # A summary is of records that stay as they are.
      (self._folder / layout.SUMMARY).unlink(missing_ok=True)
    # Whose they are comes first, the config last: with it, all is there.
    for name in sorted(lacking + behind, key=lambda name: (
        name != layout.PROVENANCE, mirrored.place(name))):
      path = self._folder / name
      path.parent.mkdir(parents=True, exist_ok=True)
      durable.write(path, found[name])
    self._say(was_begun, lacking, behind)

  def _say(self, was_begun, lacking, behind) -> None:
    if not was_begun:
      self.said = [f'{self._name}: {len(lacking + behind)} files came back to '
                   f'{str(self._folder)!r}; the experiment goes on.']
      return
    ahead = [
        name for name in mirrored.names(self._folder) if self._there.get(name)
        != mirrored.digest(mirrored.content(self._folder / name) or b'')]
    if lacking or behind:
      self.said.append(
          f'{self._name}: {str(self._folder)!r} was behind in '
          f'{_some(lacking + behind)}, which came back.')
    if ahead:
      self.said.append(
          f'{self._name}: {str(self._folder)!r} is ahead in {_some(ahead)}, '
          'which will be copied.')

  def _check_owner(self) -> None:
    try:
      found = self._parsed(mirrored.OWNER)
    except ValueError:
      found = {}
    if found.get('token') != self._token:
      raise TakenOver(
          f'{self._name} is used by another program now: process '
          f'{found.get("process")} on {found.get("host")}, for the workdir '
          f'{found.get("workdir")!r}. This one copies nothing more there.')

  def _copy(self, name) -> None:
    path = self._folder / name
    try:
      found = os.stat(path)
      looks = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns,
               found.st_size)
      if self._looks.get(name) == looks:
        return
      content = mirrored.content(path)
    except FileNotFoundError:  # Gone since it was listed.
      content = None
    if content is None:
      return
    digest = mirrored.digest(content)
    if self._there.get(name) != digest:
      self._at.write(name, content, self._check_owner)
      self._there[name] = digest
    self._looks[name] = looks

  def _remove(self, name) -> None:
    self._at.remove(name)
    self._there.pop(name, None)
    self._looks.pop(name, None)


def opened(
    config: Any, folder: pathlib.Path, overwrite: bool,
    held: contextlib.ExitStack, looks: lock.Looks | None = None,
) -> Mirror | None:
  """The mirror of a locked workdir, from which that was brought up to date.

  Args:
    config: complete.
    folder: the workdir.
    overwrite: as for `Mirror.bring_back`.
    held: collects the lock of a mirror that can be locked.
    looks: as of `lock.exclusive`.

  Raises:
    OSError, ValueError: as `Mirror.bring_back`, and if the mirror lies within
      the workdir, or that in it, or is the folder of the states.
  """
  path = config.mirror
  if path is None:
    return None
  if config.states is not None and states_lib.is_same_folder(
      path, config.states):
    raise ValueError(f'mirror={path!r} and states={config.states!r} must be '
                     'two folders. Without --states, states lie in the mirror.')
  if states_lib.is_local(path):
    one, other = pathlib.Path(path).resolve(), folder.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
      raise ValueError(f'mirror={path!r} and the workdir {str(folder)!r} must '
                       'not lie within one another.')
    try:
      os.makedirs(path, exist_ok=True)
    except OSError as e:
      raise ValueError(
          f'mirror={path!r} cannot be made: {durable.reason(e)}.') from e
    held.enter_context(lock.exclusive(
        path, of=f'for the workdir {os.path.abspath(folder)!r}', looks=looks))
  mirror = Mirror(path, folder)
  mirror.bring_back(config.to_dict(), overwrite)
  return mirror


def _is_apart(one: bytes | None, other: bytes) -> bool:
  """Whether neither of two journals goes on where the other one ends."""
  return one is not None and not (
      one.startswith(other) or other.startswith(one))


def _some(names: list[str]) -> str:
  more = f' and {len(names) - _MOST} more' if len(names) > _MOST else ''
  return f'{", ".join(names[:_MOST])}{more}'
