"""Embeddings on disk: the same as in memory, resumed, redone when changed."""

import jax
import numpy as np
import pytest

from mmal_jax import embed
from mmal_jax import embed_disk
from mmal_jax import sharding
from mmal_jax.data import encode
from mmal_jax.models import partition


@pytest.fixture
def items(tiny_run):
  return tiny_run.data.pool.items['image']  # 40 rows


class Embedder:
  """Embeds to a folder and keeps count of the rows that it took."""

  def __init__(self, run, folder):
    self.run, self.folder, self.taken = run, folder, []

  def __call__(self, items, params=None, modality='image', **config):
    self.taken = []
    return embed_disk.embed_to_disk(
        self.folder, self.run.learner.graphdef,
        self.run.params if params is None else params, items, modality,
        batch_size=8, progress=lambda *rows: self.taken.append(rows), **config)


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
  assert to_disk.taken == [(i, i + 8) for i in range(0, 40, 8)]
  np.testing.assert_allclose(
      _rows(to_disk(items)), _expected(tiny_run, items), atol=1e-6)
  assert not to_disk.taken


class Killed(BaseException):
  pass


def test_goes_on_where_it_was_stopped(to_disk, tiny_run, items, tmp_path):
  def stop(first, done):
    del first
    if done == 24:
      raise Killed

  with pytest.raises(Killed):
    embed_disk.embed_to_disk(
        to_disk.folder, tiny_run.learner.graphdef, tiny_run.params, items,
        'image', batch_size=8, save_every=2, progress=stop)
  # The third batch was not noted any more.
  rows = to_disk(items)
  assert to_disk.taken == [(16, 24), (24, 32), (32, 40)]
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


def test_other_items_and_torn_files_begin_anew(to_disk, tiny_run, items):
  to_disk(items)
  other = encode.Items(items.values[::-1].copy(), items.ids)
  np.testing.assert_allclose(
      _rows(to_disk(other)), _expected(tiny_run, other), atol=1e-6)
  for name, content in (('image.json', b'{"dig'), ('image.npy', b'\x93NUM'),
                        ('image.json', b'[]')):
    (to_disk.folder / name).write_bytes(content)
    np.testing.assert_allclose(
        _rows(to_disk(other)), _expected(tiny_run, other), atol=1e-6)
    assert len(to_disk.taken) == 5
  fewer = encode.Items(items.values[:20], items.ids[:20])
  assert len(to_disk(fewer)) == 20


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
  with pytest.raises(ValueError, match='save_every=0 must be at least 1'):
    to_disk(items, save_every=0)
