"""Writing files so that a crash leaves them whole.

Errors name the file, which those of a full disk do not by themselves.
"""

from collections.abc import Iterator
import contextlib
import json
import os
import pathlib


def write(path: pathlib.Path, content: str | bytes) -> None:
  """Puts a file there, whole or not at all, in place of any before it."""
  draft = path.with_name(f'.{path.name}.draft')
  with naming(path):
    with draft.open('wb') as file:
      file.write(content if isinstance(content, bytes) else content.encode())
      _sync(file)
    os.replace(draft, path)
    sync_folder(path.parent)


def append(path: pathlib.Path, text: str) -> None:
  """Adds lines to a file of JSON lines; they are on the disk when it returns.

  What a crash left of a line at the end of the file makes way for them.

  Args:
    path: of the file; it need not exist.
    text: lines, the last one with its newline, too.
  """
  with naming(path):
    with path.open('a+b') as file:
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
    content = path.read_bytes()
  except FileNotFoundError:
    return b''
  end = content.rfind(b'\n') + 1
  try:
    # Whole, if somebody's editor took the newline: no beginning of it is JSON.
    json.loads(content[end:])
  except ValueError:
    return content[:end]
  return content


@contextlib.contextmanager
def naming(path: pathlib.Path) -> Iterator[None]:
  """Gives an OSError that names no file the name of one."""
  try:
    yield
  except OSError as e:
    if e.filename is None:
      e.filename = str(path)
    raise


def _sync(file) -> None:
  file.flush()
  os.fsync(file.fileno())


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
