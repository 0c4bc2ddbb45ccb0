"""The folder of a mirror: what is tried again, and what an error says."""

import errno
import os

from etils import epath
from etils.epath import backend
import fsspec
from fsspec.implementations import memory
import pytest

from mmal_jax.files import buckets
from mmal_jax.workdir import mirror_folder
from tests.support import bucket


@pytest.fixture(name='slept')
def _slept(monkeypatch):
  """Pauses, which take no time but on the clock."""
  slept = []
  monkeypatch.setattr(mirror_folder.time, 'monotonic', lambda: sum(slept))
  monkeypatch.setattr(mirror_folder.time, 'sleep', slept.append)
  return slept


@pytest.fixture(name='gs')
def _gs(tmp_path):
  with bucket.in_place_of_gs(tmp_path / 'buckets'):
    yield mirror_folder.Folder('gs://b/run')


class HttpError(Exception):
  """As of gcsfs."""

  def __init__(self, code):
    super().__init__(f'Service Unavailable, {code}')
    self.code = code


# As of packages that are not there.
_REQUESTS = type('ProxyError', (type('RequestException', (OSError,), {}),), {})
_PASSING = [
    ConnectionResetError(), TimeoutError(), OSError(errno.ESTALE, 'Stale file'),
    OSError(errno.EIO, 'Input/output error'), HttpError(503), HttpError('429'),
    _REQUESTS()]
_STAYING = [
    OSError(errno.ENOSPC, 'No space left on device'), PermissionError(13, 'no'),
    HttpError(403), OSError('Forbidden: b/o'), FileNotFoundError('b/o'),
    ValueError('Bad Request')]


@pytest.mark.parametrize('error', _PASSING, ids=repr)
def test_what_may_pass_is_tried_again(gs, slept, caplog, monkeypatch, error):
  failures, put = [error] * 6, gs._put

  def fails(name, content):
    if failures:
      raise failures.pop()
    put(name, content)

  monkeypatch.setattr(gs, '_put', fails)
  between = []
  gs.write('a', b'x', lambda: between.append(1))
  assert slept == [1, 2, 4, 8, 16, 30] and len(between) == 6
  assert gs.read('a') == b'x'
  assert caplog.text.count("mirror='gs://b/run': a cannot be written: ") == 6
  assert 'It is tried again, for 300 s yet.' in caplog.text


@pytest.mark.parametrize('error', _STAYING, ids=repr)
def test_what_does_not_pass_is_an_error_at_once(gs, slept, monkeypatch, error):
  def fails(name, content):
    raise error

  monkeypatch.setattr(gs, '_put', fails)
  with pytest.raises(OSError, match="mirror='gs://b/run': a cannot be writt"):
    gs.write('a', b'x')
  assert not slept


def test_patience_ends(gs, slept, monkeypatch):
  def fails(name, content):
    raise ConnectionError('no route to host')

  monkeypatch.setattr(gs, '_put', fails)
  with pytest.raises(
      buckets.Unreachable, match='cannot be written: no route to host.$'):
    gs.write('a', b'x')
  assert 200 < sum(slept) <= mirror_folder.PATIENCE_SECONDS


class _Down(memory.MemoryFileSystem):
  """A bucket that cannot be reached. Then fsspec says that nothing is one."""

  cachable = False

  def ls(self, path, detail=True, **kwargs):
    raise ConnectionRefusedError(111, 'Connection refused')

  info = ls


def test_what_cannot_be_reached_is_not_empty(slept, monkeypatch):
  monkeypatch.setattr(backend.fsspec_backend, 'fs', lambda path: _Down())
  assert not epath.Path('gs://b/run').is_dir()
  folder = mirror_folder.Folder('gs://b/run')
  for look in (folder.names, folder.entries):
    with pytest.raises(OSError, match='it cannot be read: Connection refused'):
      look()
  assert slept


def test_a_missing_bucket_is_named(gs, monkeypatch):
  def fails(self, content):
    raise FileNotFoundError('https://storage.googleapis.com/upload/b/o?name=x')

  monkeypatch.setattr(epath.gpath.PosixGPath, 'write_bytes', fails)
  with pytest.raises(OSError, match='a cannot be written: there is no such '
                                    'bucket, or it may not be seen.'):
    gs.write('a', b'x')


def test_what_others_write_to_a_bucket_is_seen():
  class Bucket(memory.MemoryFileSystem):
    protocol = 'gcs', 'gs'
    cachable = False

  before = {name: dict(x) for name, x in fsspec.config.conf.items()}
  try:
    fsspec.config.conf['gcs'] = {'token': 'anon'}
    buckets.see_changes_of_others()
    assert Bucket().storage_options == {
        'token': 'anon', 'use_listings_cache': False}
  finally:
    fsspec.config.conf.clear()
    fsspec.config.conf.update(before)


def test_no_folder_is_made_in_a_bucket(gs, monkeypatch):
  """Which costs requests, and a right that is not needed."""
  def fails(*_, **__):
    raise PermissionError

  monkeypatch.setattr(epath.gpath.PosixGPath, 'mkdir', fails)
  gs.write('journals/a', b'x')
  assert gs.read('journals/a') == b'x' and not os.path.exists('gs:')
