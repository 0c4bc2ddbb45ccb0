"""One program at a time in a folder, whatever becomes of it or its host.

The system releases the lock of a program that dies, but not always that of a
host that vanishes: on NFSv3 it stays. So who holds a lock says so in its file
every few seconds. What is not renewed for long enough, as seen by the clock of
whoever waits, is taken over; a holder that finds its lock taken over ends.
"""

from collections.abc import Iterable, Iterator, Mapping
import contextlib
import fcntl
import functools
import json
import os
import pathlib
import socket
import sys
import threading
import time
from typing import Any, NamedTuple, NoReturn
import uuid

from absl import logging

from mmal_jax.files import durable

NAME = '.owner'
# A holder renews its lock as often; so many missed, it is taken over. Whatever
# keeps a whole process still has to be shorter, and so have pauses of a server.
BEAT_SECONDS, MISSED = 3.0, 20
# How long after taking over a program looks if another one has, too.
_SETTLED_SECONDS = 1.0
_LOOK_SECONDS = 0.5


class InUse(ValueError):
  """Another program has locked a folder."""


class _Process(NamedTuple):
  """A process, as told from all others: one of a host may have its number.

  Attributes:
    host: its name.
    boot: id of the host's start; '' where the system has none.
    space: of process numbers: containers of a host have their own.
    pid: its number.
    start: when it was started, in ticks since the boot; '' if not known.
  """

  host: str
  boot: str
  space: str
  pid: int
  start: str


class _Said(NamedTuple):
  """What the file of a lock says.

  Attributes:
    by: the holder, in words; '' if there is none.
    process: of the holder; None if the file does not tell.
    renews: whether the holder renews it: those of earlier versions do not.
    token: of this one lock.
    content: all of it, which changes with each beat.
    is_copy: whether it was written to another file, and copied.
  """

  by: str
  process: _Process | None
  renews: bool
  token: str
  content: bytes
  is_copy: bool


# By path of a lock's file, what it said at some time of `time.monotonic`.
Looks = Mapping[str, tuple[_Said, float]]


def look(folders: Iterable[str | os.PathLike[str]]) -> Looks:
  """Looks at the locks of folders that are to be locked one after another.

  Each could be of a host that vanished, which only waiting tells. With this,
  all that were looked at are waited for at the same time.

  Args:
    folders: they need not exist.
  """
  found = {}
  for folder in folders:
    with contextlib.suppress(OSError):
      path = pathlib.Path(folder) / NAME
      found[os.path.abspath(path)] = _read(path), time.monotonic()
  return found


@contextlib.contextmanager
def exclusive(
    folder: str | os.PathLike[str], name: str = NAME, of: str = '',
    looks: Looks | None = None,
) -> Iterator[None]:
  """Locks a folder; whoever dies holds it no longer.

  If another program finds later that this one has given no sign of life, and
  takes the lock over, this one ends at once, with status 1.

  Args:
    folder: it must exist.
    name: of the file in it that is locked, where a folder has several owners.
    of: what it is locked for, for the error of another program.
    looks: what `look` has found before, if it was called.

  Raises:
    InUse: if another program has locked it, naming that one.
    ValueError: if a link lies where the file should be (`durable.open_own`).
  """
  # Never removed: a program that waits could lock a file without a name.
  path = pathlib.Path(folder) / name
  with open(durable.open_own(path, os.O_RDWR), 'r+b', buffering=0) as file:
    taken_over = _wait(path, file, looks or {})
    held = _Held(path, file, of)
    held.check_alone(taken_over)
    thread = threading.Thread(
        target=held.renew, name=f'lock of {path.parent}', daemon=True)
    try:
      thread.start()
      yield
    finally:
      held.ended.set()
      if thread.is_alive():
        thread.join()
      held.release()


class _Held:
  """A lock that this program holds, and renews."""

  def __init__(self, path: pathlib.Path, file: Any, of: str):
    self._path, self._file, self._beats = path, file, 0
    self._token, self.ended = uuid.uuid4().hex, threading.Event()
    self._text = (
        f'process {os.getpid()} on {socket.gethostname()}'
        f'{" " if of else ""}{of}, since '
        f'{time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())}\n')
    os.ftruncate(file.fileno(), 0)
    self._write()

  def check_alone(self, taken_over: bool) -> None:
    """Refuses the lock if another program has taken it over, too.

    Args:
      taken_over: whether it was another program's.

    Raises:
      InUse: then. Of those that take over at once, the last to write has it.
    """
    # Else no other program gets so far.
    if taken_over or not _try_flock(self._file):
      time.sleep(_SETTLED_SECONDS)
      said = _read(self._path)
      if said.token != self._token:
        raise InUse(f'{str(self._path.parent)!r} is in use by '
                    f'{said.by or "another program"}, which has just taken it '
                    'over. Wait for it, or choose another folder.')

  def renew(self) -> None:
    """Gives signs of life until it is released; ends the program if in vain."""
    while not self.ended.wait(BEAT_SECONDS):
      # A disk may be gone for a while; the file is closed if a signal ended the
      # release.
      with contextlib.suppress(OSError, ValueError):
        said = _read(self._path)
        if said.by and said.token != self._token:
          _end(self._path, said)
        self._write()
        _try_flock(self._file)  # What a vanished host held may be free by now.

  def release(self) -> None:
    """Leaves the file empty, unless it is another program's by now."""
    with contextlib.suppress(OSError):
      if _read(self._path).token == self._token:
        os.ftruncate(self._file.fileno(), 0)

  def _write(self) -> None:
    self._beats += 1
    fields = {**_this_process()._asdict(), 'token': self._token,
              'beat': f'{self._beats:012d}',
              'file': os.fstat(self._file.fileno()).st_ino}
    os.pwrite(self._file.fileno(),
              (self._text + json.dumps(fields) + '\n').encode(), 0)
    os.fsync(self._file.fileno())  # Without it, no other host sees it.


def _wait(path: pathlib.Path, file: Any, looks: Looks) -> bool:
  """Returns when the lock is free, or its holder is dead.

  Returns:
    Whether it was another program's.

  Raises:
    InUse: if it lives.
  """
  first, since = looks.get(os.path.abspath(path)) or (
      _read(path), time.monotonic())
  waits = False
  while True:
    free, said = _try_flock(file), _read(path)
    lives, silent = _lives(said, free), time.monotonic() - since
    # A host that vanishes leaves its words behind: what is locked without any
    # for longer than it takes to write them is locked by a living program.
    wordless = not said.by and not free and silent > _SETTLED_SECONDS
    renewed = lives is None and said.by and said.content != first.content
    if lives or wordless or renewed:
      raise InUse(
          f'{str(path.parent)!r} is in use by {said.by or "another program"}. '
          'Wait for it, or stop it, or choose another folder.')
    if lives is False or silent > MISSED * BEAT_SECONDS:
      if not free or waits:
        logging.warning(
            '%r was in use by %s, which %s: it is taken over.',
            str(path.parent), said.by or 'another program',
            'is dead' if lives is False else
            f'has given no sign of life for {silent:.0f} seconds')
      return bool(first.by or said.by)
    if not waits and said.by:
      waits = True
      logging.warning(
          '%r was in use by %s. If that gives no sign of life within %.0f '
          'seconds, it is taken over.', str(path.parent), said.by,
          MISSED * BEAT_SECONDS)
    time.sleep(_LOOK_SECONDS)


def _lives(said: _Said, free: bool) -> bool | None:
  """Whether a holder lives; None if only its beats can tell.

  Args:
    said: by the lock's file.
    free: whether the system has given us the lock.
  """
  if not said.by:
    return False if free else None  # It may be just about to write.
  if not said.renews:
    return not free
  mine, other = _this_process(), said.process
  if other is None or other.host != mine.host:
    return None
  if other[:3] != mine[:3] or not mine.boot:
    # Of an earlier start of this host, or of another container of it: there the
    # system's lock is one for all.
    return False if free else None
  if other.pid == mine.pid:
    return not free
  try:
    os.kill(other.pid, 0)
  except ProcessLookupError:
    return False
  except PermissionError:
    pass  # It is another user's.
  state, start = _state_of(other.pid)
  if state == 'Z':  # It has ended, and its parent has not looked.
    return False if free else None
  if start and start != other.start:
    return False
  return not (free and said.is_copy)  # A copy names who has the original.


def _read(path: pathlib.Path) -> _Said:
  """What a lock's file says now, of whatever host wrote it."""
  try:
    content = path.read_bytes()  # Opened anew: NFS then asks its server.
    number = path.stat().st_ino
  except FileNotFoundError:
    content, number = b'', 0
  by, newline, rest = content.partition(b'\n')
  process, token, is_copy = None, '', False
  with contextlib.suppress(KeyError, TypeError, ValueError):
    fields = json.loads(rest)
    found = _Process(*(fields[name] for name in _Process._fields))
    if type(found.pid) is int and 0 < found.pid < 2**31:
      process, token = found, str(fields['token'])
      is_copy = fields['file'] != number
  return _Said(by.decode('utf-8', 'replace').strip(), process,
               bool(newline and rest.strip()), token, content, is_copy)


def _try_flock(file: Any) -> bool:
  """Whether the system gives us the lock, or has already."""
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  return True


def _this_process() -> _Process:
  return _Process(*_here(), os.getpid(), _state_of(os.getpid())[1])


@functools.cache
def _here() -> tuple[str, str, str]:
  """Host, boot and space of this process."""
  boot = space = ''
  with contextlib.suppress(OSError):
    boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    space = os.readlink('/proc/self/ns/pid')
  return socket.gethostname(), boot, space


def _state_of(pid: int) -> tuple[str, str]:
  """The state of a process, and when it was started; '' if not known."""
  try:
    stat = pathlib.Path(f'/proc/{pid}/stat').read_text('utf-8', 'replace')
    fields = stat.rpartition(')')[2].split()
    return fields[0], fields[19]
  except (IndexError, OSError):
    return '', ''


def _end(path: pathlib.Path, said: _Said) -> NoReturn:
  """Ends the program at once, so that it writes nothing more."""
  with contextlib.suppress(OSError):
    print(f'error: {str(path.parent)!r} was taken over by {said.by}: this '
          'program had given no sign of life for '
          f'{MISSED * BEAT_SECONDS:.0f} seconds; or {path.name}, which names '
          'that one, was put back from a copy. This program ends without '
          'writing anything more. If that one does not run, start this one '
          'again.', file=sys.stderr, flush=True)
  os._exit(1)
