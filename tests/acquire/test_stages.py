"""The three stages against ten-line NumPy references."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import coreset
from mmal_jax.acquire import modality
from mmal_jax.acquire import uncertainty
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import matches
from tests.support import reference

_TOLERANCE = 2e-6  # of float32 cosines


def _unit(rng, n, d):
  x = rng.normal(size=(n, d))
  return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def _axes(rng, n, d):
  """Rows ±e_i: cosines are exact, and nearly all of them tie."""
  x = np.zeros((n, d), np.float32)
  x[np.arange(n), rng.integers(d, size=n)] = rng.choice([-1, 1], n)
  return x


def _duplicated(rng, n, d):
  return _unit(rng, max(1, n // 4), d)[rng.integers(max(1, n // 4), size=n)]


def _view(rng, make, n, a, d=6):
  """A view with padding rows in the aligned set and items gone."""
  aligned = np.concatenate([make(rng, a, d), np.ones((3, d), np.float32)])
  remaining = rng.random(n) < 0.8
  remaining[rng.integers(n)] = True
  return views_lib.View(
      jnp.asarray(make(rng, n, d)), jnp.asarray(remaining),
      jnp.asarray(aligned), jnp.arange(a + 3) < a)


def _arrays(view):
  pool, remaining, aligned, mask = map(np.asarray, (
      view.pool, view.remaining, view.aligned, view.aligned_mask))
  return pool, remaining, aligned[mask]


_replace = dataclasses.replace


@pytest.mark.parametrize('make', [_unit, _axes, _duplicated])
@pytest.mark.parametrize('n,a', [(1, 1), (2, 3), (37, 5), (150, 20)])
def test_coverage_gap(make, n, a):
  view = _view(np.random.default_rng([n, a]), make, n, a)
  np.testing.assert_allclose(
      modality.coverage_gap(view), reference.coverage_gap(*_arrays(view)),
      atol=_TOLERANCE)


def test_coverage_gap_of_nothing():
  rng = np.random.default_rng(0)
  view = _view(rng, _unit, 5, 2)
  none_aligned = _replace(view, aligned_mask=jnp.zeros(5, bool))
  assert modality.coverage_gap(none_aligned) == np.inf
  none_left = _replace(view, remaining=jnp.zeros(5, bool))
  assert modality.coverage_gap(none_left) == -np.inf


def test_coverage_gap_spans_tiles():
  rng = np.random.default_rng(3)
  view = _view(rng, _unit, 4096 + 7, 4)
  np.testing.assert_allclose(
      modality.coverage_gap(view), reference.coverage_gap(*_arrays(view)),
      atol=_TOLERANCE)


def test_select_modality_takes_the_worse_covered():
  east, north = jnp.eye(2)
  near = views_lib.View(
      east[None], jnp.ones(1, bool), east[None], jnp.ones(1, bool))
  far = _replace(near, pool=north[None])
  assert modality.select_modality({'image': near, 'text': far}) == 'text'
  assert modality.select_modality({'image': far, 'text': near}) == 'image'
  assert modality.select_modality({'image': far, 'text': far}) == 'image'


def _assert_greedy(view, picks, k):
  """Every pick is, up to rounding, as far away as the farthest there is."""
  pool, remaining, aligned = _arrays(view)
  expected = min(k, remaining.sum())
  assert (picks[expected:] == -1).all()
  picks = picks[:expected]
  assert len(set(picks.tolist())) == expected and remaining[picks].all()
  centres, left = list(aligned), remaining.copy()
  for pick in picks:
    gaps = reference.distances(pool, np.array(centres)).min(axis=1)
    assert gaps[pick] >= gaps[left].max() - _TOLERANCE
    left[pick] = False
    centres.append(pool[pick])


@pytest.mark.parametrize('n,a,k', [
    (1, 1, 1), (1, 1, 4), (9, 2, 20), (60, 4, 25), (300, 10, 40)])
def test_coreset_random(n, a, k):
  for seed in range(5):
    view = _view(np.random.default_rng([seed, n]), _unit, n, a)
    picks = np.asarray(coreset.select_coreset(view, k))
    expected = reference.coreset(*_arrays(view), k)
    assert picks[:len(expected)].tolist() == expected
    assert (picks[len(expected):] == -1).all()


@pytest.mark.parametrize('n,a,k', [(1, 1, 1), (12, 2, 12), (80, 3, 60)])
def test_coreset_ties_go_to_the_lowest_index(n, a, k):
  for seed in range(5):
    view = _view(np.random.default_rng([seed, n]), _axes, n, a)
    picks = np.asarray(coreset.select_coreset(view, k))
    expected = reference.coreset(*_arrays(view), k)
    assert picks[:len(expected)].tolist() == expected


@pytest.mark.parametrize('n,a,k', [(8, 1, 8), (100, 5, 60)])
def test_coreset_duplicates_are_picked_once(n, a, k):
  for seed in range(5):
    view = _view(np.random.default_rng([seed, n]), _duplicated, n, a)
    _assert_greedy(view, np.asarray(coreset.select_coreset(view, k)), k)


def test_coreset_without_aligned_items():
  rng = np.random.default_rng(0)
  view = _replace(
      _view(rng, _unit, 30, 1), aligned_mask=jnp.zeros(4, bool))
  pool, remaining, _ = _arrays(view)
  assert (np.asarray(coreset.select_coreset(view, 6)).tolist()
          == reference.coreset(pool, remaining, [], 6))


@pytest.mark.parametrize('make', [_unit, _axes, _duplicated])
@pytest.mark.parametrize('c,n', [(1, 1), (1, 2), (5, 40), (300, 70)])
def test_margins(make, c, n):
  rng = np.random.default_rng([c, n])
  view, other = _view(rng, make, c, 1), _view(rng, make, n, 1)
  pool, remaining, _ = _arrays(other)
  found = matches.match(jnp.arange(c), view, other)
  np.testing.assert_allclose(
      uncertainty.margins(found),
      reference.margins(np.asarray(view.pool), pool, remaining),
      atol=_TOLERANCE)


def test_margin_of_a_single_answer_is_infinite():
  rng = np.random.default_rng(0)
  view = _view(rng, _unit, 3, 1)
  one_left = _replace(view, remaining=jnp.array([False, True, False]))
  found = matches.match(jnp.arange(2), view, one_left)
  assert uncertainty.margins(found).tolist() == [np.inf, np.inf]


@pytest.mark.parametrize('make', [_unit, _axes])
@pytest.mark.parametrize('n,c,k', [(1, 1, 1), (30, 12, 5), (30, 12, 20)])
def test_select_uncertain(make, n, c, k):
  for seed in range(5):
    rng = np.random.default_rng([seed, n, c])
    view, other = _view(rng, make, n, 2), _view(rng, make, n + 3, 2)
    candidates = rng.permutation(n)[:c].astype(np.int32)
    padded = np.concatenate([candidates, [-1, -1]]).astype(np.int32)
    got = np.asarray(uncertainty.select_uncertain(
        jnp.asarray(padded), view, {'other': other}, k))
    expected = reference.uncertain(
        candidates, _arrays(view)[0], *_arrays(other)[:2], k)
    assert got[:len(expected)].tolist() == expected
    assert (got[len(expected):] == -1).all()


def test_keep_best_ranks_what_scores_minus_infinity_last_but_keeps_it():
  scores = jnp.array([-jnp.inf, 5.0, 1.0, 9.0])
  allowed = jnp.array([True, True, True, False])
  assert views_lib.keep_best(scores, allowed, 5).tolist() == [1, 2, 0, -1, -1]
