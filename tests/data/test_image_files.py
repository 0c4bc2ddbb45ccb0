"""Lazy images: decoded in order and ahead of use; failures reach the user."""

import threading
import time

import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import schema
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess

SIZE = 6


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Twelve PNGs of noise; the last is a copy of the first."""
  path = tmp_path_factory.mktemp('images')
  rng = np.random.default_rng(0)
  for i in range(11):
    noise = rng.integers(256, size=(5 + i, 16 - i, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path / f'{i}.png')
  (path / '11.png').write_bytes((path / '0.png').read_bytes())
  return path


def _files(folder):
  paths = [folder / f'{i}.png' for i in range(12)]
  return image_files.ImageFiles(paths, preprocess.Preprocess(SIZE, SIZE))


def _expected(folder, rows):
  """By Pillow alone."""
  return np.stack([
      np.asarray(Image.open(folder / f'{row}.png').resize(
          (SIZE, SIZE), Image.Resampling.BICUBIC)) for row in rows])


def _threads():
  return [t for t in threading.enumerate() if t.name.startswith('ImageFiles')]


def test_take_and_select(folder):
  files = _files(folder)
  assert files.shape == (12, SIZE, SIZE, 3) and len(files) == 12
  assert files.dtype == np.uint8
  rows = np.array([3, 0, 3, 11])
  pixels = files.take(rows)
  assert pixels.dtype == np.uint8
  np.testing.assert_array_equal(pixels, _expected(folder, rows))
  some = files.select(rows)
  assert some.shape == (4, SIZE, SIZE, 3)
  np.testing.assert_array_equal(
      some.take(np.array([1, 3])), _expected(folder, [0, 11]))
  assert files.take(np.array([], int)).shape == (0, SIZE, SIZE, 3)
  assert len(files.select(np.array([], int))) == 0


@pytest.mark.parametrize('rows,error', [
    ([12], IndexError), ([-1], IndexError), ([0.], TypeError),
    ([[0]], TypeError), ([True], TypeError)])
def test_rows_are_checked(folder, rows, error):
  files = _files(folder)
  for read in (files.take, files.select, lambda r: list(files.stream([r]))):
    with pytest.raises(error, match='rows'):
      read(np.array(rows))


@pytest.mark.parametrize('ahead', [1, 2, 9])
def test_stream_is_in_order(folder, ahead):
  rng = np.random.default_rng(ahead)
  batches = [rng.integers(12, size=m) for m in (4, 1, 0, 5, 7)]
  stream = _files(folder).stream(iter(batches), ahead)
  for rows, pixels in zip(batches, stream, strict=True):
    assert pixels.shape == (len(rows), SIZE, SIZE, 3)
    if len(rows):
      np.testing.assert_array_equal(pixels, _expected(folder, rows))
  assert not _threads()


def test_stream_works_ahead_but_no_further(folder, monkeypatch):
  files = _files(folder)
  decoded = []
  monkeypatch.setattr(files, '_decode', lambda row, out: decoded.append(row))
  asked = []

  def batches():
    for row in range(10):
      asked.append(row)
      yield np.array([row])

  stream = files.stream(batches(), ahead=3)
  assert not asked
  next(stream)
  deadline = time.monotonic() + 5
  while len(decoded) < 4 and time.monotonic() < deadline:
    time.sleep(0.001)
  assert sorted(decoded) == asked == [0, 1, 2, 3]
  stream.close()


def test_closing_early_leaves_no_threads(folder, monkeypatch):
  files = _files(folder)
  gate, decoded = threading.Event(), []

  def decode(row, out):
    gate.wait(5)
    decoded.append(row)

  stream = files.stream([np.arange(12)] * 50, ahead=40)
  next(stream)
  assert _threads()
  stream.close()
  assert not _threads()
  monkeypatch.setattr(files, '_decode', decode)
  stream = files.stream([np.array([], int)] + [np.arange(12)] * 50, ahead=40)
  next(stream)
  threading.Timer(0.05, gate.set).start()
  stream.close()
  assert not _threads()
  assert len(decoded) < 100  # those that waited were dropped


@pytest.mark.long
@pytest.mark.parametrize('damage', ['gone', 'cut', 'text'])
def test_damaged_files_are_named(folder, tmp_path, damage):
  path = tmp_path / 'bad.png'
  if damage != 'gone':
    path.write_bytes((folder / '1.png').read_bytes()[:60] if damage == 'cut'
                     else b'not an image')
  files = image_files.ImageFiles(
      [folder / '0.png', path], preprocess.Preprocess(SIZE, SIZE))
  with pytest.raises(ValueError, match='bad.png.* cannot be read'):
    files.take(np.array([0, 1]))
  stream = files.stream([np.array([0]), np.array([1]), np.array([0])], ahead=2)
  np.testing.assert_array_equal(next(stream), _expected(folder, [0]))
  with pytest.raises(ValueError, match='bad.png'):
    next(stream)
  assert not _threads()


def test_an_error_of_the_batches_reaches_the_consumer(folder):
  def batches():
    yield np.array([0])
    raise KeyError('mine')

  with pytest.raises(KeyError, match='mine'):
    list(_files(folder).stream(batches()))
  assert not _threads()


def test_ahead_is_checked(folder):
  with pytest.raises(ValueError, match='ahead=0'):
    _files(folder).stream([], ahead=0)


def test_ids_by_bytes(folder, tmp_path):
  files = _files(folder).select(np.array([2, 0, 5, 11, 2]))
  ids = image_files.item_ids(files)
  assert ids.dtype == np.int32
  np.testing.assert_array_equal(ids, [0, 1, 2, 1, 0])
  raw = [path.read_bytes() for path in files.paths]
  np.testing.assert_array_equal(
      ids, schema.item_ids([x.decode('latin1') for x in raw]))
  gone = image_files.ImageFiles([tmp_path / 'gone.png'], files.preprocess)
  with pytest.raises(ValueError, match='gone.png'):
    image_files.item_ids(gone)
