"""What makes `mmal_plus` more than facility location; rules by cost."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax import loop
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import modality
from mmal_jax.acquire import registry
from mmal_jax.align import stream
from tests import problems
from tests import tiny

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


def _regrets(view, picks, like, aligned, costs):
  """By how much less each pick gains for its cost than the best would."""
  like, aligned = (np.asarray(x, np.float64) for x in (like, aligned))
  remaining = np.array(view.remaining)
  cosines = _unit(like) @ _unit(like)[remaining].T
  known = _unit(aligned)[np.asarray(view.aligned_mask)]
  best = (known @ _unit(like)[remaining].T).max(axis=0, initial=0.0)
  regrets = []
  for pick in picks:
    gains = np.maximum(cosines - best, 0).sum(axis=1) / costs
    assert remaining[pick]
    regrets.append(gains[remaining].max() - gains[pick])
    remaining[pick] = False
    best = np.maximum(best, cosines[pick])
  return regrets


@pytest.mark.parametrize('name', ['mmal_plus', 'mmal_plus_by_cost'])
def test_items_are_alike_by_what_was_known_before(name):
  for seed in range(3):
    costs = np.random.default_rng(seed).uniform(0.2, 5, _N)
    views = _views(seed, costs)
    view = views['image']
    picks = registry.find(f'{name}@image')(
        views, _K, jax.random.key(seed)).indices.tolist()
    prices = costs if name.endswith('cost') else np.ones(_N)
    assert max(_regrets(view, picks, view.reference, view.aligned_reference,
                        prices)) < 1e-4
    # By the present embeddings, or at other prices, it would not be.
    assert max(_regrets(view, picks, view.pool, view.aligned, prices)) > 1e-2
    other = np.ones(_N) if name.endswith('cost') else costs
    assert max(_regrets(view, picks, view.reference, view.aligned_reference,
                        other)) > 1e-2


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


@pytest.mark.parametrize('name,value', [
    ('steps', 0), ('pseudo_pairs', -1.0), ('budget', -1.0),
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
