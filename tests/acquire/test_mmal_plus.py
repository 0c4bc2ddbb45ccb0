"""`mmal_plus`: design, its gate and its turns; references, rules by cost."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax import loop
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import modality
from mmal_jax.acquire import registry
from mmal_jax.acquire.strategies import plan
from mmal_jax.pools import stream
from tests.support import problems
from tests.support import tiny

_N, _K = 60, 8


def _unit(x):
  return x / np.linalg.norm(x, axis=1, keepdims=True)


def _views(seed, costs=None):
  """Of one modality; what is known before is not what the pool says."""
  rng = np.random.default_rng(seed)
  now = problems.make(rng, problems.clustered, _N, aligned=5)
  before = problems.make(rng, problems.clustered, _N)
  aligned = _unit(rng.normal(size=now.aligned.shape)).astype(np.float32)
  view = now.view(
      reference=jnp.asarray(_unit(before.pool)),
      aligned_reference=jnp.asarray(aligned),
      costs=None if costs is None else jnp.asarray(costs, jnp.float32))
  return {'image': view, 'text': view}


def _facility_regrets(view, picks, like, aligned):
  """By how much less each pick gains than the best would."""
  like, aligned = (np.asarray(x, np.float64) for x in (like, aligned))
  remaining = np.array(view.remaining)
  cosines = _unit(like) @ _unit(like)[remaining].T
  known = _unit(aligned)[np.asarray(view.aligned_mask)]
  best = (known @ _unit(like)[remaining].T).max(axis=0, initial=0.0)
  regrets = []
  for pick in picks:
    gains = np.maximum(cosines - best, 0).sum(axis=1)
    assert remaining[pick]
    regrets.append(gains[remaining].max() - gains[pick])
    remaining[pick] = False
    best = np.maximum(best, cosines[pick])
  return regrets


def _design_regrets(view, picks, like, aligned, costs, entropies=None):
  """By how much less each pick explains for its cost than the best would."""
  matters = np.ones(_N) if entropies is None else entropies + 1e-3
  z, known = (np.asarray(x, np.float64) for x in (like, aligned))
  known = known[np.asarray(view.aligned_mask)]
  remaining, regrets = np.array(view.remaining), []
  left = remaining.copy()
  kernel = z @ z.T - z @ known.T @ np.linalg.solve(
      known @ known.T + np.eye(len(known)), known @ z.T)
  for pick in picks:
    gains = (matters[remaining, None] * kernel[remaining]**2).sum(axis=0) / (
        np.diag(kernel) + 1) / costs
    assert left[pick]
    regrets.append((gains[left].max() - gains[pick]) / gains[left].max())
    left[pick] = False
    kernel = kernel - np.outer(kernel[pick], kernel[pick]) / (
        kernel[pick, pick] + 1)
  return regrets


def _entropies(views, key):
  """Of the counterparts of each image under the plan, `[n]`."""
  return np.asarray(plan.uncertainties(
      views, jax.random.split(key)[1], plan.entropy)['image'], float)


def test_facilities_are_alike_by_what_was_known_before():
  for seed in range(3):
    views = _views(seed)
    view = views['image']
    picks = registry.find('facility_reference@image')(
        views, _K, jax.random.key(seed)).indices.tolist()
    assert max(_facility_regrets(
        view, picks, view.reference, view.aligned_reference)) < 1e-4
    assert max(_facility_regrets(view, picks, view.pool, view.aligned)) > 1e-2


@pytest.mark.parametrize('name', ['mmal_plus', 'mmal_plus_by_cost'])
def test_items_are_alike_by_what_was_known_before(name):
  for seed in range(3):
    costs = np.random.default_rng(seed).uniform(0.2, 5, _N)
    views = _views(seed, costs)
    view = views['image']
    picks = registry.find(f'{name}@image')(
        views, _K, jax.random.key(seed)).indices.tolist()
    prices = costs if name.endswith('cost') else np.ones(_N)
    entropies = _entropies(views, jax.random.key(seed))
    assert max(_design_regrets(
        view, picks, view.reference, view.aligned_reference, prices,
        entropies)) < 1e-4
    # By the present embeddings, or at other prices, it would not be.
    assert max(_design_regrets(
        view, picks, view.pool, view.aligned, prices, entropies)) > 1e-3
    other = np.ones(_N) if name.endswith('cost') else costs
    assert max(_design_regrets(
        view, picks, view.reference, view.aligned_reference, other,
        entropies)) > 1e-3
    if name == 'mmal_plus':  # Prices count for more than entropies.
      assert max(_design_regrets(
          view, picks, view.reference, view.aligned_reference, prices)) > 1e-3


def test_without_a_reference_the_embeddings_less_their_mean_are_taken():
  views = {m: dataclasses.replace(
      view, reference=None, aligned_reference=None)
           for m, view in _views(0).items()}
  view = views['image']
  picks = registry.find('mmal_plus@image')(
      views, _K, jax.random.key(0)).indices.tolist()
  pool, aligned = (np.asarray(x) for x in (view.pool, view.aligned))
  mean = pool.mean(axis=0)
  assert max(_design_regrets(
      view, picks, _unit(pool - mean), _unit(aligned - mean), np.ones(_N),
      _entropies(views, jax.random.key(0)))) < 1e-4


def test_where_nothing_is_uncertain_all_items_count_the_same():
  views = {m: dataclasses.replace(view, logit_scale=jnp.float32(1e6))
           for m, view in _views(0).items()}
  assert _entropies(views, jax.random.key(0)).max() < 1e-6
  picks = [registry.find(f'{name}@image')(
      views, _K, jax.random.key(0)).indices.tolist()
           for name in ('mmal_plus', 'design')]
  assert picks[0] == picks[1]


@pytest.mark.parametrize('modalities', [2, 3])
def test_modalities_take_turns_even_in_batches_of_one(modalities):
  names = ('image', 'text', 'sound')[:modalities]
  asked = dict.fromkeys(names, 0)
  for _ in range(2 * modalities):
    views = {m: dataclasses.replace(
        _views(0)['image'], asked=jnp.int32(asked[m])) for m in names}
    query = registry.find('mmal_plus')(views, 1, jax.random.key(0))
    assert query.indices.shape == (1,) and query.indices[0] >= 0
    asked[query.modality] += 1
  assert set(asked.values()) == {2}
  # Without counts, either may be chosen.
  chosen = {registry.find('mmal_plus')(_views(0), 1, jax.random.key(i)).modality
            for i in range(20)}
  assert chosen == {'image', 'text'}


@pytest.mark.parametrize('skill,is_random', [
    (None, False), (9.0, False), (1.1, True)])
def test_a_space_that_teaches_nothing_is_asked_about_at_random(
    skill, is_random):
  views = _views(0)
  expected = [registry.find(f'{name}@image')(
      views, _K, jax.random.key(3)).indices.tolist()
              for name in ('design_by_entropy', 'random')]
  if skill is not None:
    views = {m: dataclasses.replace(view, skill=jnp.float32(skill))
             for m, view in views.items()}
  assert registry.find('mmal_plus@image')(
      views, _K, jax.random.key(3)).indices.tolist() == expected[is_random]


@pytest.mark.long
def test_who_needs_a_reference():
  for name in registry.STRATEGIES:
    views = {m: dataclasses.replace(
        view, logit_scale=jnp.float32(9), logit_bias=jnp.float32(-2))
             for m, view in _views(0).items()}
    without = {m: dataclasses.replace(
        view, reference=None, aligned_reference=None)
               for m, view in views.items()}
    seen = [registry.find(f'{name}@image')(
        some, _K, jax.random.key(0)).indices.tolist()
            for some in (views, without)]
    needs = registry.STRATEGIES[name].needs_reference
    assert (seen[0] != seen[1]) == needs, name


def test_the_cheapest_modality_is_that_of_the_cheapest_remaining_items():
  view = _views(0)['image']
  costs = np.where(np.asarray(view.remaining), 2.0, 0.1)
  dear, cheap, gone = (
      dataclasses.replace(view, costs=jnp.asarray(x, jnp.float32))
      for x in (costs, np.ones(_N), np.full(_N, 0.5)))
  gone = dataclasses.replace(gone, remaining=jnp.zeros(_N, bool))
  for views, expected in (
      ({'a': dear, 'b': cheap}, 'b'), ({'a': cheap, 'b': dear}, 'a'),
      ({'a': dear, 'b': dear}, 'a'), ({'a': gone, 'b': dear}, 'b')):
    assert modality.choose(views, 'cheapest', jax.random.key(0)) == expected
  with pytest.raises(ValueError, match='view.costs=None'):
    modality.choose({'a': view, 'b': dear}, 'cheapest', jax.random.key(0))


@pytest.mark.parametrize('buffer', [None, 10])
def test_strategies_see_what_the_plan_says(tiny_run, buffer):
  source = tiny_run.pools
  if buffer is not None:
    source = stream.of_pools(source, buffer)
  seen = []

  def strategy(views, batch, key):
    seen.append(views)
    return registry.find('random')(views, batch, key)

  for reference in (False, True):
    states = list(tiny_run.rounds(
        strategy, source=source, reference=reference,
        metric=metric_lib.SQEUCLIDEAN))
    assert len(seen) == tiny.ROUNDS - 1
    for t, views in enumerate(seen, start=1):
      for column, view in enumerate(views.values()):
        assert view.metric is metric_lib.SQEUCLIDEAN
        assert (view.reference is not None) == reference
        assert (view.aligned_reference is not None) == reference
        assert view.asked == np.sum(states[t].query_modalities == column)
    seen.clear()


@pytest.mark.parametrize('buffer', [None, 10])
@pytest.mark.parametrize('by_cost', [False, True])
def test_runs_in_the_loop(tiny_run, buffer, by_cost):
  source, budget = tiny_run.pools, None
  if by_cost:
    rng = np.random.default_rng(0)
    source = dataclasses.replace(source, costs={
        m: rng.uniform(0.5, 2, 40).astype(np.float32) for m in source.items})
    budget = 16.0
  if buffer is not None:
    source = stream.of_pools(source, buffer)
  name = 'mmal_plus_by_cost' if by_cost else 'mmal_plus'
  *_, last = tiny_run.rounds(
      name, source=source, budget=budget,
      reference=registry.find(name).needs_reference)
  rows = last.query_modalities
  # What was asked about least is asked about next.
  assert set(rows[0].tolist()) != set(rows[1].tolist()) or budget is not None
  assert len(last.aligned_rows) >= tiny.BATCH


@pytest.mark.parametrize('name,value', [
    ('pseudo_pairs', -1.0), ('budget', -1.0),
    ('budget', float('nan'))])
def test_a_plan_out_of_range_is_refused(name, value):
  with pytest.raises(ValueError, match=f'{name}={value!r} must be at least'):
    loop.Plan(**{name: value})


@pytest.mark.parametrize('bad', [0.0, -1.0, np.nan, np.inf])
def test_costs_out_of_range_are_refused(tiny_run, bad):
  # No budget would ever pay for them, or for what stands behind them.
  costs = {m: np.ones(40, np.float32) for m in tiny_run.pools.items}
  costs['text'][7] = bad
  source = dataclasses.replace(tiny_run.pools, costs=costs)
  with pytest.raises(ValueError, match='costs of text reach from'):
    list(tiny_run.rounds('random', source=source, budget=16.0))


def test_modalities_alternate_over_rounds(tiny_run):
  *_, last = tiny_run.rounds('coreset@alternate')
  first, second, *others = last.query_modalities[:, 0].tolist()
  assert second == 1 - first and sorted(others) == [0, 1]
