"""Neighbours by an index, against all products in NumPy and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire import whole
from mmal_jax.acquire.kernels import inverted_lists
from mmal_jax.acquire.kernels import pseudo_alignment
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.matching import approximate
from mmal_jax.matching import match as match_lib
from mmal_jax.matching import plan
from mmal_jax.parallel import sharding

pytestmark = pytest.mark.usefixtures('quick_compilation')
_METRICS = {'cosine': metric_lib.COSINE, 'sqeuclidean': metric_lib.SQEUCLIDEAN}


def _clustered(n, seed, d=12, centres=25):
  middle = np.random.default_rng(99).normal(size=(centres, d))
  rng = np.random.default_rng(seed)
  return (middle[rng.integers(centres, size=n)]
          + 0.3 * rng.normal(size=(n, d))).astype(np.float32)


def _view(x, remaining=None, metric=metric_lib.COSINE):
  remaining = np.ones(len(x), bool) if remaining is None else remaining
  return views_lib.View(
      jnp.asarray(x), jnp.asarray(remaining), jnp.asarray(x[:1]),
      jnp.zeros(1, bool), metric=metric)


def _index(view, cells):
  return inverted_lists.build(
      view.pool, view.remaining, jax.random.key(1), cells, view.metric)


def _exact(x, y, remaining, k, metric):
  """The k most similar rows of y, ties to the lowest; -1 where there are none.
  """
  x, y = x.astype(float), y.astype(float)
  if metric == 'cosine':
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    scores = x @ y.T
  else:
    scores = -np.square(x[:, None] - y[None]).sum(-1)
  scores = np.where(remaining, scores, -np.inf)
  order = np.argsort(-scores, axis=1, kind='stable')[:, :k]
  scores = np.take_along_axis(scores, order, axis=1)
  pad = ((0, 0), (0, k - order.shape[1]))
  found = np.where(scores > -np.inf, order, -1)
  return (np.pad(found, pad, constant_values=-1),
          np.pad(scores, pad, constant_values=-np.inf))


@pytest.mark.parametrize('metric', _METRICS)
@pytest.mark.parametrize('n,m,cells', [
    (1, 1, 1), (1, 300, 7), (40, 3, 5), (130, 700, 26)])
def test_all_cells_give_the_exact_answer(n, m, cells, metric):
  x, y = _clustered(n, 0), _clustered(m, 1)
  remaining = np.random.default_rng(2).random(m) < 0.7
  remaining[0] = True
  view = _view(y, remaining, _METRICS[metric])
  index = _index(view, cells)
  with tile_sizes.instead(('best_matches', tile_sizes.Tile(64, 64))):
    found, scores = inverted_lists.search(
        index, jnp.asarray(x), 5, len(index.centres), view.metric)
  expected, similarities = _exact(x, y, remaining, 5, metric)
  np.testing.assert_array_equal(found, expected)
  np.testing.assert_allclose(scores, similarities, atol=3e-5)


def test_cells_hold_what_remains_and_nothing_else():
  y = _clustered(200, 0)
  remaining = np.arange(200) % 3 > 0
  index = _index(_view(y, remaining), 9)
  begin, order = np.asarray(index.begin), np.asarray(index.order)
  assert begin[0] == 0 and begin[-1] == remaining.sum()
  np.testing.assert_array_equal(np.sort(order), np.arange(200))
  assert remaining[order[:begin[-1]]].all()
  np.testing.assert_array_equal(index.values, y[order])
  for first, last in zip(begin, begin[1:]):
    assert (np.diff(order[first:last]) > 0).all()


def test_ties_go_to_the_lowest_row_also_between_cells():
  """Each row is there four times, and cells are empty for want of others."""
  y = np.repeat(np.eye(4, dtype=np.float32), 4, axis=0)
  y = y[np.random.default_rng(0).permutation(16)]
  index = _index(_view(y), 12)
  cells = len(index.centres)
  assert np.any(np.diff(index.begin) == 0)
  found, _ = inverted_lists.search(
      index, jnp.asarray(y), 6, cells, metric_lib.COSINE)
  expected, _ = pseudo_alignment.best_matches(_view(y), _view(y), 6)
  np.testing.assert_array_equal(found, expected)


def test_nothing_is_found_where_nothing_remains():
  y = _clustered(20, 0)
  index = _index(_view(y, np.zeros(20, bool)), 4)
  found, scores = inverted_lists.search(
      index, jnp.asarray(y), 3, 2, metric_lib.COSINE)
  assert (np.asarray(found) == -1).all() and np.isneginf(scores).all()
  found = approximate.best_matches(
      _view(y), _view(y, np.zeros(20, bool)), 3, 0.9)
  assert (np.asarray(found.indices) == -1).all()


@pytest.mark.long
def test_recall_by_cells_is_what_a_search_finds():
  x, y = _clustered(150, 0), _clustered(900, 1)
  remaining = np.random.default_rng(3).random(900) < 0.8
  view = _view(y, remaining)
  index, (exact, _) = _index(view, 30), _exact(x, y, remaining, 7, 'cosine')
  shares = inverted_lists.recalls(
      index, jnp.asarray(x), jnp.asarray(exact), view.metric)
  assert shares.shape == (150, 30)
  for probes in (1, 2, 5, 30):
    found, _ = inverted_lists.search(
        index, jnp.asarray(x), 7, probes, view.metric)
    expected = [np.isin(a, b).mean() for a, b in zip(exact, np.asarray(found))]
    np.testing.assert_allclose(shares[:, probes - 1], expected, atol=1e-6)
  np.testing.assert_allclose(shares[:, -1], 1)


@pytest.mark.long
@pytest.mark.parametrize('recall', [0.5, 0.9, 0.99])
def test_the_recall_that_is_stated_is_reached_with_few_cells(recall):
  x, y = _clustered(600, 0), _clustered(4000, 1)
  found = approximate.best_matches(_view(x), _view(y), 10, recall)
  exact, _ = _exact(x, y, np.ones(len(y), bool), 10, 'cosine')
  reached = np.mean([
      np.isin(a, b).mean() for a, b in zip(exact, np.asarray(found.indices))])
  assert reached >= recall
  assert abs(found.recall - reached) < 0.03
  assert found.cells == 63 and found.probes < 20


@pytest.mark.long
def test_edges_by_an_index_are_nearly_all_and_say_how_many():
  x, y = _clustered(300, 0), _clustered(500, 1)
  x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
  there = [np.random.default_rng(i).random(len(v)) < 0.8
           for i, v in enumerate((x, y))]
  exact = plan.edges(jnp.asarray(x), jnp.asarray(y), *there, 5)
  found = plan.edges(jnp.asarray(x), jnp.asarray(y), *there, 5, recall=0.9)
  assert exact.recalls is None and min(found.recalls) > 0.85
  pairs, all_pairs = (set(zip(e.x.tolist(), e.y.tolist()))
                      for e in (found, exact))
  assert len(pairs & all_pairs) >= 0.9 * len(all_pairs)
  assert there[0][found.x].all() and there[1][found.y].all()
  assert plan.without(found, np.array([[0, 0]])).recalls == found.recalls


def test_what_cannot_be_asked_for_is_refused():
  x = _clustered(16, 0)
  for recall in (0.0, 1.0, 1.5, float('nan')):
    with pytest.raises(ValueError, match='recall='):
      approximate.best_matches(_view(x), _view(x), 2, recall)
  inner = _view(x, metric=metric_lib.INNER)
  with pytest.raises(ValueError, match='COSINE or SQEUCLIDEAN'):
    approximate.best_matches(inner, inner, 2, 0.9)
  rows = sharding.row_sharding()
  spread = views_lib.View(
      jax.device_put(x, rows), jax.device_put(np.ones(16, bool), rows),
      jnp.asarray(x[:1]), jnp.zeros(1, bool))
  with pytest.raises(whole.Sharded, match='one device'):
    approximate.best_matches(spread, spread, 2, 0.9)


@pytest.mark.long
def test_match_by_an_index_finds_nearly_the_same_pairs():
  rng = np.random.default_rng(0)
  hidden = rng.normal(size=(300, 6))
  images, texts = (
      (hidden @ rng.normal(size=(6, d))).astype(np.float32) for d in (12, 9))
  known = np.stack([np.arange(60)] * 2, axis=1)
  exact = match_lib.match(images, texts, known)
  found = match_lib.match(images, texts, known, recall=0.8)
  assert exact.images.recall is None and exact.texts.recall is None
  assert min(found.images.recall, found.texts.recall) > 0.7
  same = found.images.counterparts[:, 0] == exact.images.counterparts[:, 0]
  assert same.mean() > 0.8
  with pytest.raises(ValueError, match=r'recall=1.0 must be .* \(0, 1\)'):
    match_lib.match(images, texts, known, recall=1.0)
