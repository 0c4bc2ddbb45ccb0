"""Rows that wait for their turn change no pick, wherever the pool lies."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import coreset
from mmal_jax.acquire import coverage
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import centres
from mmal_jax.acquire.kernels import greedy
from mmal_jax.acquire.kernels import nearest
from mmal_jax.acquire.kernels import streaming
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.embed import disk
from mmal_jax.parallel import sharding
from tests.support import problems
from tests.support import reference

_N, _K, _CANDIDATES = 2000, 150, 8


@pytest.fixture(name='small_tiles')
def _small_tiles(monkeypatch):
  """So that few rows make many tiles, lots and turns."""
  for module, name, value in (
      (greedy, '_SAMPLE', 100), (streaming, '_LOT', 50)):
    monkeypatch.setattr(module, name, value)
  jax.clear_caches()  # What is compiled has the sizes of before.
  with tile_sizes.instead(('refresh', tile_sizes.Tile(32))):
    yield
  jax.clear_caches()


def _problem(rows, metric, n=_N, seed=0, aligned=None):
  return problems.make(np.random.default_rng(seed), rows, n, metric,
                       aligned=aligned)


def _everywhere(problem, folder, chunk_rows=300):
  """The same view in memory, over eight devices, and on disk."""
  np.save(folder / 'pool.npy', problem.pool)
  on_disk = disk.open_rows(
      folder / 'pool.npy', chunk_rows * problem.pool[0].nbytes)
  rows = sharding.row_sharding(jax.devices()[:8])
  over = problem.view(
      pool=sharding.shard_rows(problem.pool, rows),
      remaining=sharding.shard_rows(problem.remaining, rows, False))
  return {'memory': problem.view(), 'devices': over,
          'disk': problem.view(pool=on_disk)}


@pytest.mark.long
@pytest.mark.parametrize('metric', metric_lib.METRICS)
@pytest.mark.parametrize('aligned', [0, 9])
def test_picks_of_pools_with_ties(tmp_path, small_tiles, metric, aligned):
  problem = _problem(problems.exact(metric), metric, aligned=aligned)
  expected = reference.k_center(*problem.arrays(), _K, metric)
  for where, view in _everywhere(problem, tmp_path).items():
    picks, turns = coreset.select_with_passes(view, _K, _CANDIDATES)
    assert picks.tolist() == expected, where
    assert turns > 1


@pytest.mark.long
@pytest.mark.parametrize('rows', [
    problems.clustered, problems.duplicated, problems.unit])
def test_picks_are_the_same_everywhere(tmp_path, small_tiles, rows):
  problem = _problem(rows, 'sqeuclidean', seed=3)
  views = _everywhere(problem, tmp_path)
  picks = {where: coreset.select_coreset(view, _K, _CANDIDATES).tolist()
           for where, view in views.items()}
  assert picks['memory'] == picks['devices'] == picks['disk']
  regret, largest = reference.regrets(
      *problem.arrays(), picks['memory'], problem.metric)
  assert (regret <= 2.0**-13 * np.maximum(np.abs(largest), 1e-12)).all()


@pytest.mark.long
def test_to_the_last_row(tmp_path, small_tiles):
  problem = _problem(problems.axes, 'cosine')
  remaining = problem.remaining & (np.arange(_N) % 20 == 0)
  problem = problem._replace(remaining=remaining)
  expected = reference.k_center(*problem.arrays(), 200, 'cosine')
  for where, view in _everywhere(problem, tmp_path).items():
    picks = coreset.select_coreset(view, 200, _CANDIDATES).tolist()
    assert picks == expected + [-1] * (200 - len(expected)), where


def test_of_a_single_row(tmp_path):
  problem = problems.make(
      np.random.default_rng(0), problems.unit, 1, 'cosine', 1)
  problem = problem._replace(remaining=np.ones(1, bool))
  np.save(tmp_path / 'pool.npy', problem.pool)
  for pool in (problem.pool, disk.open_rows(tmp_path / 'pool.npy')):
    view = dataclasses.replace(problem.view(), pool=pool)
    assert coreset.select_coreset(view, 3).tolist() == [0, -1, -1]


def test_most_rows_are_left_out():
  # Half of the textbook's products are not made.
  work = 0

  def counting(rule):
    def refresh(state, rows, gains, first, until):
      def count(rows, picks):
        nonlocal work
        work += int(rows) * int(picks)
      jax.debug.callback(count, rows.remaining.sum(), until - first)
      return rule.refresh(state, rows, gains, first, until)
    return rule._replace(refresh=refresh)

  rng = np.random.default_rng(1)
  n, k, candidates = 8000, 200, 16
  pool = problems.clustered(rng, n).astype(np.float32)
  view = views_lib.View(
      pool, np.ones(n, bool), pool[:1], np.ones(1, bool),
      metric=metric_lib.SQEUCLIDEAN)
  expected = coreset.select_coreset(view, k, candidates)
  view = coverage.covered(view)
  rows = nearest.Rows(
      jnp.asarray(pool), view.metric.norms(pool),
      jnp.asarray(view.remaining))
  picks, _ = greedy.select(
      counting(centres.rule(view.metric)), None, rows, view.nearest,
      centres.none(k, pool.shape[1], pool.dtype), k, candidates,
      n)
  jax.effects_barrier()
  assert picks.tolist() == expected.tolist()
  assert 0 < work < n * k / 2


def test_ends_where_no_gain_is_a_number(tmp_path):
  pool = np.full((20, 4), np.nan, np.float32)
  np.save(tmp_path / 'pool.npy', pool)
  for rows in (pool, disk.open_rows(tmp_path / 'pool.npy')):
    view = views_lib.View(
        rows, np.ones(20, bool), np.ones((1, 4), np.float32), np.ones(1, bool))
    assert coreset.select_coreset(view, 2).tolist() == [-1, -1]


def test_few_rows_to_refresh_compile_few_programs(tmp_path):
  n = 40_000
  pool = problems.clustered(np.random.default_rng(0), n).astype(np.float32)
  np.save(tmp_path / 'pool.npy', pool)
  view = views_lib.View(
      disk.open_rows(tmp_path / 'pool.npy', 5000 * pool[0].nbytes),
      np.arange(n) % 25 == 0, pool[:5], np.ones(5, bool),
      metric=metric_lib.SQEUCLIDEAN)
  before = streaming._refresh_part._cache_size()
  _, turns = coreset.select_with_passes(view, 300, 64)
  assert turns > 3
  assert streaming._refresh_part._cache_size() - before <= 2
