"""Tables of images and texts: every format, and what can be wrong with them."""

import codecs

import numpy as np
import pyarrow
from pyarrow import parquet
import pytest

from mmal_jax.data import registry
from mmal_jax.data import schema
from mmal_jax.data import table
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess
from tests.support import bad_images
from tests.support import photo_tables

_ROWS = [{'image': f'photos/{i}.png', 'caption': f'caption {i}', 'other': 7}
         for i in range(10)]


def _csv(separator=','):
  lines = [separator.join(('', 'image', 'caption', 'other'))]
  lines += [separator.join((str(i), *map(str, row.values())))
            for i, row in enumerate(_ROWS)]
  return '\r\n'.join(lines).encode()


def _arrow(path, image, caption, **more):
  parquet.write_table(pyarrow.table(
      {'image': image, 'caption': caption} | more), path)
  return path


def _texts(data):
  return sorted((*data.pool.items['text'], *data.test.items['text']))


@pytest.fixture(name='folder')
def _folder(tmp_path):
  photo_tables.photos(tmp_path / 'photos')
  return tmp_path


@pytest.mark.parametrize('name,content', [
    ('a.csv', _csv()), ('a.CSV', codecs.BOM_UTF8 + _csv()),
    ('a.csv', _csv(';')), ('a.tsv', _csv('\t')),
    ('a.csv', _csv().decode().encode('utf-16')),
    ('a.jsonl', photo_tables.json_lines(_ROWS)),
    ('a.ndjson', codecs.BOM_UTF8 + photo_tables.json_lines(_ROWS))])
def test_every_format_of_text(folder, name, content):
  """Also with marks, Windows line ends and pandas's column of numbers."""
  (folder / name).write_bytes(content)
  data = registry.DATASETS['table'](
      folder / name, text_column='caption', image_size=8)
  assert (len(data.pool), len(data.test), data.pretrain) == (8, 2, None)
  assert data.pool.items['image'].shape == (8, 8, 8, 3)
  assert _texts(data) == [row['caption'] for row in _ROWS]


@pytest.mark.parametrize('image', ['path', 'bytes', 'struct', 'struct of path'])
def test_parquet_of_paths_and_of_bytes(folder, image):
  contents = [bad_images.noise(i) for i in range(10)]
  column = {
      'path': [row['image'] for row in _ROWS], 'bytes': contents,
      'struct': [{'bytes': one, 'path': f'{i}.png'}
                 for i, one in enumerate(contents)],
      'struct of path': [{'bytes': None, 'path': row['image']}
                         for row in _ROWS]}[image]
  path = _arrow(folder / 'a.parquet', column, [r['caption'] for r in _ROWS])
  data = table.load(path, text_column='caption', image_size=8)
  lazy = table.load(path, text_column='caption',
                    preprocess=preprocess.Preprocess(8, 8))
  files = lazy.pool.items['image']
  assert isinstance(files, image_files.ImageFiles)
  np.testing.assert_array_equal(
      files.take(np.arange(8)), data.pool.items['image'])
  first = data.pool.items['text'].index('caption 3')
  (folder / 'x.png').write_bytes(contents[3])
  np.testing.assert_array_equal(
      data.pool.items['image'][first], image_files.ImageFiles(
          [folder / 'x.png'], preprocess.Preprocess(8, 8)).take([0])[0])


@pytest.mark.parametrize('kind', ['jsonl', 'parquet', 'rows', 'bytes'])
def test_several_texts_of_an_image(folder, kind):
  """Rows of an image stay on one side, and `captions` takes the first ones."""
  names = [f'photos/{i}.png' for i in range(10)]
  texts = [[f'{i} {letter}' for letter in 'abc'] for i in range(10)]
  path = folder / ('a.jsonl' if kind == 'jsonl' else 'a.parquet')
  if kind == 'jsonl':
    path.write_bytes(photo_tables.json_lines(
        {'image': name, 'caption': of} for name, of in zip(names, texts)))
  elif kind == 'parquet':
    _arrow(path, names, texts)
  else:
    _arrow(path, [bad_images.noise(i) if kind == 'bytes' else name
                  for i, name in enumerate(names) for _ in range(3)],
           [text for of in texts for text in of])
  for captions, n in ((None, 3), (2, 2), (5, 3)):
    data = table.load(path, text_column='caption', captions=captions,
                      image_size=8)
    assert (len(data.pool), len(data.test)) == (8 * n, 2 * n)
    assert _texts(data) == sorted(text for of in texts for text in of[:n])
    assert not {text.split()[0] for text in data.pool.items['text']} & {
        text.split()[0] for text in data.test.items['text']}
    ids = schema.item_ids(data.pool.items['image'])
    assert len(set(ids.tolist())) == 8


def test_splits_by_a_column_and_by_a_table(folder):
  names = ['train', 'pool', 'TRAIN', 'pretrain', 'val', 'test', 'validation']
  rows = [row | {'split': name} for row, name in zip(_ROWS, names)]
  (folder / 'a.jsonl').write_bytes(photo_tables.json_lines(rows))
  data = table.load(folder / 'a.jsonl', text_column='caption',
                    split_column='split', image_size=8)
  assert data.pool.items['text'] == ('caption 0', 'caption 1', 'caption 2')
  assert data.pretrain.items['text'] == ('caption 3',)
  assert data.test.items['text'] == ('caption 5',)
  (folder / 'b.jsonl').write_bytes(photo_tables.json_lines(_ROWS[8:]))
  (folder / 'a.csv').write_bytes(b'\r\n'.join(_csv().split(b'\r\n')[:8]))
  data = table.load(folder / 'a.csv', text_column='caption',
                    test=folder / 'b.jsonl', image_size=8)
  assert len(data.pool) == 7
  assert data.test.items['text'] == ('caption 8', 'caption 9')
  (folder / 'b.jsonl').write_bytes(photo_tables.json_lines(_ROWS[6:]))
  arguments = dict(table=folder / 'a.csv', text_column='caption',
                   test=folder / 'b.jsonl', image_size=8)
  with pytest.raises(ValueError, match=(
      r"b.jsonl, line 1: the same image and text as a.csv, line 8: delete one, "
      r'or give drop_duplicates=True')):
    table.load(**arguments)
  with pytest.raises(ValueError, match='give one of the two'):
    table.load(**arguments, split_column='other')


def test_images_in_another_folder(folder, tmp_path):
  (tmp_path / 'tables').mkdir()
  (tmp_path / 'tables' / 'a.jsonl').write_bytes(photo_tables.json_lines(_ROWS))
  arguments = dict(table=tmp_path / 'tables' / 'a.jsonl',
                   text_column='caption', image_size=8)
  assert len(table.load(**arguments, folder=folder).pool) == 8
  with pytest.raises(ValueError, match=(
      "line 1: image 'photos/0.png' does not exist.")):
    table.load(**arguments)


def test_two_pools_of_a_table(folder):
  """Cells may be empty, and no row says what belongs together."""
  rows = [{'image': 'photos/0.png', 'caption': None},
          {'image': 'photos/1.png'}, {'image': None, 'caption': 'a'},
          {'image': float('nan'), 'caption': ['b', 'c']},
          {'image': '', 'caption': 'd'}, {'image': 'photos/1.png'}]
  (folder / 'a.jsonl').write_bytes(photo_tables.json_lines(rows))
  (folder / 'known.csv').write_text('image,caption\nphotos/8.png,x\n')
  arguments = dict(table=folder / 'a.jsonl', text_column='caption',
                   paired=False, image_size=8)
  data = table.load(**arguments, test=folder / 'known.csv')
  assert isinstance(data.pool, schema.Loose)
  assert data.pool.items['image'].shape == (2, 8, 8, 3)
  assert data.pool.items['text'] == ('a', 'b', 'c', 'd')
  assert data.test.items['text'] == ('x',) and data.pretrain is None
  with pytest.raises(ValueError, match='paired=False needs a few pairs'):
    table.load(**arguments)
  (folder / 'a.jsonl').write_bytes(photo_tables.json_lines(
      row | {'split': 'pool'} for row in rows))
  with pytest.raises(ValueError, match='no row is a test pair'):
    table.load(**arguments, split_column='split')
  (folder / 'a.jsonl').write_bytes(photo_tables.json_lines([
      *(row | {'split': 'train'} for row in rows),
      {'image': 'photos/0.png', 'caption': 'a', 'split': 'test'}]))
  with pytest.raises(ValueError) as e:
    table.load(**arguments, split_column='split')
  assert ("line 1: image '0.png' is the same as '0.png' of the test pairs"
          in str(e.value))
  assert 'line 3: the same text as line 7 of the test pairs' in str(e.value)
  data = table.load(**arguments, split_column='split', drop_duplicates=True)
  assert len(data.pool.items['image']) == 1
  assert data.pool.items['text'] == ('b', 'c', 'd')


def test_a_column_that_lacks_is_named_with_those_that_are_there(folder):
  (folder / 'a.csv').write_bytes(_csv())
  for name, image in (('a.csv', 'image'), ('a.jsonl', 'image'),
                      ('a.parquet', 'picture')):
    if name == 'a.jsonl':
      (folder / name).write_bytes(photo_tables.json_lines(_ROWS))
    elif name == 'a.parquet':
      parquet.write_table(pyarrow.Table.from_pylist(_ROWS), folder / name)
    with pytest.raises(ValueError) as e:
      table.load(folder / name, image_column=image, text_column='text')
    columns = ("column 'text' (of text_column) is" if image == 'image' else
               "columns 'picture' (of image_column) and 'text' (of text_column)"
               ' are')
    assert str(e.value) == (
        f"{columns} not in {name}, which has: 'image', 'caption', 'other'.")


def test_every_problem_is_said_at_once(folder):
  (folder / 'photos' / 'no.png').write_bytes(b'no image')
  rows = [*_ROWS[:2], {'image': 'gone.png', 'caption': 'x'},
          {'image': 'photos/no.png', 'caption': 'y'},
          {'image': 'photos/2.png', 'caption': float('nan')},
          {'image': 'https://a.b/c.png', 'caption': 'z'},
          {'image': 7, 'caption': 'z'}, {'caption': 'z'},
          {'image': '../x.png', 'caption': 'z'},
          {'image': 'photos/3.png', 'caption': ['a', '', 'b']},
          {'image': 'photos/0.png', 'caption': 'caption 0'}]
  (folder / 'a.jsonl').write_bytes(photo_tables.json_lines(rows))
  with pytest.raises(ValueError) as e:
    table.load(folder / 'a.jsonl', text_column='caption')
  lines = str(e.value).splitlines()
  assert lines[0].endswith('a.jsonl has 9 problem(s):')
  for line, said in zip(lines[1:], (
      "line 3: image 'gone.png' does not exist.",
      "line 5: 'caption' is nan, not a text.",
      "line 6: image 'https://a.b/c.png' is an address: nothing is downloaded",
      "line 7: 'image' is 7, neither a path nor the bytes of an image.",
      "line 8: 'image' is missing.",
      "line 9: image '../x.png' lies outside the folder.",
      "line 10, text 2: 'caption' is '', not a text.",
      'line 11: the same image and text as line 1: delete one',
      "line 4: image 'no.png' cannot be read"), strict=True):
    assert line.strip().startswith(said)


@pytest.mark.parametrize('argument,said', [
    ({'captions': 0}, 'captions=0 must be at least 1'),
    ({'table': 'a.xlsx'}, "table='a.xlsx' must end in .csv, .tsv, .jsonl"),
    ({'table': 'gone.csv'}, "table='gone.csv' cannot be read: No such file"),
    ({'table': 'gone.parquet'}, "cannot be read: it is no regular file"),
    ({'test': 'gone.jsonl'}, "test='gone.jsonl' cannot be read: No such")])
def test_arguments_that_are_wrong(folder, monkeypatch, argument, said):
  (folder / 'a.csv').write_bytes(_csv())
  monkeypatch.chdir(folder)
  with pytest.raises(ValueError, match=said):
    table.load(**{'table': 'a.csv', 'text_column': 'caption'} | argument)


@pytest.mark.long
def test_a_hundred_thousand_rows_are_cheap(folder, monkeypatch):
  """Each image is looked up once, and read a few times at most."""
  looked_up = []
  find = table.image_cells.image_listing.find
  monkeypatch.setattr(
      table.image_cells.image_listing, 'find',
      lambda *of: looked_up.append(of) or find(*of))
  (folder / 'a.csv').write_text('image,text\n' + ''.join(
      f'photos/{i % 12}.png,caption {i}\n' for i in range(10**5)))
  data = table.load(folder / 'a.csv', image_size=1)
  assert len(data.pool) + len(data.test) == 10**5
  assert len(looked_up) == 12
