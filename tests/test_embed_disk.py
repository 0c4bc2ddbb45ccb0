"""Embeddings on disk: the same as in memory, resumed, redone when changed."""

import io

import jax
import numpy as np
import pytest

from mmal_jax import embed
from mmal_jax import embed_disk
from mmal_jax import progress
from mmal_jax import sharding
from mmal_jax.data import encode
from mmal_jax.models import partition


@pytest.fixture
def items(tiny_run):
  return tiny_run.data.pool.items['image']  # 40 rows


class Killed(BaseException):
  pass


class Embedder:
  """Embeds to a folder and keeps count of the batches that it took."""

  def __init__(self, run, folder):
    self.run, self.folder, self.taken, self.is_kept = run, folder, [], None

  def __call__(self, items, params=None, modality='image', stop=None):
    self.taken = []

    def show(of, total, what):
      assert what == f'embedding {modality}s'
      for step in of:
        if len(self.taken) == stop:
          raise Killed
        self.taken.append((step, total))
        yield step

    with progress.shown_by(show):
      rows, self.is_kept = embed_disk.embed_to_disk(
          self.folder, self.run.learner.graphdef,
          self.run.params if params is None else params, items, modality,
          batch_size=8)
    return rows

  def find(self, params=None, modality='image', prepared=''):
    return embed_disk.find(
        self.folder, self.run.learner.graphdef,
        self.run.params if params is None else params, modality, prepared)


@pytest.fixture
def to_disk(tiny_run, tmp_path):
  return Embedder(tiny_run, tmp_path / 'embeddings')


def _expected(run, items, params=None, modality='image'):
  return np.asarray(embed.embed(
      run.learner.graphdef, run.params if params is None else params,
      items.values, modality))


def _rows(rows):
  return rows.take(np.arange(len(rows)))


def test_same_as_in_memory_and_done_once(to_disk, tiny_run, items):
  np.testing.assert_allclose(
      _rows(to_disk(items)), _expected(tiny_run, items), atol=1e-6)
  assert to_disk.taken == [(i, 5) for i in range(0, 40, 8)]
  np.testing.assert_allclose(
      _rows(to_disk(items)), _expected(tiny_run, items), atol=1e-6)
  assert not to_disk.taken


def test_goes_on_where_it_was_stopped(to_disk, tiny_run, items):
  with pytest.raises(Killed):
    to_disk(items, stop=4)  # The fourth is not back from the device.
  assert len(to_disk.find().rows) == 24 and to_disk.find().unfinished == 16
  rows = to_disk(items)
  assert to_disk.taken == [(0, 2), (8, 2)]
  np.testing.assert_array_equal(to_disk.is_kept, np.arange(40) < 24)
  np.testing.assert_allclose(
      _rows(rows), _expected(tiny_run, items), atol=1e-6)


def _changed(params, name):
  return jax.tree_util.tree_map_with_path(
      lambda path, x: x * 1.5 if name in jax.tree_util.keystr(path) else x,
      params)


def test_only_a_tower_that_changed_is_run_again(to_disk, tiny_run, items):
  texts = tiny_run.data.pool.items['text']
  to_disk(items)
  to_disk(texts, modality='text')
  params = _changed(tiny_run.params, 'text_tower')
  to_disk(items, params)
  assert not to_disk.taken
  rows = to_disk(texts, params, modality='text')
  assert len(to_disk.taken) == 5
  expected = _expected(tiny_run, texts, params, 'text')
  np.testing.assert_allclose(_rows(rows), expected, atol=1e-6)
  assert not np.allclose(
      expected, _expected(tiny_run, texts, modality='text'), atol=1e-3)
  # Others' scale does not matter, one's own projection does.
  to_disk(items, _changed(tiny_run.params, 'logit_scale'))
  assert not to_disk.taken
  to_disk(items, _changed(tiny_run.params, 'image_projection'))
  assert len(to_disk.taken) == 5


def test_torn_files_begin_anew(to_disk, tiny_run, items):
  to_disk(items)
  for name, content in (('image.json', b'{"dig'), ('image.npy', b'\x93NUM'),
                        ('image.json', b'[]'), ('image.items', b'xx'),
                        ('image.npy', b''), ('image.npy', _npy(np.float32(3))),
                        ('image.npy', _npy(np.zeros((40, 0), np.float32))),
                        ('image.npy', _npy(np.zeros((40, 8), object))),
                        ('image.json', b'[' * 10**5)):
    (to_disk.folder / name).write_bytes(content)
    assert 'damaged, or of another version' in to_disk.find().why
    np.testing.assert_allclose(
        _rows(to_disk(items)), _expected(tiny_run, items), atol=1e-6)
    assert len(to_disk.taken) == 5


def _npy(array):
  file = io.BytesIO()
  np.save(file, array)
  return file.getvalue()


@pytest.mark.parametrize('order', [
    [*range(12), 3], [5, *range(12), 5, 5, 0], [2] * 20])
def test_copies_among_the_items_leave_the_files_where_they_are(
    to_disk, tiny_run, items, order):
  def files():
    return [(path.stat().st_ino, path.stat().st_mtime_ns)
            for path in sorted(to_disk.folder.iterdir())]

  copies = _take(items, order)
  to_disk(copies)
  before = files()
  for _ in range(2):
    rows = to_disk(copies)
    assert to_disk.is_kept.all() and not to_disk.taken and files() == before
  np.testing.assert_allclose(
      _rows(rows), _expected(tiny_run, copies), atol=1e-6)
  # One of the copies is damaged: the other takes its place.
  path = to_disk.folder / 'image.npy'
  rows = np.load(path, mmap_mode='r+')
  rows[order.index(order[-1])] += 1
  rows.flush()
  rows = to_disk(copies)
  assert to_disk.is_kept.all() and not to_disk.taken
  np.testing.assert_allclose(
      _rows(rows), _expected(tiny_run, copies), atol=1e-6)


def _take(items, rows):
  return encode.Items(items.values[np.array(rows)], items.ids[np.array(rows)])


def test_rows_are_kept_by_their_content(to_disk, tiny_run, items):
  other = items.values.copy()
  other[:, 0] = 255 - other[:, 0]  # None is one of `items`.
  expected = _expected(tiny_run, items)
  to_disk(_take(items, range(30)))
  # One removed, two swapped, some copies, some new, one replaced.
  order = [5, 4, *range(6, 40), 7, 7]
  changed = _take(items, order)
  changed.values[10] = other[0]
  rows = to_disk(changed)
  assert (~to_disk.is_kept).sum() == 11  # 30 to 39 and the one replaced
  assert not to_disk.is_kept[10] and to_disk.is_kept[[0, 1, 36, 37]].all()
  np.testing.assert_allclose(
      _rows(rows), _expected(tiny_run, changed), atol=1e-6)
  np.testing.assert_allclose(
      _rows(to_disk(items)), expected, atol=1e-6)
  # What is not there any more is forgotten; the rest is not.
  assert to_disk.is_kept.sum() == 40 - 5 and to_disk.taken == [(0, 1)]


def test_a_row_counts_only_where_its_values_are_its_own(
    to_disk, tiny_run, items):
  to_disk(items)
  path = to_disk.folder / 'image.npy'
  rows = np.load(path, mmap_mode='r+')
  rows[[2, 9]] = rows[[9, 2]]  # as if stopped between two files
  rows[20, 3] += 1
  rows.flush()
  np.testing.assert_allclose(
      _rows(to_disk(items)), _expected(tiny_run, items), atol=1e-6)
  np.testing.assert_array_equal(
      np.flatnonzero(~to_disk.is_kept), [2, 9, 20])


def test_why_nothing_is_kept(to_disk, tiny_run, items):
  assert to_disk.find() == (to_disk.find().note, {}, (), None)
  to_disk(items)
  assert to_disk.find().why is None and len(to_disk.find().rows) == 40
  changed = _changed(tiny_run.params, 'image_tower')
  assert to_disk.find(changed).why == 'the weights of the model are others'
  assert to_disk.find(prepared='cut').why == (
      'images were prepared otherwise (; now cut)')
  (to_disk.folder / 'image.json').unlink()
  with pytest.raises(ValueError, match='image.npy exists, but not image.json'):
    to_disk(items)


def test_a_disk_without_room_is_named_before_it_is_needed(
    to_disk, items, monkeypatch):
  def full(*args):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(embed_disk.os, 'posix_fallocate', full)
  with pytest.raises(OSError, match='No space left on device.*image.npy'):
    to_disk(items)


def test_over_a_mesh(to_disk, tiny_run, items):
  mesh = sharding.make_mesh(4, 2)
  params = partition.place(tiny_run.params, mesh)
  ragged = encode.Items(items.values[:37], items.ids[:37])
  np.testing.assert_allclose(
      _rows(to_disk(ragged, params)), _expected(tiny_run, ragged), atol=1e-6)
  in_memory = embed.embed(
      tiny_run.learner.graphdef, params, ragged.values, 'image', 10)
  assert len(in_memory.devices()) == 1
  np.testing.assert_allclose(
      in_memory, _expected(tiny_run, ragged), atol=1e-6)


def test_nan_is_refused_with_its_row(to_disk, items):
  values = items.values.copy()
  values[21, 3] = np.nan
  with pytest.raises(ValueError, match='1 of 8 image .* first in row 21'):
    to_disk(encode.Items(values, items.ids))
