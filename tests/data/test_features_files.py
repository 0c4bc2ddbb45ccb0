"""Features in Parquet files, and of more modalities than two."""

import numpy as np
import pytest

from mmal_jax.data import features
from mmal_jax.files import parquet_column

pa = pytest.importorskip('pyarrow')
from pyarrow import parquet  # noqa: E402 pylint: disable=wrong-import-position

_N = 12


def _rows(d, seed=0, dtype=np.float32):
  return np.random.default_rng(seed).normal(size=(_N, d)).astype(dtype)


def _column(rows, kind):
  value = pa.from_numpy_dtype(rows.dtype)
  type_ = {'list': pa.list_(value), 'large': pa.large_list(value),
           'fixed': pa.list_(value, rows.shape[1])}[kind]
  return pa.array(list(rows), type_)


def _write(path, row_group_size=5, **columns):
  parquet.write_table(pa.table(columns), path, row_group_size=row_group_size)
  return path


@pytest.mark.parametrize('kind', ['list', 'large', 'fixed'])
@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_parquet_is_the_same_as_npy(tmp_path, kind, dtype):
  images, texts = _rows(4, 0, dtype), _rows(3, 1, dtype)
  paths = [_write(tmp_path / 'i.parquet', id=list(range(_N)),
                  clip=_column(images, kind)),
           _write(tmp_path / 't.parquet', embedding=_column(texts, kind),
                  other=_column(images, kind))]
  read = features.load(*paths, seed=3)
  for name, rows in (('i.npy', images), ('t.npy', texts)):
    np.save(tmp_path / name, rows)
  expected = features.load(tmp_path / 'i.npy', tmp_path / 't.npy', seed=3)
  for a, b in ((read.pool, expected.pool), (read.test, expected.test)):
    for name in ('image', 'text'):
      np.testing.assert_array_equal(a.items[name], b.items[name])
      assert a.items[name].dtype == np.float32


def test_one_parquet_file_of_all_columns(tmp_path):
  images, texts = _rows(4, 0), _rows(3, 1)
  path = _write(
      tmp_path / 'all.parquet', text=_column(texts, 'list'),
      image=_column(images, 'fixed'), split=['train'] * 8 + ['test'] * 4)
  data = features.load(path, path, path)
  np.testing.assert_array_equal(data.pool.items['image'], images[:8])
  np.testing.assert_array_equal(data.test.items['text'], texts[8:])


def test_columns_of_another_kind_do_not_count(tmp_path):
  images, texts = _rows(4, 0), _rows(3, 1)
  words = [f'caption {i}' for i in range(_N)]
  path = _write(
      tmp_path / 't.parquet', text=words, embedding=_column(texts, 'list'),
      split=['train'] * 8 + ['test'] * 4)
  data = features.load(
      _write(tmp_path / 'i.parquet', image=words, clip=_column(images, 'list'),
             embedding=list(range(_N))), path, split=_write(
                 tmp_path / 's.parquet', of=['train'] * 8 + ['test'] * 4,
                 embedding=_column(texts, 'list')))
  np.testing.assert_array_equal(data.pool.items['image'], images[:8])
  np.testing.assert_array_equal(data.test.items['text'], texts[8:])
  with pytest.raises(ValueError, match="'int64'.; of strings, one named 'spl"):
    features.load(path, path, _write(
        tmp_path / 'n.parquet', split=list(range(_N))))


@pytest.mark.parametrize('dtype', ['S5', 'S40', 'S'])
@pytest.mark.parametrize('ending', ['npy', 'npz'])
def test_split_of_bytes(tmp_path, dtype, ending):
  images, texts = _rows(4, 0), _rows(3, 1)
  np.savez(tmp_path / 'all.npz', image=images, text=texts)
  path = tmp_path / f's.{ending}'
  save = np.save if ending == 'npy' else np.savez
  words = ['train', 'test', 'other'] * (_N // 3)
  save(path, np.array([word.encode() for word in words], dtype))
  files = [tmp_path / 'all.npz'] * 2 + [path]
  data = features.load(*files)
  np.testing.assert_array_equal(data.pool.items['image'], images[0::3])
  np.testing.assert_array_equal(data.test.items['text'], texts[1::3])
  with pytest.raises(ValueError, match=rf"split='.*s.{ending}' never says "
                     r"'valid'; it says \['other', 'test', 'train'\]"):
    features.load(*files, test_split='valid')
  save(path, np.array([word.replace('train', 'pr\u00fcf').encode()
                       for word in words]))
  data = features.load(*files, pool_split='pr\u00fcf')
  np.testing.assert_array_equal(data.pool.items['image'], images[0::3])
  save(path, np.array([b'train', b'test', b'pr\xfcf'] * (_N // 3)))
  with pytest.raises(ValueError, match=rf"s.{ending}' holds bytes that are no "
                     r"UTF-8 text, b'pr\\xfcf' in row 2: save it as strings"):
    features.load(*files)
  save(path, np.array(words[:4]))
  with pytest.raises(ValueError, match=rf"split='.*s.{ending}' has shape \(4,"):
    features.load(*files)


def test_any_number_of_modalities(tmp_path):
  rows = {'image': _rows(4, 0), 'text': _rows(3, 1), 'audio': _rows(2, 2),
          'depth': _rows(5, 3)}
  np.savez(tmp_path / 'all.npz', **rows,
           split=np.array(['train', 'test', 'train'] * 4))
  path = tmp_path / 'all.npz'
  parquet_path = _write(
      tmp_path / 'd.parquet', depth=_column(rows['depth'], 'list'),
      image=_column(rows['image'], 'list'))
  data = features.load(
      path, path, path, others={'audio': path, 'depth': parquet_path})
  is_test = np.arange(_N) % 3 == 1
  for pairs, mask in ((data.pool, ~is_test), (data.test, is_test)):
    assert list(pairs.items) == list(rows)
    for name in rows:
      np.testing.assert_array_equal(pairs.items[name], rows[name][mask])
    assert len(pairs) == mask.sum()
  np.save(tmp_path / 'short.npy', rows['audio'][1:])
  for others, what in [({'audio': tmp_path / 'short.npy'}, 'audio has 11'),
                       ({'image': path}, "others names 'image'"),
                       ({'smell': path}, r"others\['smell'\].*arrays")]:
    with pytest.raises(ValueError, match=what):
      features.load(path, path, path, others=others)


@pytest.mark.parametrize('columns,what', [
    (dict(a=[[1.0]] * 2, b=[[1.0]] * 2), r"columns \['a', 'b'\]"),
    (dict(a=[1.0, 2.0]), r"columns \['a'\]"),
    (dict(embedding=[1.0, 2.0]), r"\['embedding'\] of \['double'\]; of lists"),
    (dict(image=[[1.0], None, None]), "row 1 of column 'image' is missing"),
    (dict(a=[[1.0, 2.0], [3.0, 4.0], [5.0]]), 'row 2 of column .a. holds 1'),
    (dict(a=[[1.0], [None]]), 'first is row 1'),
    (dict(a=[[1.0], [float('inf')], [float('nan')]]), '2 row.s.*is row 1'),
    (dict(a=pa.array([[], []], pa.list_(pa.float32()))), r'shape \(2, 0\)'),
])
def test_bad_columns(tmp_path, columns, what):
  path = _write(tmp_path / 'x.parquet', **columns)
  with pytest.raises(ValueError, match=what):
    features.load(path, path)


def test_bad_files(tmp_path):
  good = _write(tmp_path / 'good.parquet', a=_column(_rows(2), 'list'))
  bad = tmp_path / 'bad.parquet'
  bad.write_bytes(good.read_bytes()[:-20])
  for path in (bad, tmp_path / 'none.parquet'):
    with pytest.raises(ValueError, match='cannot be read'):
      features.load(path, good)
  whole = _write(tmp_path / 'whole.parquet', a=[[1], [2]])
  with pytest.raises(TypeError, match='int64; floats'):
    features.load(whole, good)
  words = _write(tmp_path / 'words.parquet', image=['x', 'y'])
  with pytest.raises(ValueError, match="'string'.; of lists of numbers"):
    features.load(words, good)


def test_a_file_of_no_rows_has_its_width(tmp_path):
  empty = pa.array([], pa.list_(pa.float32(), 3))
  path = _write(tmp_path / 'x.parquet', a=empty)
  assert parquet_column.read(path, 'a').shape[0] == 0
  with pytest.raises(ValueError, match='shape'):
    features.load(path, path)
