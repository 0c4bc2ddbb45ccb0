"""Object stores in the place of gs:// and memory://, without a network.

`etils.epath` reaches `gs://` through fsspec, which then has a folder of this
machine for all buckets; a file appears there once it is whole, as in a bucket.
Orbax writes arrays by TensorStore, which gets the same folder. `memory://`,
which epath does not know, is the file system of that name of fsspec.
"""

from collections.abc import Iterator
import contextlib
import os
import pathlib
from unittest import mock

from etils import epath
from etils.epath import backend
from etils.epath import gpath
from etils.epath import register
import fsspec
from fsspec.implementations import dirfs
from fsspec.implementations import local
from orbax.checkpoint._src.path import gcs_utils

_MEMORY = 'memory://'


class _Whole(local.LocalFileSystem):
  """Files of this machine, each of which appears when it is closed."""

  cachable = False

  def _open(self, path, mode='rb', block_size=None, **kwargs):
    if 'w' not in mode:
      return super()._open(path, mode, block_size, **kwargs)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return _Closing(f'{path}.part{os.getpid()}', path)


class _Closing:
  """A file that is renamed when it is closed."""

  def __init__(self, draft, path):
    self._file, self._path = open(draft, 'wb'), path

  def __getattr__(self, name):
    return getattr(self._file, name)

  def __enter__(self):
    return self

  def __exit__(self, kind, error, trace):
    if kind is None:
      self.close()

  def close(self):
    if not self._file.closed:
      self._file.close()
      os.replace(self._file.name, self._path)


class _Buckets(dirfs.DirFileSystem):
  """All buckets, one folder each."""

  protocol = 'gs', 'gcs'
  cachable = False

  def exists(self, path, **kwargs):
    return super().exists(self._strip_protocol(path), **kwargs)


@contextlib.contextmanager
def in_place_of_gs(folder: pathlib.Path) -> Iterator[None]:
  """While it lasts, gs://NAME is the folder of that name in a folder."""
  buckets = _Buckets(str(folder), _Whole())

  def stored(path):
    bucket, name = gcs_utils.parse_gcs_path(path, add_trailing_slash=False)
    return {'driver': 'file', 'path': str(folder / bucket / name)}

  with mock.patch.object(
      backend.fsspec_backend, 'fs', lambda path: buckets), mock.patch.object(
          gcs_utils, 'get_kvstore_for_gcs', stored), mock.patch.object(
              gpath, '_is_tf_installed', lambda: False):
    yield


@contextlib.contextmanager
def in_memory() -> Iterator[fsspec.AbstractFileSystem]:
  """While it lasts, epath knows memory://, which is empty before and after."""
  memory = fsspec.filesystem('memory')
  memory.store.clear()
  with mock.patch.object(
      backend.fsspec_backend, 'fs', lambda path: memory), mock.patch.object(
          gpath, '_URI_PREFIXES', (*gpath._URI_PREFIXES, _MEMORY)
      ), mock.patch.object(
          gpath, '_URI_SCHEMES', gpath._URI_SCHEMES | {'memory'}
      ), mock.patch.dict(
          gpath._URI_MAP_ROOT, {_MEMORY: '/memory/'}), mock.patch.dict(
              gpath._PREFIX_TO_BACKEND, memory=backend.fsspec_backend
          ), mock.patch.dict(
              register._URI_PREFIXES_TO_CLS, {_MEMORY: gpath.PosixGPath}):
    assert str(epath.Path('memory://a') / 'b') == 'memory://a/b'
    yield memory
  memory.store.clear()
  memory.pseudo_dirs[:] = ['']
