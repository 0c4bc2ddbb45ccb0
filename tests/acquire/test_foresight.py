"""Experimental design in few passes: the picks of the plain greedy."""

import jax.numpy as jnp
import numpy as np
import pytest

import mmal_jax
from mmal_jax.acquire import alike
from mmal_jax.acquire.kernels import design
from mmal_jax.acquire.kernels import design_streaming
from mmal_jax.acquire.kernels import proposals
from mmal_jax.embed import disk
from tests.support import problems

# Compiled as for users: ties fall by bits, and those of a program compiled in
# haste depend on where in a tile a row lies.
_N, _K, _FEW = 300, 20, 32
_ROWS = [problems.unit, problems.clustered, problems.duplicated, problems.axes]


def _problem(rows, n=_N, seed=0):
  return problems.make(np.random.default_rng(seed), rows, n)


def _extras(n, seed=0):
  rng = np.random.default_rng(seed)
  return {'weights': rng.uniform(0, 1, n).astype(np.float32),
          'costs': rng.choice([0.5, 1, 2], n).astype(np.float32)}


def _plain(problem, k=_K, ridge=1.0, weights=None, costs=None):
  """Gains of all left items and the greedy's pick, step by step, in float64."""
  z, remaining, known = (np.asarray(x, np.float64) for x in problem.arrays())
  covariance = np.linalg.inv(np.eye(z.shape[1]) + known.T @ known / ridge)
  left = remaining.astype(bool)
  matters = remaining * (1.0 if weights is None else weights)
  gram = z.T @ (matters[:, None] * z)
  prices = 1.0 if costs is None else costs.astype(np.float64)
  picks = []
  for _ in range(min(k, left.sum())):
    s = z @ covariance
    gains = np.einsum('nr,rq,nq->n', s, gram, s) / (
        np.einsum('nr,nr->n', s, z) + ridge) / prices
    # What float64 itself cannot tell apart ties; the lowest index is picked.
    best = gains[left].max()
    picks.append(int(np.flatnonzero(left & (gains >= best * (1 - 1e-12)))[0]))
    left[picks[-1]] = False
    s = covariance @ z[picks[-1]]
    covariance -= np.outer(s, s) / (z[picks[-1]] @ s + ridge)
  return picks + [-1] * (k - len(picks))


class _AsItIs:
  """Rows on disk that are neither centred nor projected."""

  def __init__(self, pool):
    self.pool = pool

  def __len__(self):
    return len(self.pool)

  def of(self, values):
    return values

  def take(self, indices):
    return jnp.asarray(self.pool.take(np.asarray(indices)))


def _on_disk(tmp_path, rows, chunk_rows, name='pool'):
  path = tmp_path / f'{name}.npy'
  np.save(path, rows)
  return disk.open_rows(path, chunk_rows * rows.shape[1] * 4)


def _picks(problem, folder, candidates, k=_K, chunk_rows=64, **more):
  pool = _AsItIs(_on_disk(folder, problem.pool, chunk_rows))
  picks, passes = design_streaming.select_design(
      pool, *problem[1:4], k, candidates=candidates, **more)
  return picks.tolist(), passes


@pytest.mark.long
@pytest.mark.parametrize('rows', _ROWS)
@pytest.mark.parametrize('by_row', [False, True])
def test_few_candidates_find_the_picks_of_the_plain_greedy(
    tmp_path, rows, by_row):
  more = _extras(_N) if by_row else {}
  for seed in range(2):
    problem = _problem(rows, seed=seed)
    expected = _plain(problem, **more)
    picks, passes = _picks(problem, tmp_path, _FEW, **more)
    assert picks == expected and 1 < passes <= _K
    assert _picks(problem, tmp_path, None, **more) == (expected, 1)


@pytest.mark.long
@pytest.mark.parametrize('rows', [problems.clustered, problems.axes])
def test_picks_are_those_in_memory_whatever_the_chunks(tmp_path, rows):
  problem, more = _problem(rows), _extras(_N)
  expected = design.select_design(*problem[:4], _K, **more).tolist()
  for chunk_rows in (64, 300):
    assert _picks(
        problem, tmp_path, _FEW, chunk_rows=chunk_rows, **more)[0] == expected


def test_to_the_last_row(tmp_path):
  problem = _problem(problems.clustered, 60)
  count = int(problem.remaining.sum())
  picks, _ = _picks(problem, tmp_path, 8, k=count + 3)
  assert sorted(picks[:count]) == np.flatnonzero(problem.remaining).tolist()
  assert picks[count:] == [-1] * 3
  assert picks[:20] == _plain(problem, 20)


def test_from_disk_what_is_alike_is_what_it_is_in_memory(tmp_path):
  problem = _problem(problems.of_any_norm)
  view = problem.view(pool=_on_disk(tmp_path, problem.pool, 64))
  for rank in (None, 4):
    one, other = (alike.by_reference(v, rank) for v in (problem.view(), view))
    found = np.asarray(other.pool.take(np.arange(_N)))
    assert other.pool.shape == found.shape == one.pool.shape
    rows, aligned = np.asarray(one.pool), np.asarray(one.aligned)
    np.testing.assert_allclose(found @ found.T, rows @ rows.T, atol=1e-5)
    np.testing.assert_allclose(
        found @ np.asarray(other.aligned).T, rows @ aligned.T, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize('strategy', ['design', 'herding', 'mmal_plus'])
@pytest.mark.parametrize('on_disk', [('image',), ('image', 'text')])
def test_ask_about_pools_on_disk(tmp_path, strategy, on_disk):
  rng = np.random.default_rng(0)
  pools = {m: problems.unit(rng, n).astype(np.float32)
           for m, n in (('image', 200), ('text', 180))}
  given = {m: _on_disk(tmp_path, rows, 64, m) if m in on_disk else rows
           for m, rows in pools.items()}
  known = [problems.unit(rng, 9).astype(np.float32) for _ in pools]
  one, other = (
      mmal_jax.ask(*some.values(), *known, 12, strategy, seed=3)
      for some in (pools, given))
  assert one.modality == other.modality
  np.testing.assert_array_equal(one.indices, other.indices)


def test_all_rows_are_candidates_where_they_are_few(tmp_path, monkeypatch):
  # More than the sample that is the start in larger pools.
  monkeypatch.setattr(design_streaming, '_SAMPLE', 20)
  problem = _problem(problems.unit)
  assert _picks(problem, tmp_path, None) == (_plain(problem), 1)


def test_goes_on_where_all_candidates_were_picked(tmp_path):
  problem = _problem(problems.unit, 60)
  assert _picks(problem, tmp_path, 4)[0] == _plain(problem)


@pytest.mark.parametrize('rows', [problems.unit, problems.clustered])
@pytest.mark.parametrize('by_row', [False, True])
def test_candidates_that_are_not_held_are_compared(
    tmp_path, monkeypatch, rows, by_row):
  # Of a size of its own: programs are kept by sizes, and these are in them.
  n = _N + 1
  monkeypatch.setattr(proposals, '_HELD', 16)
  monkeypatch.setattr(proposals, '_AHEAD', 4)
  more = _extras(n) if by_row else {}
  for seed in range(4):
    problem = _problem(rows, n, seed)
    assert _picks(problem, tmp_path, None, **more) == (
        _plain(problem, **more), 1)


def test_a_tie_with_what_is_not_held_goes_to_the_lowest_index(tmp_path):
  # After one pick of the first axis, its gain equals that of the second, none
  # of whose rows is among those of the largest gains.
  pool = np.zeros((4000, problems.D), np.float32)
  pool[:1000, 1] = pool[1000:, 0] = 1
  problem = problems.Problem(
      pool, np.ones(4000, bool), pool[:1], np.zeros(1, bool), 'cosine')
  expected = _plain(problem, 4)
  assert expected[:2] == [1000, 0]
  assert _picks(problem, tmp_path, None, k=4, chunk_rows=4000)[0] == expected


@pytest.mark.parametrize(
    'candidates', [None, pytest.param(_FEW, marks=pytest.mark.long)])
def test_ends_where_float32_does_not_suffice(tmp_path, candidates):
  # Against answers of so little noise what was known before is rounded away.
  problem = _problem(problems.clustered)
  picks, _ = _picks(problem, tmp_path, candidates, ridge=1e-12)
  assert len(set(picks)) == _K and problem.remaining[picks].all()
