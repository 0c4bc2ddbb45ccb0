"""Embeddings on disk: the same as in memory, resumed, redone when changed."""

import io

import jax
import numpy as np
import pytest

from mmal_jax import progress
from mmal_jax.data import encode
from mmal_jax.embed import in_memory
from mmal_jax.embed import to_disk
from mmal_jax.models import partition
from mmal_jax.parallel import sharding


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
      rows, self.is_kept = to_disk.embed_to_disk(
          self.folder, self.run.learner.graphdef,
          self.run.params if params is None else params, items, modality,
          batch_size=8)
    return rows

  def find(self, params=None, modality='image', prepared=''):
    return to_disk.find(self.folder, modality, to_disk.note_of(
        self.run.learner.graphdef,
        self.run.params if params is None else params, modality, prepared))


@pytest.fixture
def on_disk(tiny_run, tmp_path):
  return Embedder(tiny_run, tmp_path / 'embeddings')


def _expected(run, items, params=None, modality='image'):
  return np.asarray(in_memory.embed(
      run.learner.graphdef, run.params if params is None else params,
      items.values, modality))


def _rows(rows):
  return rows.take(np.arange(len(rows)))


def test_same_as_in_memory_and_done_once(on_disk, tiny_run, items):
  np.testing.assert_allclose(
      _rows(on_disk(items)), _expected(tiny_run, items), atol=1e-6)
  assert on_disk.taken == [(i, 5) for i in range(0, 40, 8)]
  np.testing.assert_allclose(
      _rows(on_disk(items)), _expected(tiny_run, items), atol=1e-6)
  assert not on_disk.taken


def test_goes_on_where_it_was_stopped(on_disk, tiny_run, items):
  with pytest.raises(Killed):
    on_disk(items, stop=4)  # The fourth is not back from the device.
  assert len(on_disk.find().rows) == 24 and on_disk.find().unfinished == 16
  rows = on_disk(items)
  assert on_disk.taken == [(0, 2), (8, 2)]
  np.testing.assert_array_equal(on_disk.is_kept, np.arange(40) < 24)
  np.testing.assert_allclose(
      _rows(rows), _expected(tiny_run, items), atol=1e-6)


def _changed(params, name):
  return jax.tree_util.tree_map_with_path(
      lambda path, x: x * 1.5 if name in jax.tree_util.keystr(path) else x,
      params)


def test_only_a_tower_that_changed_is_run_again(on_disk, tiny_run, items):
  texts = tiny_run.data.pool.items['text']
  on_disk(items)
  on_disk(texts, modality='text')
  params = _changed(tiny_run.params, 'text_tower')
  on_disk(items, params)
  assert not on_disk.taken
  rows = on_disk(texts, params, modality='text')
  assert len(on_disk.taken) == 5
  expected = _expected(tiny_run, texts, params, 'text')
  np.testing.assert_allclose(_rows(rows), expected, atol=1e-6)
  assert not np.allclose(
      expected, _expected(tiny_run, texts, modality='text'), atol=1e-3)
  # Others' scale does not matter, one's own projection does.
  on_disk(items, _changed(tiny_run.params, 'logit_scale'))
  assert not on_disk.taken
  on_disk(items, _changed(tiny_run.params, 'image_projection'))
  assert len(on_disk.taken) == 5


def test_torn_files_begin_anew(on_disk, tiny_run, items):
  on_disk(items)
  for name, content in (('image.json', b'{"dig'), ('image.npy', b'\x93NUM'),
                        ('image.json', b'[]'), ('image.items', b'xx'),
                        ('image.npy', b''), ('image.npy', _npy(np.float32(3))),
                        ('image.npy', _npy(np.zeros((40, 0), np.float32))),
                        ('image.npy', _npy(np.zeros((40, 8), object))),
                        ('image.json', b'[' * 10**5)):
    (on_disk.folder / name).write_bytes(content)
    assert 'damaged, or of another version' in on_disk.find().why
    np.testing.assert_allclose(
        _rows(on_disk(items)), _expected(tiny_run, items), atol=1e-6)
    assert len(on_disk.taken) == 5


def _npy(array):
  file = io.BytesIO()
  np.save(file, array)
  return file.getvalue()


@pytest.mark.parametrize('order', [
    [*range(12), 3], [5, *range(12), 5, 5, 0], [2] * 20])
def test_copies_among_the_items_leave_the_files_where_they_are(
    on_disk, tiny_run, items, order):
  def files():
    return [(path.stat().st_ino, path.stat().st_mtime_ns)
            for path in sorted(on_disk.folder.iterdir())]

  copies = _take(items, order)
  on_disk(copies)
  before = files()
  for _ in range(2):
    rows = on_disk(copies)
    assert on_disk.is_kept.all() and not on_disk.taken and files() == before
  np.testing.assert_allclose(
      _rows(rows), _expected(tiny_run, copies), atol=1e-6)
  # One of the copies is damaged: the other takes its place.
  path = on_disk.folder / 'image.npy'
  rows = np.load(path, mmap_mode='r+')
  rows[order.index(order[-1])] += 1
  rows.flush()
  rows = on_disk(copies)
  assert on_disk.is_kept.all() and not on_disk.taken
  np.testing.assert_allclose(
      _rows(rows), _expected(tiny_run, copies), atol=1e-6)


def _take(items, rows):
  return encode.Items(items.values[np.array(rows)], items.ids[np.array(rows)])


def test_rows_are_kept_by_their_content(on_disk, tiny_run, items):
  other = items.values.copy()
  other[:, 0] = 255 - other[:, 0]  # None is one of `items`.
  expected = _expected(tiny_run, items)
  on_disk(_take(items, range(30)))
  # One removed, two swapped, some copies, some new, one replaced.
  order = [5, 4, *range(6, 40), 7, 7]
  changed = _take(items, order)
  changed.values[10] = other[0]
  rows = on_disk(changed)
  assert (~on_disk.is_kept).sum() == 11  # 30 to 39 and the one replaced
  assert not on_disk.is_kept[10] and on_disk.is_kept[[0, 1, 36, 37]].all()
  np.testing.assert_allclose(
      _rows(rows), _expected(tiny_run, changed), atol=1e-6)
  np.testing.assert_allclose(
      _rows(on_disk(items)), expected, atol=1e-6)
  # What is not there any more is forgotten; the rest is not.
  assert on_disk.is_kept.sum() == 40 - 5 and on_disk.taken == [(0, 1)]


def test_a_row_counts_only_where_its_values_are_its_own(
    on_disk, tiny_run, items):
  on_disk(items)
  path = on_disk.folder / 'image.npy'
  rows = np.load(path, mmap_mode='r+')
  rows[[2, 9]] = rows[[9, 2]]  # as if stopped between two files
  rows[20, 3] += 1
  rows.flush()
  np.testing.assert_allclose(
      _rows(on_disk(items)), _expected(tiny_run, items), atol=1e-6)
  np.testing.assert_array_equal(
      np.flatnonzero(~on_disk.is_kept), [2, 9, 20])


def test_why_nothing_is_kept(on_disk, tiny_run, items):
  assert on_disk.find() == (on_disk.find().note, {}, (), None)
  on_disk(items)
  assert on_disk.find().why is None and len(on_disk.find().rows) == 40
  changed = _changed(tiny_run.params, 'image_tower')
  assert on_disk.find(changed).why == 'the weights of the model are others'
  assert on_disk.find(prepared='cut').why == (
      'images were prepared otherwise (; now cut)')
  (on_disk.folder / 'image.json').unlink()
  with pytest.raises(ValueError, match='image.npy exists, but not image.json'):
    on_disk(items)


def test_a_disk_without_room_is_named_before_it_is_needed(
    on_disk, items, monkeypatch):
  def full(*args):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(to_disk.os, 'posix_fallocate', full)
  with pytest.raises(OSError, match='No space left on device.*image.npy'):
    on_disk(items)


def test_over_a_mesh(on_disk, tiny_run, items):
  mesh = sharding.make_mesh(4, 2)
  params = partition.place(tiny_run.params, mesh)
  ragged = encode.Items(items.values[:37], items.ids[:37])
  np.testing.assert_allclose(
      _rows(on_disk(ragged, params)), _expected(tiny_run, ragged), atol=1e-6)
  embedded = in_memory.embed(
      tiny_run.learner.graphdef, params, ragged.values, 'image', 10)
  # Each device has the rows that it embedded, and they are filled up.
  assert {part.data.shape[0] for part in embedded.addressable_shards} == {5}
  assert sharding.rows_of(embedded) == partition.batch_rows(mesh)
  embedded = embedded[:37]
  np.testing.assert_allclose(
      embedded, _expected(tiny_run, ragged), atol=1e-6)


def test_nan_is_refused_with_its_row(on_disk, items):
  values = items.values.copy()
  values[21, 3] = np.nan
  with pytest.raises(ValueError, match='1 of 8 image .* first in row 21'):
    on_disk(encode.Items(values, items.ids))
