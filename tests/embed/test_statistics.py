"""Statistics of rows on disk: those of NumPy in float64, kept beside them."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.embed import disk
from mmal_jax.embed import statistics
from mmal_jax.embed import to_disk

pytestmark = pytest.mark.usefixtures('quick_compilation')


def _rows(n, d=7, seed=0):
  """Within a narrow cone, as the rows of many encoders lie."""
  rng = np.random.default_rng(seed)
  rows = 5.0 + rng.normal(size=(n, d)) * np.linspace(0.1, 2.0, d)
  return rows.astype(np.float32)


@pytest.mark.parametrize('n,chunk', [(1, 1), (5, 2), (300, 300), (301, 64)])
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_statistics_are_those_of_all_rows(
    n, chunk, dtype, tmp_path, monkeypatch):
  monkeypatch.setattr(statistics, '_AT_ONCE', 48)
  rows = _rows(n).astype(jnp.dtype(dtype))
  np.save(tmp_path / '0.npy', rows[:n // 2 + 1])
  paths = [tmp_path / '0.npy']
  if n > 1:
    np.save(tmp_path / '1.npy', rows[n // 2 + 1:])
    paths += [tmp_path / '1.npy'] if n // 2 + 1 < n else []
  opened = disk.open_rows(
      paths, chunk_bytes=chunk * 7 * rows.dtype.itemsize, dtype=dtype)
  found, rows = statistics.of_rows(opened), rows.astype(float)
  norms = np.linalg.norm(rows, axis=1)
  assert found.count == n
  np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-5)
  np.testing.assert_allclose(
      found.covariance, np.cov(rows.T, bias=True) if n > 1 else 0, atol=3e-5)
  np.testing.assert_allclose(found.norms, [norms.min(), norms.max()], rtol=1e-5)
  vectors, variances = statistics.directions(found, 3)
  expected = np.linalg.eigvalsh(found.covariance)[::-1][:3]
  np.testing.assert_allclose(variances, np.maximum(expected, 0), atol=1e-9)
  np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-9)
  np.testing.assert_allclose(
      vectors.T @ found.covariance @ vectors, np.diag(expected), atol=1e-9)


@pytest.fixture
def taken(monkeypatch):
  """How many passes over rows were made."""
  count, of_rows = [], statistics.of_rows

  def counted(rows):
    count.append(len(rows))
    return of_rows(rows)

  monkeypatch.setattr(statistics, 'of_rows', counted)
  return count


def test_statistics_are_kept_for_as_long_as_the_rows_are_the_same(
    tiny_run, tmp_path, taken):
  items = tiny_run.data.pool.items['image']

  def embed(some):
    to_disk.embed_to_disk(
        tmp_path, tiny_run.learner.graphdef, tiny_run.params, some, 'image')
    return statistics.kept(tmp_path, 'image')

  found = embed(items)
  rows = np.load(tmp_path / 'image.npy')
  np.testing.assert_allclose(found.mean, rows.mean(axis=0), atol=1e-6)
  np.testing.assert_allclose(found.norms, 1, atol=1e-5)
  again = embed(items)
  assert taken == [40]
  for one, other in zip(found, again, strict=True):
    np.testing.assert_array_equal(one, other)
  fewer = embed(items.take(np.arange(30)))
  assert taken == [40, 30] and fewer.count == 30
  path = tmp_path / 'image.statistics.npz'
  for content in (b'', path.read_bytes()[:200]):
    path.write_bytes(content)
    np.testing.assert_array_equal(
        statistics.kept(tmp_path, 'image').mean, fewer.mean)
  assert taken == [40, 30, 30, 30]
  with pytest.raises(FileNotFoundError):
    statistics.kept(tmp_path, 'text')
