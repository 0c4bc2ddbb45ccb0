"""The table of tiles: complete, and read by the kernels that it names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import views as views_lib
from mmal_jax.acquire.kernels import kmeans
from mmal_jax.acquire.kernels import pseudo_alignment
from mmal_jax.acquire.kernels import tile_sizes
from mmal_jax.acquire.kernels import typicality

_TILE = tile_sizes.Tile(96, 48)


def _lloyd(x):
  there = jnp.ones(len(x), bool)
  found = kmeans.lloyd(x, there, x[:8], there[:8], iterations=3)
  return found.labels


def _typicality(x):
  groups = jnp.arange(len(x), dtype=jnp.int32) % 3
  return typicality.typicality(x, groups, jnp.ones(len(x), bool), 4)


def _view(x):
  return views_lib.View(x, jnp.ones(len(x), bool), x[:1], jnp.zeros(1, bool))


def _best_matches(x):
  return pseudo_alignment.best_matches(_view(x), _view(x[::-1]), 4)[1]


def _best_both_ways(x):
  (_, one), (_, other) = pseudo_alignment.best_both_ways(
      _view(x[:300]), _view(x[200:]), 4)
  return jnp.concatenate([one, other])


_USES = {'kmeans': _lloyd, 'typicality': _typicality,
         'best_matches': _best_matches, 'best_both_ways': _best_both_ways}


@pytest.mark.parametrize('use', tile_sizes.TILES)
def test_every_platform_has_tiles(use):
  table = tile_sizes.TILES[use]
  assert set(table) == {'cpu', 'gpu', 'tpu'}
  assert len({tile.columns is None for tile in table.values()}) == 1
  for tile in table.values():
    # A TPU pads arrays to multiples of 8 x 128; odd sizes would be wasted.
    assert tile.rows % 64 == 0 and (tile.columns or 64) % 64 == 0


def test_a_tile_goes_by_the_platform_that_is_compiled_for():
  of_cpu = tile_sizes.of('nearest')
  assert of_cpu == tile_sizes.TILES['nearest'][jax.default_backend()]
  with tile_sizes.compiled_for('tpu'):
    assert tile_sizes.of('nearest') == tile_sizes.TILES['nearest']['tpu']
    with tile_sizes.instead(('nearest', _TILE)):
      assert tile_sizes.of('nearest') == _TILE
      assert tile_sizes.of('gains') == tile_sizes.TILES['gains']['tpu']
  with tile_sizes.compiled_for('a new chip'):
    assert tile_sizes.of('nearest') == tile_sizes.TILES['nearest']['gpu']
  assert tile_sizes.of('nearest') == of_cpu


@pytest.mark.parametrize('use', _USES)
def test_kernels_read_the_table_and_find_the_same_with_any_tile(use):
  x = jnp.asarray(np.random.default_rng(0).normal(size=(500, 16)), jnp.float32)
  run = _USES[use]
  text, found = jax.jit(run).lower(x).as_text(), run(x)
  for tile in (_TILE, tile_sizes.Tile(64, 512)):
    with tile_sizes.instead((use, tile)):
      assert jax.jit(run).lower(x).as_text() != text
      np.testing.assert_allclose(run(x), found, rtol=1e-5)
  # What was compiled for another tile is not taken for this one.
  assert jax.jit(run).lower(x).as_text() == text
