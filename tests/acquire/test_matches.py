"""Matches tile by tile, and what is made of them, against whole softmaxes."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import uncertainty
from mmal_jax.acquire.kernels import matches as matches_lib
from mmal_jax.embed import disk
from tests.support import problems
from tests.support import reference

_C = 300  # candidates: more than a tile of them
_TILE, _LANES = 4096, 256


def _pair(n, metric, rows=problems.unit, left=0.8, other_rows=None, c=_C):
  """Candidates' rows, and the other modality's pool."""
  rng = np.random.default_rng([n, 3])
  mine = problems.make(rng, rows, c, metric)
  other = problems.make(rng, other_rows or rows, n, metric)
  remaining = rng.random(n) < left
  if left:
    remaining[-1] = True
  return mine, other._replace(remaining=remaining)


def _match(mine, other, scale, c=_C):
  view = mine.view(logit_scale=jnp.float32(scale))
  return matches_lib.match(
      jnp.arange(c, dtype=jnp.int32), view, other.view(), softmax=True)


@pytest.mark.parametrize('n', [1, 2, _LANES + 1, 2 * _TILE + 5])
@pytest.mark.parametrize('metric', metric_lib.METRICS)
def test_matches(n, metric):
  for rows in (problems.of_any_norm, problems.duplicated,
               problems.exact(metric)):
    mine, other = _pair(n, metric, rows)
    scale = 2.0
    found = _match(mine, other, scale)
    logits = reference.logits(
        mine.pool, *other.arrays()[:2], metric, scale)
    largest = np.sort(logits, axis=1)[:, ::-1] / scale
    # Similarities have the rounding of the terms they are sums of.
    size = 2.0 if metric == 'cosine' else np.square(
        np.concatenate([mine.pool, other.pool])).sum(axis=1).max()
    exact = rows is problems.exact(metric)
    atol = 0 if exact else 2.0**-21 * size
    np.testing.assert_allclose(found.best, largest[:, 0], rtol=0, atol=atol)
    if largest.shape[1] > 1:
      np.testing.assert_allclose(
          found.second, largest[:, 1], rtol=0, atol=atol)
    else:
      assert (np.asarray(found.second) < -1e29).all()
    below = logits - logits.max(axis=1, keepdims=True)
    # As much as the logits are off, so are the powers, relatively.
    rtol = 1e-5 + 2 * scale * atol
    np.testing.assert_allclose(
        found.total, np.exp(below).sum(axis=1), rtol=rtol)
    np.testing.assert_allclose(
        found.moment, (below * np.exp(below)).sum(axis=1), rtol=rtol,
        atol=rtol)


def test_ties_make_a_margin_of_zero():
  mine, other = _pair(2 * _TILE + 5, 'cosine', problems.axes)
  margins = np.asarray(uncertainty.margins(_match(mine, other, 2.0)))
  assert (margins == 0).all()
  # A double a tile away counts, and the last tile's overlap does not.
  one = np.zeros_like(other.remaining)
  one[[5, -1]] = True
  pool = np.tile(-mine.pool[:1], (len(one), 1))
  pool[-1] = pool[5] = mine.pool[0]
  last_tile = np.arange(len(one)) >= 2 * _TILE
  for remaining, expected in ((one, 0.0), (last_tile, 2.0)):
    found = _match(mine, other._replace(pool=pool, remaining=remaining), 2.0)
    assert uncertainty.margins(found)[0] == expected


def test_nothing_remains(tmp_path):
  mine, other = _pair(_LANES + 1, 'cosine', left=0.0)
  other = other._replace(remaining=np.zeros_like(other.remaining))
  found = _match(mine, other, 100.0)
  assert (uncertainty.margins(found) == jnp.inf).all()
  assert (uncertainty.least_confidences(found) == 0).all()
  assert (uncertainty.entropies(found) == 0).all()
  # Nor on disk, where every chunk finds nothing.
  np.save(tmp_path / 'pool.npy', other.pool)
  pool = disk.open_rows(tmp_path / 'pool.npy', other.pool.nbytes // 3)
  views = mine.view(logit_scale=jnp.float32(100.0)), other.view(pool=pool)
  on_disk = matches_lib.match(jnp.arange(3), *views, softmax=True)
  assert (uncertainty.entropies(on_disk) == 0).all()
  # Nothing there, and possibly nothing at all: sure of it, and not NaN.
  none_logit = -(100.0 * found.best - 5.0)
  assert np.isfinite(uncertainty.entropies(found, none_logit)).all()


def test_candidates_beyond_a_slab():
  c = matches_lib._SLAB + 7
  mine, other = _pair(40, 'cosine', c=c)
  found = _match(mine, other, 20.0, c)
  logits = reference.logits(mine.pool, *other.arrays()[:2], 'cosine', 20.0)
  np.testing.assert_allclose(found.best, logits.max(1) / 20, atol=1e-6)
  np.testing.assert_allclose(
      uncertainty.entropies(found),
      reference.entropy(reference.chances(logits)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('scale', [1.0, 14.3, 120.0])
@pytest.mark.parametrize('bias', [None, 0.0, -4.0])
def test_scores_are_those_of_the_softmax(scale, bias):
  mine, other = _pair(2 * _TILE + 5, 'cosine', problems.clustered)
  view = mine.view(
      logit_scale=jnp.float32(scale),
      logit_bias=None if bias is None else jnp.float32(bias))
  logits = reference.logits(
      mine.pool, *other.arrays()[:2], 'cosine', scale, bias or 0.0)
  chances = reference.chances(logits)
  missing = reference.chances(np.pad(logits, ((0, 0), (0, 1))))
  candidates = jnp.arange(_C, dtype=jnp.int32)
  for may_be_missing, p in ((False, chances), (True, missing)):
    if may_be_missing and bias is None:
      continue
    # The best match; that there is none is no match.
    confidence = p[:, :logits.shape[1]].max(axis=1)
    for score, expected in (
        (uncertainty.LEAST_CONFIDENCE, 1 - confidence),
        (uncertainty.ENTROPY, reference.entropy(p))):
      np.testing.assert_allclose(
          uncertainty.uncertainties(
              candidates, view, other.view(), score, may_be_missing),
          expected, rtol=2e-4, atol=2e-5)


def test_a_bias_shifts_nothing_unless_a_match_may_be_missing():
  mine, other = _pair(_LANES + 1, 'cosine')
  candidates = jnp.arange(_C, dtype=jnp.int32)
  with_bias, without = (
      mine.view(logit_scale=jnp.float32(10.0), logit_bias=bias)
      for bias in (jnp.float32(-10.0), None))
  scores = [uncertainty.uncertainties(
      candidates, view, other.view(), uncertainty.ENTROPY)
      for view in (with_bias, without)]
  np.testing.assert_array_equal(*scores)
  missing = uncertainty.uncertainties(
      candidates, with_bias, other.view(), uncertainty.ENTROPY, True)
  assert np.abs(missing - scores[0]).max() > 0.1


@pytest.mark.parametrize('scale', [1e3, 1e9])
@pytest.mark.parametrize('n', [2, _LANES + 1, 2 * _TILE + 5])
def test_logits_far_apart_are_no_nan(scale, n):
  mine, other = _pair(n, 'cosine', problems.axes)
  other.remaining[:] = True
  # Only the last row, of the last tile, is a match; all else is opposite.
  other.pool[:-1] = -mine.pool[0]
  other.pool[-1] = mine.pool[0]
  found = _match(mine, other, scale)
  logits = reference.logits(mine.pool, *other.arrays()[:2], 'cosine', scale)
  expected = reference.entropy(reference.chances(logits))
  none_logit = -scale * found.best - 10.0
  for score in (uncertainty.entropies, uncertainty.least_confidences):
    for args in ((found,), (found, none_logit)):
      assert np.isfinite(score(*args)).all()
  np.testing.assert_allclose(
      uncertainty.entropies(found), expected, rtol=1e-4, atol=1e-6)
  assert uncertainty.entropies(found)[0] == 0


def test_a_score_that_needs_logits_says_so():
  mine, other = _pair(2, 'cosine')
  candidates = jnp.arange(_C, dtype=jnp.int32)
  for score in (uncertainty.ENTROPY, uncertainty.LEAST_CONFIDENCE):
    with pytest.raises(ValueError, match='view.logit_scale=None'):
      uncertainty.uncertainties(candidates, mine.view(), other.view(), score)
    view = mine.view(logit_scale=jnp.float32(1.0))
    with pytest.raises(ValueError, match='view.logit_bias=None: may_be_miss'):
      uncertainty.uncertainties(candidates, view, other.view(), score, True)
  # The margin needs neither.
  uncertainty.uncertainties(
      candidates, mine.view(), other.view(), may_be_missing=True)
