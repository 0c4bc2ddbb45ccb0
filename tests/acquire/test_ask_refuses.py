"""`ask` refuses what is wrong, and says what it got and what it wants."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import ask as ask_lib
from mmal_jax.acquire import metric as metric_lib
from mmal_jax.acquire import mixups
from mmal_jax.embed import disk
from mmal_jax.parallel import sharding

_D = 4


def _rows(n, d=_D, dtype=np.float32):
  return np.ones((n, d), dtype)


def _with(x, row, value):
  x = x.copy()
  x[row, 0 if np.isfinite(value) and value else slice(None)] = value
  return x


def _ask(strategy='random', **changes):
  arguments = {
      'images': _rows(10), 'texts': _rows(8), 'aligned_images': _rows(3),
      'aligned_texts': _rows(3), 'batch': 2, **changes}
  return ask_lib.ask(strategy=strategy, **arguments)


def test_what_the_others_change_is_right():
  assert _ask().indices.shape == (2,)


@pytest.mark.parametrize('changes,what', [
    ({'images': _rows(10, dtype=np.complex64)},
     'images has dtype complex64; one of float32, float64, float16, bfloat16'),
    ({'texts': _rows(10, dtype=np.int32)}, 'texts has dtype int32; one of'),
    ({'aligned_texts': _rows(3, dtype=bool)}, 'aligned_texts has dtype bool'),
    ({'texts': [[1.0], [1.0, 2.0]]}, r'texts is a list of rows .*\[1, 2\]'),
    ({'aligned_images': 3.0}, 'aligned_images is a float; an array'),
    ({'image_remaining': np.ones(10, int)},
     'image_remaining has dtype int64; bool is needed'),
    ({'text_remaining': np.arange(8)}, 'text_remaining has dtype int64; bool'),
    ({'batch': 2.0}, r'batch=2\.0 must be an integer'),
    ({'batch': True}, 'batch=True must be an integer'),
])
def test_other_types(changes, what):
  with pytest.raises(TypeError, match=what):
    _ask(**changes)


@pytest.mark.parametrize('changes,what', [
    ({'images': np.ones(_D, np.float32)},
     r'images has shape \(4,\); \[n, d\] is needed'),
    ({'images': np.float32(3)[None][:, None, None]}, r'images has shape \(1, '),
    ({'images': _rows(0)}, r'images has shape \(0, 4\); .* at least one row'),
    ({'texts': _rows(0)}, r'texts has shape \(0, 4\); .* at least one row'),
    ({'texts': _rows(8, 5)}, r'texts has shape \(8, 5\); \[n, 4\] is needed'),
    ({'aligned_texts': _rows(3, 5)}, r'aligned_texts has .* \(3, 5\); \[n, 4'),
    ({'aligned_texts': np.ones(_D, np.float32)}, r'aligned_texts .* \(4,\); '),
    ({'aligned_texts': _rows(2)},
     'aligned_images has 3 rows and aligned_texts 2'),
    ({'image_remaining': np.ones(9, bool)},
     r'image_remaining has shape \(9,\); \(10,\) is needed'),
    ({'text_remaining': np.ones((8, 1), bool)},
     r'text_remaining has shape \(8, 1\); \(8,\) is needed'),
])
def test_shapes_that_do_not_fit(changes, what):
  with pytest.raises(ValueError, match=what):
    _ask(**changes)


@pytest.mark.parametrize('changes,what', [
    ({'images': _with(_rows(10), [4, 7], np.nan)},
     'images is NaN or infinite .* in 2 of 10 rows, the first of them row 4'),
    ({'texts': jnp.asarray(_with(_rows(8), 7, -np.inf))},
     'texts is NaN or infinite .* in 1 of 8 rows, .* row 7'),
    ({'aligned_images': _with(_rows(3), 1, np.inf)},
     'aligned_images is NaN or infinite .* in 1 of 3 rows, .* row 1'),
    ({'images': _with(_rows(10), 3, 0)},
     'images is all zeros .* in 1 of 10 rows, .* them row 3: the cosine'),
    ({'aligned_texts': _with(_rows(3), 0, 0)},
     'aligned_texts is all zeros .* in 1 of 3 rows, .* row 0'),
    ({'batch': 0}, 'batch=0 must be at least 1 .* 10 images, 8 texts'),
    ({'batch': 9}, 'batch=9 must .* within what remains: 10 images, 8 texts'),
    ({'image_remaining': np.arange(10) < 1}, 'batch=2 .* 1 images, 8 texts'),
    ({'strategy': 'best'}, "strategy='best' is unknown; known are .*mmal, "),
    ({'logit_scale': 0.0}, r'logit_scale=0\.0 must be above 0'),
    ({'logit_scale': -2.0}, r'logit_scale=-2\.0 must be above 0'),
    ({'logit_scale': float('nan')}, 'logit_scale=nan must be finite'),
    ({'strategy': 'entropy'}, 'logit_scale=None'),
    ({'strategy': ['mmal']}, 'strategy=.* is unknown'),
    ({'logit_bias': float('nan')}, 'logit_bias=nan must be finite'),
    ({'logit_scale': 1e39}, r'logit_scale=1e\+39 must be finite and below'),
    ({'seed': -1}, r'seed=-1 must lie within'),
    # In float32 their squares are infinite, or 0.
    ({'images': 1e20 * _rows(10)}, 'images is NaN or infinite .* 10 of 10'),
    ({'aligned_texts': 1e-20 * _rows(3)}, 'aligned_texts is all zeros .or n'),
])
def test_values_out_of_bounds(changes, what):
  with pytest.raises(ValueError, match=what):
    _ask(**changes)


def test_rows_of_zeros_are_for_the_cosine_alone_to_refuse():
  zero = _with(_rows(10), 3, 0)
  for metric in (metric_lib.SQEUCLIDEAN, metric_lib.INNER):
    assert _ask(images=zero, metric=metric).indices.shape == (2,)


def test_pools_on_disk(tmp_path):
  path = tmp_path / 'images.npy'
  np.save(path, _with(_rows(10), 8, np.nan))
  pool = disk.open_rows(path, chunk_bytes=3 * 4 * _D)
  with pytest.raises(ValueError, match='images .* 1 of 10 rows, .* row 8'):
    _ask(images=pool)
  # The chunk's padding of zeros is not reported.
  np.save(path, _rows(10))
  pool = disk.open_rows(path, chunk_bytes=3 * 4 * _D)
  assert _ask(images=pool).indices.shape == (2,)
  with pytest.raises(ValueError, match='pool on disk.* cannot be sharded'):
    _ask(images=pool, rows=sharding.row_sharding())


def test_aligned_items_on_disk(tmp_path):
  np.save(tmp_path / 'aligned.npy', _rows(3))
  with pytest.raises(TypeError, match='aligned_images'):
    _ask(aligned_images=disk.open_rows(tmp_path / 'aligned.npy'))


@pytest.mark.parametrize('images', [
    np.ones((), np.float32), [], np.ones((3, 0), np.float32)])
def test_images_that_have_no_width(images):
  with pytest.raises(ValueError, match='images has shape'):
    _ask(images=images)


@pytest.mark.parametrize('changes,what', [
    ({'metric': np.dot}, "metric=.*must be 'cosine', 'sqeuclidean', 'inner'"),
    ({'rows': 'data'}, "rows='data' must shard a leading axis"),
    ({'logit_scale': '9'}, "logit_scale='9' must be a number"),
    ({'seed': 1.5}, r'seed=1\.5 must be an integer'),
])
def test_arguments_of_other_types(changes, what):
  with pytest.raises(TypeError, match=what):
    _ask(**changes)


def test_known_rows_are_found_as_numpy_finds_them():
  rng = np.random.default_rng(0)
  for _ in range(100):
    pool = rng.integers(20, size=rng.integers(1, 30)).astype(np.uint64)
    aligned = rng.integers(25, size=rng.integers(12)).astype(np.uint64)
    rows, count = np.unique(pool, return_counts=True)
    np.testing.assert_array_equal(
        mixups._known(pool, aligned),
        np.isin(pool, np.intersect1d(rows[count == 1], aligned)))
    np.testing.assert_array_equal(
        mixups._among(aligned, np.sort(pool)), np.isin(aligned, pool))
