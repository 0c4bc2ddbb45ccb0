"""Writing files so that a crash leaves them whole, and reading them.

Errors name the file, which those of a full disk do not by themselves.
"""

from collections.abc import Iterator, Mapping
import contextlib
import errno
import fcntl
import json
import os
import pathlib
import shutil
import stat

from etils import epath

from mmal_jax.files import downloads
from mmal_jax.files import plain_text

# Of files that are read as a whole: others', and those that a run adds to.
_MOST_BYTES, MOST_OF_OURS = 1 << 28, 1 << 32


def reason(error: Exception) -> str:
  """Why a file cannot be read or written, in words alone, without a full stop.

  >>> reason(FileNotFoundError(2, 'No such file or directory', 'x.txt'))
  'No such file or directory'

  Args:
    error: an OSError, of which Python's own text has a number and the path,
      too; of others the text is taken.
  """
  return (getattr(error, 'strerror', None) or str(error)).removesuffix('.')


def read(
    path: str | os.PathLike[str], most: int = _MOST_BYTES,
    within: pathlib.Path | None = None,
) -> bytes:
  """What a file holds that another program may have put there.

  Args:
    path: of the file.
    most: bytes it may have.
    within: a resolved folder that links must not lead out of.

  Raises:
    OSError: if it is missing, or may not be read.
    ValueError: if it is none that ends, such as a pipe, or has more bytes; if
      it only points at the file, as those of Git LFS do; or if it lies outside
      of `within`.
  """
  # A pipe would be waited for.
  descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
  try:
    found = os.fstat(descriptor)
    # Of what was opened: a link may lead elsewhere by now.
    if within is not None and not _lies_within(found, path, within):
      raise ValueError(f'{os.fspath(path)} is a link out of the folder.')
    if not stat.S_ISREG(found.st_mode):
      raise ValueError(f'{os.fspath(path)} is no regular file.')
    if found.st_size > most:
      raise ValueError(f'{os.fspath(path)} has {found.st_size} bytes; at most '
                       f'{most} are read.')
    with open(descriptor, 'rb', closefd=False) as file:
      # Not `most`: Python asks for that much memory at once.
      content = file.read(found.st_size)
  finally:
    os.close(descriptor)
  elsewhere = downloads.pointer(content, path)
  if elsewhere is not None:
    raise ValueError(f'{os.fspath(path)} {elsewhere}.')
  return content


def _lies_within(found: os.stat_result, path, folder: pathlib.Path) -> bool:
  """Whether an opened file has a name in a folder, to which the path leads."""
  try:
    target = pathlib.Path(path).resolve()
    return target.is_relative_to(folder) and os.path.samestat(
        found, os.stat(target, follow_symlinks=False))
  except (OSError, RuntimeError):  # It is gone, or a loop, by now.
    return False


def open_own(path: pathlib.Path, flags: int) -> int:
  """Opens a file to write to, which must be a file of that folder alone.

  In a folder to which others can write, a link with the name of one of our
  files would have us write to any file of ours, or empty it.

  Args:
    path: of the file; it is made if there is none. Nothing is changed in it.
    flags: of `os.open`, besides those for that; not `O_TRUNC`.

  Returns:
    A descriptor.

  Raises:
    OSError: if it cannot be opened.
    ValueError: if there is a symbolic link, a file with a second hard link, or
      what is no regular file.
  """
  try:
    descriptor = os.open(
        path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
        0o666)
  except OSError as e:
    if e.errno == errno.ELOOP or path.is_symlink():
      raise ValueError(
          f'{path} is a symbolic link, in place of a file of this program: it '
          'is not written to. Remove the link, or put the file there.') from e
    if e.errno in (errno.ENXIO, errno.EISDIR):
      raise ValueError(f'{path} is no regular file: remove it.') from e
    raise
  found = os.fstat(descriptor)
  if stat.S_ISREG(found.st_mode) and found.st_nlink < 2:
    return descriptor
  os.close(descriptor)
  if not stat.S_ISREG(found.st_mode):
    raise ValueError(f'{path} is no regular file: remove it.')
  raise ValueError(
      f'{path} is a hard link to a file that has another name, too: it is not '
      'written to. Put a copy of the file there.')


def write(path: pathlib.Path, content: str | bytes) -> None:
  """Puts a file there, whole or not at all, in place of any before it."""
  draft = path.with_name(f'.{path.name}.draft')
  with naming(path):
    # What a crash left, or a link: it goes, and not what it leads to.
    draft.unlink(missing_ok=True)
    with open(open_own(draft, os.O_WRONLY | os.O_EXCL), 'wb') as file:
      file.write(content if isinstance(content, bytes) else content.encode())
      _sync(file)
    os.replace(draft, path)
    sync_folder(path.parent)


def append(path: pathlib.Path, text: str) -> None:
  """Adds lines to a file of JSON lines; they are on the disk when it returns.

  What a crash left of a line at the end of the file makes way for them, what
  another program is just adding does not: it is waited for.

  Args:
    path: of the file; it need not exist.
    text: lines, the last one with its newline, too.

  Raises:
    OSError: if it cannot be written.
    ValueError: as `open_own`.
  """
  with naming(path):
    with open(open_own(path, os.O_RDWR | os.O_APPEND), 'a+b') as file:
      fcntl.flock(file, fcntl.LOCK_EX)
      content = whole_lines(path)
      file.truncate(len(content))
      if content and not content.endswith(b'\n'):
        file.write(b'\n')
      file.write(text.encode())
      _sync(file)
    sync_folder(path.parent)


def whole_lines(path: pathlib.Path) -> bytes:
  """What a file of JSON lines holds, without a last line that was cut off.

  Nothing if it does not exist.
  """
  try:
    content = read(path, MOST_OF_OURS)
  except FileNotFoundError:
    return b''
  last = content.rfind(b'\n', 0, max(len(content) - 1, 0)) + 1
  if b'\0' in content[last:]:
    # Of a line that had not been written whole when the power went, a disk may
    # hold the end, and nothing in place of the rest. No JSON has a NUL.
    return content[:last]
  end = content.rfind(b'\n') + 1
  try:
    # Whole, if an editor took the newline: no beginning of it is JSON.
    json.loads(content[end:])
  except ValueError:
    return content[:end]
  except RecursionError:
    pass  # No program's line: whoever reads it refuses it.
  return content


def run_in_words(run: Mapping[str, str | int] | None) -> str:
  """The run that a file says it is of, as an error names it.

  >>> run_in_words({'strategy': 'mmal', 'seed': 0})
  'strategy mmal, seed 0'
  """
  if run is None:
    return 'a run that it does not name (an earlier version wrote none)'
  return plain_text.for_terminal(
      ', '.join(f'{name} {value}' for name, value in run.items()))


@contextlib.contextmanager
def naming(path: pathlib.Path) -> Iterator[None]:
  """Gives an OSError that names no file the name of one."""
  try:
    yield
  except OSError as e:
    # One without a number has a text of its own, which a name would replace.
    if e.filename is None and e.errno is not None:
      e.filename = str(path)
    raise


def _sync(file) -> None:
  file.flush()
  os.fsync(file.fileno())


def remove(path: pathlib.Path | epath.Path) -> None:
  """Removes a file, a folder with all in it, or a link, if it is there.

  Of a link the link alone, also of one to a folder, and of those in a folder:
  what they lead to is not ours.

  Args:
    path: a local one, or any that `etils.epath` takes.

  Raises:
    OSError: if it, or a part of it, cannot be removed.
  """
  if not path.is_dir() or os.path.islink(path):
    path.unlink(missing_ok=True)
  elif '://' in str(path):
    path.rmtree()
  else:
    shutil.rmtree(path)


def unused(path: pathlib.Path) -> pathlib.Path:
  """The path, or where something is there the first free of its numbered ones.
  """
  number, free = 1, path
  while free.exists():
    number += 1
    free = path.with_name(f'{path.name}{number}')
  return free


def sync_folder(folder: pathlib.Path) -> None:
  """Without it, a file's name may be lost where its content is not."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
