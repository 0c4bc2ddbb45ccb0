"""Pools on disk: read right, refused if wrong, and picked from the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import coreset
from mmal_jax.acquire import coverage
from mmal_jax.acquire import modality
from mmal_jax.acquire import registry
from mmal_jax.acquire import uncertainty
from mmal_jax.acquire.kernels import matches
from mmal_jax.acquire.kernels import streaming
from mmal_jax.embed import disk
from tests.support import problems
from tests.support import reference

_SHARDS = (3, 100, 1, 47, 149)  # 300 rows
_ROW_BYTES = 4 * problems.D


def _save(folder, x, shards=_SHARDS):
  """The files of an array that is cut into shards of these sizes."""
  paths = []
  for i, part in enumerate(np.split(x, np.cumsum(shards)[:-1])):
    paths.append(folder / f'{x.dtype}_{i}.npy')
    np.save(paths[-1], part)
  return paths


def _array(dtype=np.float32, n=300):
  return np.random.default_rng(n).normal(size=(n, problems.D)).astype(dtype)


@pytest.mark.parametrize('chunk_rows', [1, 7, 64, 100, 300, 10_000])
def test_chunks_are_the_array(tmp_path, chunk_rows):
  x = _array()
  pool = disk.open_rows(_save(tmp_path, x), chunk_rows * _ROW_BYTES + 5)
  assert pool.shape == x.shape and len(pool) == 300 and pool.dtype == x.dtype
  assert pool.chunk_rows == min(chunk_rows, 300)
  chunks = list(pool.chunks())
  assert {chunk.shape for chunk in chunks} == {(pool.chunk_rows, problems.D)}
  assert len(chunks) == pool.num_chunks == -(-300 // pool.chunk_rows)
  joined = np.concatenate(chunks)
  np.testing.assert_array_equal(joined[:300], x)
  assert (joined[300:] == 0).all()
  np.testing.assert_array_equal(
      pool.read(1 % pool.num_chunks), chunks[1 % pool.num_chunks])


@pytest.mark.parametrize('shards', [_SHARDS, (300,)])
def test_take_is_in_any_order_and_across_shards(tmp_path, shards):
  x = _array()
  pool = disk.open_rows(_save(tmp_path, x, shards), 10 * _ROW_BYTES)
  indices = np.random.default_rng(0).integers(300, size=500)
  indices[:8] = [0, 2, 3, 102, 103, 104, 150, 299]  # edges of the shards
  np.testing.assert_array_equal(pool.take(indices), x[indices])
  assert pool.take(indices[:0]).shape == (0, problems.D)
  # Rows of its own, which may be written to, and not the file's.
  assert type(pool.take(indices)) is np.ndarray
  assert pool.take(np.arange(300)).flags.owndata


def test_one_path_is_one_shard(tmp_path):
  x = _array(np.float16, 5)
  path, = _save(tmp_path, x, (5,))
  for argument in (path, str(path), [path]):
    np.testing.assert_array_equal(disk.open_rows(argument).read(0), x)


def test_bfloat16_has_to_be_said(tmp_path):
  x = _array(jnp.bfloat16)
  paths = _save(tmp_path, x)
  pool = disk.open_rows(paths, dtype='bfloat16')
  assert pool.dtype == jnp.bfloat16
  np.testing.assert_array_equal(pool.read(0), x)
  bits = tmp_path / 'bits.npy'
  np.save(bits, x.view(np.uint16))
  np.testing.assert_array_equal(
      disk.open_rows(bits, dtype='bfloat16').read(0), x)
  with pytest.raises(ValueError, match='for bfloat16 say dtype'):
    disk.open_rows(paths)


@pytest.mark.parametrize('bad,what', [
    (np.ones((3, 2), int), r'bad.npy holds int64 of shape \(3, 2\); \[n, d\] of'
     ' float32, float16, bfloat16'),
    (np.ones((3, 2)), r'holds float64'),
    (np.ones(3, np.float32), r'holds float32 of shape \(3,\)'),
    (np.ones((0, 2), np.float32), r'of shape \(0, 2\)'),
    (np.array([['a', 'b']], object), 'bad.npy is not a .npy file of numbers'),
    (np.ones((2, 8), np.float32).T, 'holds <f4 in Fortran order'),
    (np.ones((3, 8), '>f4'), 'holds >f4 in C order; native'),
    (np.ones((3, 9), np.float32), 'float32 of width 9, but the first shard '
     'float32 of width 8'),
    (np.ones((3, 8), np.float16), 'holds float16 of width 8, but the first'),
])
def test_files_of_other_things_are_refused(tmp_path, bad, what):
  good, = _save(tmp_path, _array(n=4), (4,))
  np.save(tmp_path / 'bad.npy', bad, allow_pickle=True)
  with pytest.raises(ValueError, match=what):
    disk.open_rows([good, tmp_path / 'bad.npy'])


def test_other_refusals(tmp_path):
  good, = _save(tmp_path, _array(n=4), (4,))
  with pytest.raises(FileNotFoundError, match='none.npy'):
    disk.open_rows([good, tmp_path / 'none.npy'])
  np.savez(tmp_path / 'a.npz', x=_array(n=4))
  with pytest.raises(ValueError, match='a.npz is not a .npy file'):
    disk.open_rows(tmp_path / 'a.npz')
  (tmp_path / 'text.npy').write_text('1 2 3')
  with pytest.raises(ValueError, match='text.npy is not a .npy file'):
    disk.open_rows(tmp_path / 'text.npy')
  with pytest.raises(ValueError, match='chunk_bytes=31 must hold .* 32 bytes'):
    disk.open_rows(good, chunk_bytes=31)
  with pytest.raises(ValueError, match='paths is empty'):
    disk.open_rows([])


def _pair(tmp_path, metric, chunk_rows, rows=problems.unit):
  """Two problems, their views in memory, and on disk."""
  logits = {'logit_scale': jnp.float32(10), 'logit_bias': jnp.float32(-3)}
  rng = np.random.default_rng(4)
  pair, in_memory, on_disk = [], {}, {}
  for modality_name in ('image', 'text'):
    problem = problems.make(rng, rows, 300, metric, aligned=9)
    folder = tmp_path / modality_name
    folder.mkdir()
    pool = disk.open_rows(
        _save(folder, problem.pool), chunk_rows * _ROW_BYTES)
    pair.append(problem)
    in_memory[modality_name] = problem.view(**logits)
    on_disk[modality_name] = problem.view(pool=pool, **logits)
  return pair, in_memory, on_disk


@pytest.mark.long
@pytest.mark.parametrize('metric,chunk_rows', [
    ('cosine', 64), ('cosine', 300), ('sqeuclidean', 64), ('inner', 75)])
def test_stages_1_and_2(tmp_path, metric, chunk_rows):
  (problem, _), in_memory, on_disk = _pair(
      tmp_path, metric, chunk_rows, problems.exact(metric))
  expected = reference.k_center(*problem.arrays(), 20, metric)
  picks, passes = coreset.select_with_passes(on_disk['image'], 20, 16)
  assert picks.tolist() == expected and 1 < passes < 20
  assert coreset.select_coreset(in_memory['image'], 20).tolist() == expected
  near = reference.nearest(problem.pool, problem.arrays()[2], metric)
  covered = coverage.covered(on_disk['image'])
  np.testing.assert_allclose(covered.nearest, near, atol=1e-6)
  assert modality.coverage_gap(covered) == near[problem.remaining].max()


def test_more_picks_than_rows(tmp_path):
  (problem, _), _, on_disk = _pair(tmp_path, 'cosine', 64, problems.axes)
  remaining = problem.remaining & (np.arange(300) > 280)
  problem = problem._replace(remaining=remaining)
  view = problem.view(pool=on_disk['image'].pool)
  count = remaining.sum()
  for candidates in (16, 1000):
    picks = coreset.select_coreset(view, 20, candidates).tolist()
    assert picks[:count] == reference.k_center(
        *problem.arrays(), 20, 'cosine')
    assert picks[count:] == [-1] * (20 - count)


@pytest.mark.parametrize('side', ['image', 'text', 'both'])
def test_stage_3(tmp_path, side):
  pair, in_memory, on_disk = _pair(tmp_path, 'cosine', 64)
  on_side = {m: side in (m, 'both') for m in ('image', 'text')}
  view, other = (
      (on_disk if here else in_memory)[m] for m, here in on_side.items())
  candidates = np.arange(40, dtype=np.int32) * 7
  found = matches.match(jnp.asarray(candidates), view, other, softmax=True)
  rows = pair[0].pool[candidates]
  np.testing.assert_allclose(
      uncertainty.margins(found),
      reference.margins_by('cosine', rows, *pair[1].arrays()[:2]), atol=2e-6)
  chances = reference.chances(
      reference.logits(rows, *pair[1].arrays()[:2], 'cosine', scale=10))
  np.testing.assert_allclose(
      uncertainty.entropies(found), reference.entropy(chances), rtol=1e-4)


@pytest.mark.parametrize(
    'name', ['mmal', 'mmal_least_confidence', 'random', 'similarity'])
def test_strategies_do_not_notice(tmp_path, name):
  _, *both = _pair(tmp_path, 'cosine', 64)
  queries = [registry.STRATEGIES[name](v, 10, jax.random.key(1)) for v in both]
  assert queries[0].modality == queries[1].modality
  np.testing.assert_array_equal(queries[0].indices, queries[1].indices)


def test_at_most_two_chunks_are_read_ahead(tmp_path):
  pool = disk.open_rows(_save(tmp_path, _array()), 10 * _ROW_BYTES)
  reads, used, read = [], [], pool.read

  def counting(chunk):
    reads.append(len(used))
    return read(chunk)

  pool.read = counting
  streaming.over_chunks(lambda values: used.append(values.shape), pool)
  # Of chunk i, at least i - 2 have been worked on when it is read.
  assert len(used) == 30
  assert all(done >= i - 2 for i, done in enumerate(reads))
