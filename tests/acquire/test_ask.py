"""`ask`: the strategies for arrays of any kind, and nothing wrong let in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import ask as ask_lib
from mmal_jax.acquire import check
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import registry
from mmal_jax.acquire import views as views_lib
from mmal_jax.embed import disk
from mmal_jax.experiment import compilations
from mmal_jax.parallel import sharding
from tests.support import problems
from tests.support import reference

_N, _BATCH = 80, 6
_A = 64  # which `ask` need not pad: what is compiled serves all tests


def _arguments(dtype=np.float32, sizes=(_N, _N), aligned=_A):
  """Of `ask`, by name."""
  rng = np.random.default_rng(0)
  arguments = {'batch': _BATCH}
  for m, n in zip(('image', 'text'), sizes):
    arguments[f'{m}s'] = problems.of_any_norm(rng, n).astype(dtype)
    arguments[f'{m}_remaining'] = rng.random(n) < 0.8
    arguments[f'aligned_{m}s'] = problems.unit(rng, aligned).astype(dtype)
  return arguments


def _views(arguments, metric=metric_lib.COSINE, scale=None, bias=None):
  """As a user of the stages would make them."""
  return {
      m: views_lib.View(
          *(jnp.asarray(arguments[name]) for name in (
              f'{m}s', f'{m}_remaining', f'aligned_{m}s')), jnp.ones(_A, bool),
          logit_scale=scale, logit_bias=bias, metric=metric)
      for m in ('image', 'text')}


def _assert_same(query, expected):
  assert query.modality == expected.modality
  np.testing.assert_array_equal(query.indices, expected.indices)


@pytest.mark.parametrize('name', registry.STRATEGIES)
def test_every_strategy_answers_as_on_views(name):
  arguments = _arguments()
  expected = registry.STRATEGIES[name](
      _views(arguments, scale=jnp.float32(9), bias=jnp.float32(-2)), _BATCH,
      jax.random.key(5))
  query = ask_lib.ask(
      **arguments, strategy=name, logit_scale=9.0, logit_bias=-2.0, seed=5)
  _assert_same(query, expected)
  assert isinstance(query.indices, np.ndarray)
  assert query.indices.shape == (_BATCH,) and query.indices.dtype == np.int32


def test_a_strategy_of_ones_own():
  seen = []

  def mine(views, batch, key):
    seen.append((views, key))
    return views_lib.Query('text', jnp.arange(batch))

  query = ask_lib.ask(**_arguments(), strategy=mine, seed=3)
  _assert_same(query, views_lib.Query('text', np.arange(_BATCH)))
  ask_lib.ask(
      **_arguments(aligned=9), strategy=mine, logit_scale=4, logit_bias=-2.5)
  (views, key), (with_logits, _) = seen
  assert key == jax.random.key(3)
  for view in views.values():
    assert view.logit_scale is None is view.logit_bias
    assert view.aligned_mask.sum() == _A
  for view in with_logits.values():
    assert view.logit_scale == 4 and view.logit_bias == -2.5
    # Padded to 64 at least, so that the first rounds share a program.
    assert len(view.aligned) == 64 and view.aligned_mask.sum() == 9


@pytest.mark.parametrize('metric', metric_lib.METRICS)
def test_the_metric_is_used(metric):
  arguments = _arguments(aligned=9)
  query = ask_lib.ask(
      **arguments, strategy='coreset@image',
      metric=metric_lib.METRICS[metric])
  assert query.indices.tolist() == reference.k_center(
      arguments['images'], arguments['image_remaining'],
      arguments['aligned_images'], _BATCH, metric)


def _save(folder, x):
  path = folder / 'pool.npy'
  folder.mkdir()
  np.save(path, x)
  return disk.open_rows(path, chunk_bytes=25 * x[0].nbytes)


@pytest.mark.long
@pytest.mark.parametrize('strategy', ['mmal', 'random'])
def test_where_the_pools_lie_does_not_matter(strategy, tmp_path):
  arguments = _arguments(sizes=(83, 61))  # which eight devices don't divide
  expected = ask_lib.ask(**arguments, strategy=strategy)

  def ask(place, **others):
    moved = {name: place(arguments[name]) for name in ('images', 'texts')}
    return ask_lib.ask(**{**arguments, **moved}, strategy=strategy, **others)

  _assert_same(ask(jnp.asarray), expected)
  _assert_same(ask(lambda x: x, rows=sharding.row_sharding()), expected)
  _assert_same(ask(lambda x: _save(tmp_path / str(len(x)), x)), expected)


def test_pools_that_are_sharded_already():
  arguments = _arguments()
  expected = ask_lib.ask(**arguments)
  rows = sharding.row_sharding()
  for name in ('images', 'texts'):
    arguments[name] = jax.device_put(arguments[name], rows)
  _assert_same(ask_lib.ask(**arguments), expected)


@pytest.mark.long
@pytest.mark.parametrize('dtype', [np.float16, jnp.bfloat16])
def test_half_precision(dtype, tmp_path):
  arguments = _arguments(dtype)
  query = ask_lib.ask(**arguments, strategy='coreset@text')
  assert query.indices.tolist() == reference.k_center(
      arguments['texts'], arguments['text_remaining'],
      arguments['aligned_texts'], _BATCH, 'cosine')
  np.save(tmp_path / 'texts.npy', arguments['texts'])
  arguments['texts'] = disk.open_rows(
      tmp_path / 'texts.npy', chunk_bytes=25 * 2 * problems.D,
      dtype='bfloat16' if dtype == jnp.bfloat16 else None)
  _assert_same(ask_lib.ask(**arguments, strategy='coreset@text'), query)


def test_the_first_batch_is_random_whatever_the_strategy():
  arguments = _arguments(aligned=0)
  queries = [ask_lib.ask(**arguments, seed=seed) for seed in range(6)]
  for seed, query in enumerate(queries):
    _assert_same(
        ask_lib.ask(**arguments, seed=seed, strategy='margin'), query)
    remaining = arguments[f'{query.modality}_remaining']
    assert len(set(query.indices)) == _BATCH and remaining[query.indices].all()
  assert len({tuple(query.indices) for query in queries}) == 6
  assert {query.modality for query in queries} == set(('image', 'text'))


def test_a_growing_aligned_set_is_compiled_in_few_sizes():
  counter = compilations.CompilationCounter()
  counts = []
  for a in (65, 66, 100, 127, 128, 129):
    before = counter.count
    ask_lib.ask(**_arguments(aligned=a), strategy='mmal@image')
    counts.append(counter.count - before)
  assert counts[0] > 0 and counts[-1] > 0  # The counter counts.
  assert counts[1:-1] == [0, 0, 0, 0]


def test_a_pool_is_sharded_before_anything_else(monkeypatch):
  # It may be larger than any one device.
  seen = []
  values = check.values

  def spy(name, given, *others):
    seen.append((name, sharding.rows_of(given) is not None))
    return values(name, given, *others)

  monkeypatch.setattr(check, 'values', spy)
  ask_lib.ask(**_arguments(), rows=sharding.row_sharding())
  assert dict(seen) == {'images': True, 'texts': True,
                        'aligned_images': False, 'aligned_texts': False}
