"""Where items lie on the map of a pool, and which of them are shown."""

import sys
import types

import numpy as np
import pytest

from mmal_jax.analysis import map_2d
from mmal_jax.analysis.report_page import pool_map


def test_the_two_directions_are_those_of_a_singular_value_decomposition():
  rng = np.random.default_rng(0)
  rows = rng.normal(size=(300, 40)) * np.r_[9.0, 5.0, np.ones(38)] + 7
  places, shares = map_2d.pca(rows)
  centred = rows - rows.mean(0)
  u, s, _ = np.linalg.svd(centred, full_matrices=False)
  for k in range(2):
    true = u[:, k] * s[k]
    sign = np.sign(true @ places[:, k])
    np.testing.assert_allclose(places[:, k], sign * true, atol=1e-3)
  np.testing.assert_allclose(shares, s[:2] ** 2 / np.sum(s ** 2), rtol=1e-4)
  np.testing.assert_array_equal(map_2d.pca(rows)[0], places)
  # Whatever the signs of the rows, the largest is positive.
  assert (places[np.abs(places).argmax(0), [0, 1]] > 0).all()


@pytest.mark.parametrize('shape', [(1, 5), (2, 5), (3, 1), (200, 1), (2, 1)])
def test_few_rows_or_columns(shape):
  rows = np.random.default_rng(0).normal(size=shape)
  places, shares = map_2d.pca(rows)
  assert places.shape == (shape[0], 2) and np.isfinite(places).all()
  assert shares.sum() == pytest.approx(float(shape[0] > 1))


def test_rows_that_are_alike_lie_in_one_place():
  places, shares = map_2d.pca(np.full((50, 7), 0.1, np.float32))
  assert not places.any() and not shares.any()
  assert 'M500 500h0' in pool_map.drawn({'a': pool_map.Panel(
      np.arange(2), places[:2], 2, ['x', 'y'], np.zeros(2, int),
      np.zeros(2, int), '')}, 0)


def test_what_was_asked_is_kept():
  found = map_2d.some_items(10_000, [9_999, 3, 3], 100)
  assert len(found) == 100 and {3, 9_999} <= {*found}
  assert (np.diff(found) > 0).all()
  kept = np.arange(0, 10_000, 10)
  found = map_2d.some_items(10_000, kept, 100)
  assert {*kept} <= {*found} and len(found) == len(kept) + 50


def test_a_missing_package_names_its_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, 'umap', None)
  with pytest.raises(ImportError, match=r'pip install "mmal_jax\[umap\]"'):
    map_2d.umap(np.ones((9, 3)))


def test_umap_is_asked_for_two_components(monkeypatch):
  asked = {}

  class Umap:

    def __init__(self, **options):
      asked.update(options)

    def fit_transform(self, rows):
      return rows[:, :2]

  monkeypatch.setitem(sys.modules, 'umap', types.SimpleNamespace(UMAP=Umap))
  rows = np.random.default_rng(0).normal(size=(9, 3))
  np.testing.assert_allclose(map_2d.umap(rows), rows[:, :2], rtol=1e-6)
  assert (asked['n_components'], asked['n_neighbors']) == (2, 8)
  assert map_2d.umap(rows[:3]).shape == (3, 2)


def test_when_an_item_was_asked_or_named():
  queries = [
      {'round': 1, 'asked': [['image', 4]], 'answers': [[4, 7]]},
      {'round': 2, 'asked': [['text', 7], ['image', 5]],
       'answers': [[4, 7], [-1, -1]]}]
  assert pool_map.when(queries, ('image', 'text')) == {
      'image': {4: (1, pool_map.ASKED), 5: (2, pool_map.ASKED)},
      'text': {7: (2, pool_map.ASKED)}}
