"""A copy of a workdir elsewhere, which outlives the machine.

Copied is what changed since: before a state is sealed, so that all that a state
relies on is there before it counts; the journal also after each call of the
oracle; and at the end. States and models are written to the mirror in the first
place. All lies there as in a workdir, and an empty workdir goes on from it.
"""

from collections.abc import Iterator, Mapping
import contextlib
import hashlib
import json
import os
import pathlib
import socket
import threading
from typing import Any
import uuid

from etils import epath

from mmal_jax import extras
from mmal_jax.config import config as config_lib
from mmal_jax.data.images import image_listing
from mmal_jax.files import durable
from mmal_jax.files import json_object
from mmal_jax.files import lock
from mmal_jax.files import seals
from mmal_jax.workdir import checksums
from mmal_jax.workdir import layout
from mmal_jax.workdir import records_file
from mmal_jax.workdir import same_config
from mmal_jax.workdir import states as states_lib

OWNER = 'in_use.json'  # Who copies to the mirror now.
_RECORDS = (layout.WHOLE_POOL, layout.QUERIES, layout.METRICS,
            layout.CALIBRATION)
_FOLDERS = layout.JOURNALS, layout.PRETRAINED, layout.MATCHES
# In the order of copying: with its config, the last, a mirror is begun.
_ORDER = (layout.JOURNALS, layout.PROVENANCE, layout.ITEMS, layout.TOKENIZER,
          layout.PRETRAINED, *_RECORDS, layout.MATCHES, layout.CURVES,
          layout.WAITING, layout.SUMMARY, layout.CONFIG)
# What a run removes, or puts aside. All else that is gone was lost.
_MAY_GO = layout.SUMMARY, layout.WAITING, layout.MATCHES
_OURS = (*_ORDER, layout.STATES, layout.MODELS, lock.NAME, OWNER)
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
    self._root, self._folder = epath.Path(path), folder
    self._name = f'mirror={path!r}'
    self._lock, self._token = threading.Lock(), uuid.uuid4().hex
    # By name, the digest of what is there, and how the file here looked then.
    self._there: dict[str, str] = {}
    self._looks: dict[str, tuple[int, ...]] = {}
    self.begun, self.said = False, []

  def bring_back(self, config: Mapping[str, Any], overwrite: bool) -> None:
    """Makes the workdir hold all that is known of its experiment.

    An empty one gets the files of the mirror. Where both hold the experiment,
    the longer one of two journals stays, and records are those of the mirror,
    unless the workdir has these and more. Nothing in the mirror is touched.

    Args:
      config: of the run.
      overwrite: whether the experiment is to be replaced: nothing is copied.

    Raises:
      OSError: if the mirror cannot be read.
      ValueError: if it holds another experiment, or other answers to the same
        questions.
    """
    with self._telling('it', 'read'):
      there = _names(self._root)
    self._there = dict.fromkeys(there, '')
    self.begun = layout.CONFIG in there
    if not self.begun:
      self._check_free(there)
      return
    of = self._experiment()
    here = records_file.experiment_in(self._folder)
    if here != of and (here is not None or overwrite or _names(self._folder)):
      raise ValueError(
          f'{self._name} holds another experiment ({of}) than the workdir '
          f'{str(self._folder)!r} ({here or "none"}). Nothing is changed: '
          'choose another mirror, or an empty workdir to go on from this one.')
    if overwrite:
      return
    if not (self._folder / layout.CONFIG).exists():
      self._check_same(config)
    self._merge(there)

  def enter(self) -> None:
    """Makes this program the one that copies to the mirror."""
    with self._telling(OWNER):
      self._put(OWNER, (json.dumps({
          'token': self._token, 'workdir': os.path.abspath(self._folder),
          'host': socket.gethostname(), 'process': os.getpid()}) + '\n'
      ).encode())

  def copy(self) -> None:
    """Makes the mirror as the workdir is.

    Raises:
      OSError: if it cannot be written to, which costs nothing: what is in the
        workdir is whole, and is copied the next time.
      TakenOver: if another program copies there.
    """
    with self._lock:
      self._check_owner()
      here = _names(self._folder)
      if layout.CONFIG not in here:
        raise OSError(f'{str(self._folder)!r} holds no {layout.CONFIG} any '
                      f'more: {self._name} stays as it is.')
      for name in [name for name in self._there if name not in here
                   and name.partition('/')[0] in _MAY_GO]:
        # First: a summary is of records that stay as they are.
        self._remove(name)
      for name in here:
        self._copy(name)

  def copy_journal(self, path: pathlib.Path) -> None:
    """Copies one journal; raises as `copy`."""
    with self._lock:
      self._check_owner()
      self._copy(path.relative_to(self._folder).as_posix())

  def clear(self, states: str | None) -> None:
    """Removes the experiment there, or what was left of a beginning.

    Args:
      states: folder of the states, of which a beginning left no more than the
        record.
    """
    with self._telling('what is to be replaced', 'removed'):
      if not self.begun and states is not None and not states_lib.runs_in(
          states):
        (epath.Path(states) / states_lib.RECORD).unlink(missing_ok=True)
      for name in reversed(_names(self._root)):  # The config first.
        self._remove(name)
      durable.remove(self._root / layout.MODELS)

  def _check_free(self, there) -> None:
    """Refuses a mirror that is not begun, but not empty either."""
    if any(map(_is_journal, there)):
      raise ValueError(
          f'{self._name} holds answers, in {layout.JOURNALS}, but no '
          f'{layout.CONFIG} that says of what: put it back, or choose another.')
    with self._telling('it', 'read'):
      foreign = sorted(
          path.name for path in _entries(self._root) if path.name not in _OURS
          and not _is_draft(path.name)
          and not image_listing.is_of_a_system(path.name))
    if foreign:
      raise ValueError(
          f'{self._name} is not empty: it holds {foreign[:_MOST]}, which no '
          'experiment wrote; choose another.')

  def _experiment(self) -> str:
    found = json_object.parse(
        self._read(layout.PROVENANCE), self._root / layout.PROVENANCE)
    if not isinstance(found.get('experiment'), str):
      raise ValueError(
          f'{self._name}: {layout.PROVENANCE} is damaged: it names no '
          'experiment. Restore it from a copy of this very experiment.')
    return found['experiment']

  def _check_same(self, config) -> None:
    """Refuses an experiment of another config, before it is brought back."""
    there = json_object.parse(
        self._read(layout.CONFIG), self._root / layout.CONFIG)
    there.pop(checksums.KEY, None)
    there, now = config_lib.completed(there), same_config.as_read(config)
    if now['batch'] is None:  # As it was found to fit then.
      now['batch'] = there['batch']
    different = same_config.lines(there, now)
    if different:
      raise ValueError('\n'.join([
          f'{self._name} holds another experiment; choose another mirror, or '
          'undo:', *different]))

  def _merge(self, there) -> None:
    """Brings back what the workdir lacks."""
    was_begun = (self._folder / layout.CONFIG).exists()
    found = {name: self._read(name) for name in there}
    self._there = {name: _digest(x) for name, x in found.items()}
    here = {name: _content(self._folder / name) for name in there}
    for name in there:
      if _is_journal(name) and _is_apart(here[name], found[name]):
        raise ValueError(
            f'{self._folder / name} and {self._root / name} hold other answers '
            'of the same run: it went on in two places. Nothing is changed. '
            'Move the workdir away to go on with the answers of the mirror.')
    lacking = [name for name in there if here[name] is None]
    behind = [
        name for name in there if here[name] is not None
        and (name in _RECORDS or _is_journal(name))
        and not here[name].startswith(found[name])]
    if any(name in _RECORDS for name in behind) and was_begun:
      # A summary is of records that stay as they are.
      (self._folder / layout.SUMMARY).unlink(missing_ok=True)
    # Whose they are comes first, the config last: with it, all is there.
    for name in sorted(lacking + behind, key=lambda name: (
        name != layout.PROVENANCE, _place(name))):
      path = self._folder / name
      path.parent.mkdir(parents=True, exist_ok=True)
      durable.write(path, found[name])
    self._say(was_begun, lacking, behind)

  def _say(self, was_begun, lacking, behind) -> None:
    if not was_begun:
      self.said = [f'{self._name}: {len(lacking + behind)} files came back to '
                   f'{str(self._folder)!r}; the experiment goes on.']
      return
    ahead = [name for name in _names(self._folder) if self._there.get(
        name) != _digest(_content(self._folder / name) or b'')]
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
      found = json_object.parse(self._read(OWNER), self._root / OWNER)
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
      content = _content(path)
    except FileNotFoundError:  # Gone since it was listed.
      content = None
    if content is None:
      return
    digest = _digest(content)
    if self._there.get(name) != digest:
      with self._telling(name):
        self._put(name, content)
      self._there[name] = digest
    self._looks[name] = looks

  def _put(self, name, content: bytes) -> None:
    path = self._root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if states_lib.is_local(str(self._root)):
      durable.write(pathlib.Path(path), content)
    else:  # There a file appears once it is whole.
      path.write_bytes(content)

  def _read(self, name) -> bytes:
    with self._telling(name, 'read'):
      return (self._root / name).read_bytes()

  def _remove(self, name) -> None:
    with self._telling(name, 'removed'):
      (self._root / name).unlink(missing_ok=True)
    self._there.pop(name, None)
    self._looks.pop(name, None)

  @contextlib.contextmanager
  def _telling(self, name: str, what: str = 'written') -> Iterator[None]:
    """Makes one kind of error of the many of file systems."""
    try:
      yield
    except ImportError as e:
      if str(self._root).startswith('gs://'):
        extras.load('gcsfs', 'to write to gs://')
      raise ValueError(f'{self._name}: {e}') from e
    except Exception as e:
      raise OSError(f'{self._name}: {name} cannot be {what}: '
                    f'{durable.reason(e)}.') from e


def opened(
    config: Any, folder: pathlib.Path, overwrite: bool,
    held: contextlib.ExitStack,
) -> Mirror | None:
  """The mirror of a locked workdir, from which that was brought up to date.

  Args:
    config: complete.
    folder: the workdir.
    overwrite: as for `Mirror.bring_back`.
    held: collects the lock of a mirror that can be locked.

  Raises:
    OSError, ValueError: as `Mirror.bring_back`, and if the mirror lies within
      the workdir, or that in it.
  """
  path = config.mirror
  if path is None:
    return None
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
        path, of=f'for the workdir {os.path.abspath(folder)!r}'))
  mirror = Mirror(path, folder)
  mirror.bring_back(config.to_dict(), overwrite)
  return mirror


def _names(folder: pathlib.Path | epath.Path) -> list[str]:
  """Paths in a folder of what is copied, in the order of copying."""
  present = {path.name for path in _entries(folder)}
  found = []
  for name in _ORDER:
    if name in present:
      found += [name] if name not in _FOLDERS else sorted(
          _within(folder / name, name),
          key=lambda x: (x.endswith(seals.ENDING), x))
  return found


def _within(folder, name) -> Iterator[str]:
  for path in _entries(folder):
    if path.is_dir():
      yield from _within(path, f'{name}/{path.name}')
    elif not _is_draft(path.name):
      yield f'{name}/{path.name}'


def _entries(folder) -> list[Any]:
  return list(folder.iterdir()) if folder.is_dir() else []


def _is_draft(name: str) -> bool:
  return name.startswith('.') and name.endswith('.draft')


def _is_journal(name: str) -> bool:
  return name.startswith(f'{layout.JOURNALS}/') and name.endswith('.journal')


def _place(name: str) -> int:
  """Where a name comes in the order of copying."""
  return _ORDER.index(name.partition('/')[0])


def _content(path: pathlib.Path) -> bytes | None:
  """What is copied of a file: whole lines, where more are being added."""
  if not path.exists():
    return None
  if path.suffix == '.jsonl':
    return durable.whole_lines(path)
  content = durable.read(path, durable.MOST_OF_OURS)
  return content[:content.rfind(b'\n') + 1] if (
      _is_journal(f'{path.parent.name}/{path.name}')) else content


def _digest(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()


def _is_apart(one: bytes | None, other: bytes) -> bool:
  """Whether neither of two journals goes on where the other one ends."""
  return one is not None and not (
      one.startswith(other) or other.startswith(one))


def _some(names: list[str]) -> str:
  more = f' and {len(names) - _MOST} more' if len(names) > _MOST else ''
  return f'{", ".join(names[:_MOST])}{more}'
