"""The k largest of tiles, against whole rows sorted in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire.kernels import k_largest


def _sorted(values, k):
  """`([n, k], [n, k])` of `[n, m]`: stable, so ties are the lowest index's."""
  padded = np.pad(values.astype(np.float64), ((0, 0), (0, k)),
                  constant_values=-np.inf)
  order = np.argsort(-padded, axis=1, kind='stable')[:, :k]
  best = np.take_along_axis(padded, order, axis=1)
  return np.where(best > -np.inf, order, -1), best


@pytest.mark.parametrize('axis', [0, 1])
@pytest.mark.parametrize('k', [1, 3, 20])
@pytest.mark.parametrize(
    'values', ['normal', 'few', 'equal', 'rising', 'few go'])
def test_tiles_give_what_whole_rows_do(values, k, axis):
  n, tile, tiles = 37, 192, 5
  rng = np.random.default_rng(k)
  whole = {
      'normal': rng.normal(size=(n, tile * tiles)),
      'few': rng.integers(-2, 3, size=(n, tile * tiles)),
      'equal': np.ones((n, tile * tiles)),
      'rising': np.tile(np.arange(tile * tiles) // 7, (n, 1)),
      'few go': np.where(rng.random((n, tile * tiles)) < 0.01, rng.integers(
          3, size=(n, tile * tiles)), -np.inf)}[values].astype(np.float32)
  add = jax.jit(k_largest.add, static_argnums=3)
  found = k_largest.nothing(n, k)
  for first in range(0, tile * tiles, tile):
    part = jnp.asarray(whole[:, first:first + tile])
    found = add(found, first, part.T if axis == 0 else part, axis)
  for x, y in zip(found, _sorted(whole, k)):
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize('c,k', [(1, 1), (5, 9), (97, 2), (130, 4), (64, 1)])
def test_tiles_that_cannot_be_cut_evenly(c, k):
  values = np.random.default_rng(c).integers(4, size=(3, c)).astype(np.float32)
  found = k_largest.add(k_largest.nothing(3, k), 0, jnp.asarray(values), 1)
  for x, y in zip(found, _sorted(values, k)):
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize('n', [1, 40, 1024, 1025, 4096, 4103, 100_000])
@pytest.mark.parametrize('most', [64, 1024, 4096])
def test_tiles_are_about_equal_and_can_be_cut(n, most):
  size = k_largest.size(n, most)
  assert 1 <= size <= n
  assert size <= most + 63 or n <= 1024
  assert size % 64 == 0 or n <= 1024
  assert -(-n // size) <= max(2, -(-n // most))
