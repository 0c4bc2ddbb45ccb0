"""Every strategy of the registry keeps the contract of a query."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import mmal
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from tests.support import reference

MODALITIES = ('image', 'text')


pytestmark = pytest.mark.usefixtures('quick_compilation')


def _views(seed=0, n=40, left=30):
  """What is not left is aligned; always of the same shapes."""
  rng = np.random.default_rng(seed)
  views = {}
  for modality in MODALITIES:
    pool = rng.normal(size=(n, 8)).astype(np.float32)
    pool /= np.linalg.norm(pool, axis=1, keepdims=True)
    remaining = jnp.arange(n) < left
    views[modality] = views_lib.View(
        jnp.asarray(pool), remaining, jnp.asarray(pool), ~remaining,
        logit_scale=jnp.float32(10.0), logit_bias=jnp.float32(-10.0),
        asked=jnp.int32(len(modality)))
  return views


@pytest.mark.parametrize('name', sorted(registry.STRATEGIES))
@pytest.mark.parametrize('left,batch', [(30, 8), (3, 8), (1, 8)])
def test_queries_are_distinct_and_remaining(name, left, batch):
  views = _views(left=left)
  query = registry.STRATEGIES[name](views, batch, jax.random.key(0))
  indices = np.asarray(query.indices)
  # Some ask about one modality, some about all of them.
  names = ((query.modality,) * batch if isinstance(query.modality, str)
           else query.modality)
  expected = min(left * len(set(names)), batch)
  assert indices.shape == (batch,) and indices.dtype == np.int32
  assert len(names) == batch and (indices[expected:] == -1).all()
  asked = list(zip(names, indices.tolist()))[:expected]
  assert len(set(asked)) == expected
  assert all(bool(views[m].remaining[i]) for m, i in asked)


@pytest.mark.parametrize('name', sorted(registry.STRATEGIES))
def test_copies_and_nothing_aligned(name):
  views = {
      m: dataclasses.replace(
          view, pool=jnp.tile(view.pool[:2], (20, 1)),
          aligned_mask=jnp.zeros(40, bool))
      for m, view in _views().items()}
  indices = np.asarray(
      registry.find(f'{name}@text')(views, 8, jax.random.key(1)).indices)
  assert len(set(indices.tolist())) == 8
  assert 0 <= indices.min() and indices.max() < 30


@pytest.mark.parametrize('name', sorted(registry.STRATEGIES))
def test_same_key_same_query(name):
  first, second = (
      registry.STRATEGIES[name](_views(), 8, jax.random.key(3))
      for _ in range(2))
  assert first.modality == second.modality
  np.testing.assert_array_equal(first.indices, second.indices)


@pytest.mark.parametrize('name', ['random', 'coreset', 'margin'])
def test_both_modalities_come_up(name):
  modalities = {registry.STRATEGIES[name](_views(), 2, jax.random.key(i))[0]
                for i in range(20)}
  assert modalities == set(MODALITIES)


@pytest.mark.parametrize('name', ['coreset', 'margin', 'mmal'])
@pytest.mark.parametrize('modality', MODALITIES)
def test_fixed_modality(name, modality):
  strategy = registry.find(f'{name}@{modality}')
  for i in range(5):
    assert strategy(_views(i), 2, jax.random.key(i)).modality == modality


def test_random_is_uniform():
  counts = np.zeros(40)
  for i in range(400):
    query = registry.STRATEGIES['random'](_views(), 6, jax.random.key(i))
    counts[np.asarray(query.indices)] += 1
  # 2,400 draws over 30 items: 80 each, standard deviation 8.
  assert (counts[30:] == 0).all()
  assert 45 < counts[:30].min() and counts[:30].max() < 115


def test_mmal_is_the_three_stages():
  views = _views(5)
  plain = {
      m: [np.asarray(x) for x in (
          v.pool, v.remaining, v.aligned[v.aligned_mask])]
      for m, v in views.items()}
  gaps = {m: reference.coverage_gap(*v) for m, v in plain.items()}
  modality = max(gaps, key=gaps.get)
  pool, remaining, aligned = plain[modality]
  candidates = reference.coreset(pool, remaining, aligned, 12)
  other = plain[{'image': 'text', 'text': 'image'}[modality]]
  query = mmal.mmal(views, 4, jax.random.key(0), coreset_ratio=3.0)
  assert query.modality == modality
  assert query.indices.tolist() == reference.uncertain(
      np.array(candidates), pool, *other[:2], 4)


def test_mmal_refuses_fewer_candidates_than_queries():
  with pytest.raises(ValueError, match=r'coreset_ratio=0\.5'):
    mmal.mmal(_views(), 4, jax.random.key(0), coreset_ratio=0.5)


@pytest.mark.parametrize('name', sorted(registry.STRATEGIES))
def test_both_modalities_share_a_batch(name):
  views = _views()
  views['text'] = dataclasses.replace(
      views['text'], remaining=jnp.arange(40) < 2)
  query = registry.find(f'{name}@both')(views, 10, jax.random.key(0))
  assert query.modality[:4] == ('image', 'text', 'image', 'text')
  assert query.modality[4:] == ('image',) * 6
  for modality, left in (('image', 30), ('text', 2)):
    mine = [int(i) for m, i in zip(query.modality, query.indices)
            if m == modality]
    alone = registry.find(f'{name}@{modality}')(
        views, len(mine), jax.random.key(0))
    if name not in ('random', 'two_sided'):  # Whose picks hang together.
      assert mine == alone.indices.tolist()
    assert len(set(mine)) == len(mine) and max(mine) < left


def test_both_with_little_or_nothing_left():
  views = {m: dataclasses.replace(view, remaining=jnp.arange(40) < n)
           for (m, view), n in zip(_views().items(), (0, 1))}
  query = registry.find('coreset@both')(views, 3, jax.random.key(0))
  assert query.modality[0] == 'text' and query.indices.tolist() == [0, -1, -1]


def test_modalities_in_turn():
  views = _views()
  for asked, expected in (((4, 3), 'text'), ((4, 4), 'image')):
    views = {
        m: dataclasses.replace(view, asked=jnp.int32(n))
        for (m, view), n in zip(views.items(), asked)}
    query = registry.find('coreset@alternate')(views, 3, jax.random.key(0))
    assert query.modality == expected
  # It is not the turn of what has nothing left.
  gone = dataclasses.replace(views['image'], remaining=jnp.zeros(40, bool))
  assert registry.find('coreset@alternate')(
      views | {'image': gone}, 3, jax.random.key(0)).modality == 'text'
  views['text'] = dataclasses.replace(views['text'], asked=None)
  with pytest.raises(ValueError, match='view.asked=None'):
    registry.find('coreset@alternate')(views, 3, jax.random.key(0))


def test_unknown_rules_and_names():
  with pytest.raises(ValueError, match="modality='sound' is none of gap, "):
    registry.find('coreset@sound')(_views(), 3, jax.random.key(0))
  for name in ('corset', 'coreset@', '@text'):
    with pytest.raises(ValueError, match=f'strategy={name!r} is unknown'):
      registry.find(name)


def test_three_modalities():
  views = _views() | {'sound': _views(7)['text']}
  chosen = set()
  for i in range(30):
    chosen.add(registry.find('random')(views, 2, jax.random.key(i)).modality)
  assert chosen == {'image', 'text', 'sound'}
  # As uncertain as the least certain match.
  scores = [reference.margins(
      np.asarray(views['image'].pool)[:30],
      np.asarray(views[m].pool), np.asarray(views[m].remaining))
            for m in ('text', 'sound')]
  query = registry.find('margin@image')(views, 5, jax.random.key(0))
  expected = np.argsort(np.minimum(*scores), kind='stable')[:5]
  assert query.indices.tolist() == expected.tolist()
