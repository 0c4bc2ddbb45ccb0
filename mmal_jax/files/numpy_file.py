"""Arrays in `.npy` and `.npz` files of untrusted origin."""

import io
import math
import os
import stat
from typing import BinaryIO
import zipfile

import numpy as np

from mmal_jax.files import downloads
from mmal_jax.files import growth

_MAX_HEADER = 2**14  # bytes; NumPy itself takes ten thousand
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0}


def read(path: str | os.PathLike[str], name: str) -> np.ndarray:
  """The array of a `.npy` file, or one of an `.npz`.

  What the file says of its array is held against the file's size before any
  memory is asked for.

  Args:
    path: of the file.
    name: of the array, where an `.npz` holds more than one.

  Raises:
    ValueError: if it is no such file, would run code (Python's pickles do),
      holds fewer or more bytes than its array takes, grows to more than a
      compressed file may, or an `.npz` has none or two of that name.
    Exception: of a dozen other kinds, as `zipfile` and NumPy raise them.
  """
  size = _size(path)
  with open(path, 'rb') as file:
    if file.read(2) == b'PK':
      return _of_archive(file, size, name)
    file.seek(0)
    return _array(file, size)


def mapped(path: str | os.PathLike[str]) -> np.ndarray:
  """The array of a `.npy` file, memory-mapped, read-only.

  Args:
    path: of the file.

  Raises:
    ValueError: as `read`.
    Exception: likewise.
  """
  size = _size(path)
  with open(path, 'rb') as file:
    _check(file, size)
  return np.load(path, mmap_mode='r', allow_pickle=False)


def _size(path: str | os.PathLike[str]) -> int:
  found = os.stat(path)
  if not stat.S_ISREG(found.st_mode):  # A pipe would be waited for.
    raise ValueError('it is no regular file')
  wrong = downloads.wrong(path) or downloads.archive(path, is_zip=True)
  if wrong is not None:
    raise ValueError(f'it {wrong}')
  return found.st_size


def _of_archive(file: BinaryIO, size: int, name: str) -> np.ndarray:
  with zipfile.ZipFile(file) as archive:
    names = [one.removesuffix('.npy') for one in archive.namelist()]
    if len(set(names)) < len(names) or (
        len(names) != 1 and name not in names):
      raise ValueError(f'it holds the arrays {names[:10]}; one alone, or one '
                       f'named {name!r}, is needed, and no two of one name')
    member = archive.infolist()[names.index(name) if name in names else 0]
    growth.check(member.filename, size, member.file_size)
    with archive.open(member) as inner:
      return _array(inner, member.file_size)


def _array(file: BinaryIO, size: int) -> np.ndarray:
  _check(file, size)
  file.seek(0)
  return np.lib.format.read_array(file, allow_pickle=False)


def _check(file: BinaryIO, size: int) -> None:
  """Refuses what does not take exactly `size` bytes with its header."""
  head = io.BytesIO(file.read(_MAX_HEADER))
  if head.getvalue()[:6] != np.lib.format.MAGIC_PREFIX:
    raise ValueError('it is no .npy file')
  version = np.lib.format.read_magic(head)
  if version not in _HEADERS:
    raise ValueError(f'it is of version {version}; {list(_HEADERS)} are read')
  shape, _, dtype = _HEADERS[version](head)
  if dtype.hasobject:
    raise ValueError('it holds pickled objects, which could run code')
  if not all(type(side) is int and side >= 0 for side in shape):
    raise ValueError(f'it says that its shape is {shape}')
  # Python's integers: NumPy's would wrap around.
  needed = head.tell() + math.prod(shape) * dtype.itemsize
  if needed != size:
    raise ValueError(f'{dtype} of shape {shape} takes {needed} bytes, but it '
                     f'has {size}')
