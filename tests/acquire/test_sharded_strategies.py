"""Strategies on pools over devices pick what they pick on one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import alike
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import coverage_of_points
from mmal_jax.acquire.kernels import design
from mmal_jax.acquire.kernels import held
from mmal_jax.acquire.kernels import matches
from mmal_jax.acquire.kernels import plan_scores
from mmal_jax.acquire.kernels import pseudo_alignment
from mmal_jax.acquire.strategies import plan
from mmal_jax.oracles import suggest
from mmal_jax.parallel import rows as rows_lib
from mmal_jax.parallel import sharding
from mmal_jax.planning import hlo
from tests.support import problems

pytestmark = pytest.mark.usefixtures('quick_compilation')
_N, _K = 61, 12
_NAMES = ('mmal', 'mmal_plus_by_cost', 'margin', 'coreset', 'random',
          'design', 'plan_entropy', 'facility', 'facility_reference',
          'probcover', 'herding')


def _over(devices):
  return None if devices == 1 else sharding.row_sharding(
      jax.devices()[:devices])


def _views(n, make, rows, sizes=(0, 3)):
  """Pools of n and a few more, on one device or over several."""
  views = {}
  for i, m in enumerate(('image', 'text')):
    rng = np.random.default_rng(i)
    problem = problems.make(rng, make, n + sizes[i], aligned=7)
    known = make(rng, len(problem.aligned)).astype(np.float32)
    costs = rng.choice([0.5, 1, 2], len(problem.pool)).astype(np.float32)
    fields = dict(
        pool=problem.pool, remaining=problem.remaining, costs=costs,
        reference=make(rng, len(problem.pool)).astype(np.float32))
    # Padding that would be noticed; of the reference, it is 0 in loops, too.
    fill = {'pool': 9.0, 'remaining': False, 'costs': 0.01, 'reference': 0.0}
    views[m] = problem.view(
        **{name: rows_lib.laid(x, rows, fill[name])
           for name, x in fields.items()},
        rows=rows, size=None if rows is None else len(problem.pool),
        aligned_reference=jnp.asarray(known), logit_scale=jnp.float32(20),
        asked=jnp.int32(i), skill=jnp.float32(5))
  return views


def _picks(name, views, k=_K):
  query = registry.STRATEGIES[name](views, k, jax.random.key(3))
  return query.modality, np.asarray(query.indices).tolist()


# Of `axes` nearly all rows are copies, and all scores tie.
@pytest.mark.parametrize('name', _NAMES)
def test_picks_are_those_of_one_device(name):
  for make in (problems.unit, problems.axes):
    alone = _picks(name, _views(_N, make, None))
    for devices in (2, 8):
      assert _picks(name, _views(_N, make, _over(devices))) == alone, (
          make, devices)


@pytest.mark.parametrize('name', _NAMES)
def test_of_a_single_item(name):
  alone, over = (_picks(name, _views(1, problems.unit, rows), 1)
                 for rows in (None, _over(8)))
  assert alone == over


def test_by_the_embeddings_where_nothing_was_known_before():
  found = []
  for devices in (1, 8):
    views = {m: dataclasses.replace(
        view, reference=None, aligned_reference=None)
             for m, view in _views(_N, problems.unit, _over(devices)).items()}
    found.append(_picks('mmal_plus', views))
  assert found[0] == found[1]


def test_leading_directions_are_those_of_all_devices():
  one, over = (
      alike.by_reference(_views(_N, problems.unit, rows)['image'], 4)
      for rows in (None, _over(8)))
  one, over = np.asarray(one.pool), np.asarray(over.pool)[:_N]
  assert one.shape == (_N, 4)
  np.testing.assert_allclose(one @ one.T, over @ over.T, atol=1e-5)


@pytest.mark.parametrize('block', [7, 20])
def test_the_plan_is_the_same_block_by_block(block):
  one, over = (
      plan_scores.plan_scores(
          *_views(_N, problems.unit, rows).values(), jax.random.key(0),
          block=block) for rows in (None, _over(8)))
  for some, others, n in zip(one, over, (_N, _N + 3)):
    for x, y in zip(some, others):
      assert sharding.rows_of(y) is not None and len(x) == n
      np.testing.assert_allclose(x, y[:n], atol=1e-6)
      assert not np.asarray(y[n:]).any()
  assert max(float(x.max()) for x in one[0]) > 0.1


@pytest.mark.parametrize('sharded', ['both', 'first', 'second'])
def test_matches_and_mutual_pairs(sharded):
  one, over = (list(_views(_N, problems.axes, rows).values())
               for rows in (None, _over(4)))
  pair = [over[0] if sharded != 'second' else one[0],
          over[1] if sharded != 'first' else one[1]]
  for find, k in ((pseudo_alignment.best_matches, 5),
                  (pseudo_alignment.csls_mutual, 3)):
    for x, y in zip(find(*one, k), find(*pair, k)):
      np.testing.assert_array_equal(x, y[:_N])


def test_pools_over_different_meshes_are_refused():
  one = _views(_N, problems.unit, _over(2))['image']
  other = _views(_N, problems.unit, _over(4))['text']
  with pytest.raises(ValueError, match='over different meshes'):
    pseudo_alignment.best_matches(one, other, 2)


def test_suggestions():
  for k in (3, 80):
    found = []
    for devices in (1, 8):
      views = _views(_N, problems.axes, _over(devices))
      numbers = {m: np.random.default_rng(0).permutation(200)[:view.size or len(
          view.pool)].astype(np.int32) for m, view in views.items()}
      found.append(suggest.suggester(views, numbers)(
          'image', numbers['image'][[3, 60, 0]], 'text', k))
    np.testing.assert_array_equal(*found)


def _shape(rows, *dims, dtype=jnp.float32):
  return jax.ShapeDtypeStruct(dims, dtype, sharding=rows)


def _programs(n, d):
  """Those that read whole pools, for 8 devices, but for k-center's."""
  rows = _over(8)
  pool, mask = _shape(rows, n, d), _shape(rows, n, dtype=bool)
  few = jnp.zeros((16, d)), jnp.ones(16, bool)
  view = views_lib.View(pool, mask, *few, rows=rows, size=n - 3)
  key = jax.random.key(0)
  yield 'design', design.select_design.lower(
      pool, mask, *few, 20, 1.0, _shape(rows, n), layout=rows)
  points = held.Points(jnp.zeros((64, d)), jnp.ones(64), jnp.zeros(64))
  yield 'coverage of points', coverage_of_points._select.lower(
      pool, mask, None, None, points, 1.0, 20, coverage_of_points.COSINE, rows)
  yield 'plan', plan_scores._over_devices.lower(
      pool, mask, pool, mask, key, 0.05, (n - 3, n - 3), 64, 20, rows)
  yield 'margin', matches._match.lower(
      jnp.zeros(n, jnp.int32), view, view, False)
  yield 'best matches', pseudo_alignment._best_matches.lower(
      pool, pool, mask, 5, view.metric, rows)
  yield 'random values', views_lib._random_values.lower(key, (n,), rows)
  yield 'keep best', views_lib._keep_best.lower(_shape(rows, n), mask, 9, rows)


def test_no_program_gathers_a_pool():
  n, d = 8192, 48
  for name, lowered in _programs(n, d):
    largest = max((x.elements for x in hlo.collectives(
        lowered.compile().as_text())), default=0)
    # A device's own part at most; or a few values a row, as for scores.
    assert largest <= n * d // 8, (name, largest)
    assert largest or name == 'random values', name


def test_plan_entropies_lie_as_the_pool_does():
  views = _views(_N, problems.unit, _over(8))
  found = plan.uncertainties(views, jax.random.key(0), plan.entropy)
  assert all(sharding.rows_of(x) == views[m].rows for m, x in found.items())
