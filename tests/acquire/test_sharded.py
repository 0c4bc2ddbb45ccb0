"""Pools over devices: the same picks, gaps and margins, little said between."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import coreset
from mmal_jax.acquire import modality
from mmal_jax.acquire import registry
from mmal_jax.acquire import uncertainty
from mmal_jax.acquire.kernels import matches
from mmal_jax.parallel import sharding
from tests.support import problems
from tests.support import reference

_N, _K = 8 * 37 + 3, 20


def _rows(count):
  return sharding.row_sharding(jax.devices()[:count])


def _on_a_grid():
  """Rows over four devices, and every row on two."""
  mesh = jax.make_mesh(
      (4, 2), ('data', 'model'),
      axis_types=(jax.sharding.AxisType.Auto,) * 2)
  return jax.sharding.NamedSharding(mesh, sharding.P('data'))


_LAYOUTS = {
    'two': lambda: _rows(2), 'eight': lambda: _rows(8), 'grid': _on_a_grid}


def _sharded(problem, layout, **fields):
  return problem.view(
      pool=sharding.shard_rows(problem.pool, layout, fill=9.0),
      remaining=sharding.shard_rows(problem.remaining, layout, fill=False),
      **fields)


def _pair(n=_N, metric='cosine', rows=problems.unit):
  """A problem, and one of the other modality."""
  rng = np.random.default_rng(n)
  return [problems.make(rng, rows, n, metric, aligned=7) for _ in range(2)]


@pytest.mark.parametrize('n', [1, 5, 8, 8 * 37 + 3])
@pytest.mark.parametrize('layout', _LAYOUTS)
def test_shard_rows_fills_up(n, layout):
  rows = _LAYOUTS[layout]()
  parts = 4 if layout == 'grid' else len(rows.mesh.devices)
  x = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
  sharded = sharding.shard_rows(x, rows, fill=-1)
  assert sharding.num_parts(rows) == parts
  assert sharded.shape == (-(-n // parts) * parts, 3)
  assert sharded.sharding == rows and sharding.rows_of(sharded) == rows
  np.testing.assert_array_equal(sharded[:n], x)
  assert (np.asarray(sharded[n:]) == -1).all()
  assert {s.data.shape[0] for s in sharded.addressable_shards} == {
      -(-n // parts)}


def test_rows_of_what_lies_on_one_device():
  assert sharding.rows_of(jnp.ones((8, 2))) is None
  assert sharding.rows_of(np.ones((8, 2))) is None
  one = sharding.shard_rows(np.ones((8, 2)), _rows(1))
  assert sharding.rows_of(one) is None
  columns = jax.sharding.NamedSharding(
      _rows(8).mesh, sharding.P(None, 'data'))
  assert sharding.rows_of(jax.device_put(np.ones((3, 8)), columns)) is None


@pytest.mark.long
@pytest.mark.parametrize('layout,n,metric', [
    ('two', 5, 'cosine'), ('two', _N, 'sqeuclidean'), ('eight', 1, 'cosine'),
    ('eight', _N, 'cosine'), ('eight', _N, 'inner'), ('grid', _N, 'cosine')])
def test_every_stage_is_the_same(layout, n, metric):
  rows = problems.integers if metric == 'sqeuclidean' else problems.unit
  pair = _pair(n, metric, rows)
  layout = _LAYOUTS[layout]()
  view, other = (_sharded(problem, layout) for problem in pair)
  expected = reference.k_center(*pair[0].arrays(), _K, metric)
  candidates = 16 if n > 16 else 2
  picks = coreset.select_coreset(view, _K, candidates)
  found = matches.match(picks, view, other)
  on_devices = [np.asarray(part.data) for part in picks.addressable_shards]
  assert all((part == on_devices[0]).all() for part in on_devices)
  picks = np.asarray(picks)
  assert picks[:len(expected)].tolist() == expected
  assert (picks[len(expected):] == -1).all()
  one_device = [problem.view() for problem in pair]
  assert (coreset.select_coreset(one_device[0], _K, candidates) == picks).all()
  np.testing.assert_allclose(
      modality.coverage_gap(view),
      reference.nearest(pair[0].pool, pair[0].arrays()[2], metric)[
          pair[0].remaining].max(), rtol=1e-5)
  margins = uncertainty.margins(found)[:len(expected)]
  np.testing.assert_allclose(
      margins, reference.margins_by(metric, pair[0].pool[expected],
                                    *pair[1].arrays()[:2]), atol=3e-6)


def test_picks_to_the_last_row():
  # So that one taken away on the wrong device is missed.
  problem = _pair(43)[0]
  expected = reference.k_center(*problem.arrays(), 43, 'cosine')
  picks = coreset.select_coreset(_sharded(problem, _rows(8)), 43, 4).tolist()
  assert picks == expected + [-1] * (43 - len(expected))


def test_one_side_alone_may_be_sharded():
  pair = _pair()
  view, other = (problem.view() for problem in pair)
  candidates = jnp.arange(_N)[pair[0].remaining][:50]
  expected = reference.margins_by(
      'cosine', pair[0].pool[np.asarray(candidates)], *pair[1].arrays()[:2])
  for one, two in ((_sharded(pair[0], _rows(8)), other),
                   (view, _sharded(pair[1], _rows(8)))):
    np.testing.assert_allclose(
        uncertainty.margins(matches.match(candidates, one, two)), expected,
        atol=3e-6)


@pytest.mark.long
@pytest.mark.parametrize(
    'name', ['mmal', 'mmal_entropy', 'random', 'similarity'])
def test_strategies_do_not_notice(name):
  pair = _pair()
  logits = {'logit_scale': jnp.float32(9), 'logit_bias': jnp.float32(-1)}
  views = [
      dict(zip(('image', 'text'), views)) for views in (
          [problem.view(**logits) for problem in pair],
          [_sharded(problem, _rows(8), **logits) for problem in pair])]
  queries = [registry.STRATEGIES[name](v, 10, jax.random.key(3)) for v in views]
  assert queries[0].modality == queries[1].modality
  np.testing.assert_array_equal(queries[0].indices, queries[1].indices)


@pytest.mark.long
def test_under_the_callers_own_jit():
  problem = _pair()[0]
  rows = _on_a_grid()
  view = _sharded(problem, rows, rows=rows)

  @jax.jit
  def both(view):
    return coreset.select_coreset(view, _K, 16), modality.coverage_gap(view)

  picks, gap = both(view)
  assert picks.tolist() == reference.k_center(
      *problem.arrays(), _K, 'cosine')
  np.testing.assert_allclose(
      gap, reference.coverage_gap(*problem.arrays()), rtol=1e-5)
  # Where nothing says how the rows lie, the compiler sees to it.
  assert both(_sharded(problem, rows))[0].tolist() == picks.tolist()


def _collectives(k, n=80_000, candidates=64):
  """Elements of the result of each in the program of stages 1 and 2."""
  rows = _rows(8)
  view = _pair()[0].view(
      pool=jax.ShapeDtypeStruct((n, problems.D), jnp.float32, sharding=rows),
      remaining=jax.ShapeDtypeStruct((n,), bool, sharding=rows), rows=rows)
  program = jax.jit(
      lambda view: coreset.select_coreset(view, k, candidates))
  text = program.lower(view).compile().as_text()
  shapes = re.findall(
      r'= (\(?\w+\[[^=]*?) (?:all-\w+|collective-\w+|reduce-scatter)'
      r'(?:-start)?\(', text)
  return [
      sum(int(np.prod([int(x) for x in dims.split(',') if x]))
          for dims in re.findall(r'\[([\d,]*)\]', shape)) for shape in shapes]


@pytest.mark.long
def test_devices_say_little():
  few, many = _collectives(8), _collectives(64)
  assert 0 < len(few) == len(many) <= 4
  # Nothing near the pool's 640,000: the largest are 64 distances of each
  # device, and the rows of the 64 farthest.
  assert max(many) <= 8 * 64
