"""Bad tables of a user's own columns: see `tests.hostile.hostile`."""

import os
import pathlib

import pyarrow
from pyarrow import parquet

from mmal_jax.data import table
from tests.hostile import hostile
from tests.support import bad_images
from tests.support import photo_tables

_GOOD = b'image,text\r\n0.png,a\r\n1.png,b\r\n'


def _read(path: pathlib.Path):
  found = table.load(path, test_fraction=0.5)
  return f'{len(found.pool)} pairs, and {len(found.test)} of the test'


def _table(content: bytes | str, name: str = 'a.csv'):
  """Reads it as a table beside two images."""
  def read(folder: pathlib.Path):
    photo_tables.photos(folder, 2)
    (folder / name).write_bytes(
        content if isinstance(content, bytes) else content.encode())
    return _read(folder / name)
  return read


def _of_file(make, name: str = 'a.csv'):
  """`make` puts something in the table's place."""
  def read(folder: pathlib.Path):
    make(folder / name)
    return _read(folder / name)
  return read


def _arrow(image, text=('a', 'b'), **more):
  """Parquet of these columns, `text2` being a second one named text."""
  def read(folder: pathlib.Path):
    photo_tables.photos(folder, 2)
    names = ['image', 'text', *(name.removesuffix('2') for name in more)]
    parquet.write_table(pyarrow.Table.from_arrays(
        [column if isinstance(column, pyarrow.Array) else pyarrow.array(
            list(column)) for column in (image, text, *more.values())],
        names=names), folder / 'a.parquet')
    return _read(folder / 'a.parquet')
  return read


def _zeros(path: pathlib.Path) -> None:
  """A table that grows to two hundred megabytes of images."""
  parquet.write_table(pyarrow.table({
      'image': [bytes(2**20)] * 200, 'text': list(map(str, range(200)))}), path)


_IMAGES = [bad_images.noise(i) for i in range(2)]
_PATHS = ['0.png', '1.png']

CASES = [
    hostile.Case('table', *case) for case in (
        ('no bytes', _table(b''), 'it holds no rows'),
        ('no bytes: JSON lines', _table(b'', 'a.jsonl'), 'it holds no rows'),
        ('no bytes: Parquet', _table(b'', 'a.parquet'), 'cannot be read: '),
        ('columns without rows', _table(b'image,text\n'), 'it holds no rows'),
        ('blank lines alone', _table(b'\n' * 10**5), 'it holds no rows'),
        ('Windows line ends', _table(_GOOD), None),
        ('a byte order mark', _table(b'\xef\xbb\xbf' + _GOOD), None),
        ('UTF-16', _table(_GOOD.decode().encode('utf-16')), None),
        ('Latin-1', _table(_GOOD + b'0.png,\xe9'), 'not UTF-8 text'),
        ('binary', _table(bytes(range(256))), 'not UTF-8 text'),
        ('Parquet by the name of a CSV', _table(b'PAR1' + bytes(99)),
         'column'),
        ('a CSV by the name of Parquet', _table(_GOOD, 'a.parquet'),
         'cannot be read: '),
        ('a column twice', _table(b'image,text,text\n0.png,a,b\n'),
         'a column appears twice'),
        ('a row that is too long', _table(_GOOD + b'0.png,c,d,e\n'),
         'line 4: 4 cells, but 2 columns'),
        ('a row that is too short', _table(_GOOD + b'0.png\n'),
         "line 4: 'text' is missing"),
        ('an empty text', _table(_GOOD + b'0.png,\n'), "line 4: 'text' is ''"),
        ('an empty path', _table(_GOOD + b',c\n'), "line 4: 'image' is ''"),
        ('pandas\'s column of numbers', _table(
            b',image,text\n0,0.png,a\n1,1.png,b\n'), None),
        ('NaN for a text', _table(
            b'{"image": "0.png", "text": NaN}', 'a.jsonl'),
         "line 1: 'text' is nan, not a text"),
        ('a list without texts', _table(
            b'{"image": "0.png", "text": []}', 'a.jsonl'),
         "'text' is [], not a text"),
        ('lists within a list', _table(
            b'{"image": "0.png", "text": [["a"]]}', 'a.jsonl'),
         "line 1, text 1: 'text' is ['a'], not a text"),
        ('an object for an image', _table(
            b'{"image": {"a": 1}, "text": "a"}', 'a.jsonl'),
         'neither a path nor the bytes of an image'),
        ('the table as an image', _table(_GOOD + b'a.csv,c\n'),
         "line 4: image 'a.csv' cannot be read"),
        ('a path up', _table(_GOOD + b'../../etc/passwd,c\n'), 'lies outside'),
        ('a path from the root', _table(_GOOD + b'/etc/passwd,c\n'),
         'lies outside'),
        ('a NUL in a path', _table(_GOOD + b'0.png\0,c\n'), 'holds a NUL'),
        ('an address', _table(_GOOD + b'https://a.b/c.png,c\n'),
         'nothing is downloaded'),
        ('a column of a name of a megabyte', _table(b'x' * 10**6 + b'\n1\n'),
         'which has: '),
        ('a hundred thousand other columns', _table(b'x,' * 10**5),
         'and 99980 more'),
        ('the same row 20000 times', _table(_GOOD + b'0.png,a\n' * 20000),
         'has 20000 problem(s)'),
        ('a pipe', _of_file(os.mkfifo), 'is no regular file'),
        ('a pipe: Parquet', _of_file(os.mkfifo, 'a.parquet'),
         'it is no regular file'),
        ('a folder', _of_file(os.mkdir), 'is no regular file'),
        ('a link to itself', _of_file(lambda path: path.symlink_to(path)),
         'cannot be read'),
        ('Parquet of paths', _arrow(_PATHS), None),
        ('Parquet of bytes', _arrow(_IMAGES), None),
        ('Parquet: a column twice', _arrow(_PATHS, text2=('c', 'd')),
         "the column 'text' more than once"),
        ('Parquet: no text', _arrow(_PATHS, ('a', None)),
         "row 1: 'text' is missing"),
        ('Parquet: NaN for texts', _arrow(_PATHS, (float('nan'), 1.0)),
         "row 0: 'text' is nan, not a text"),
        ('Parquet: bytes that are no image', _arrow([_IMAGES[0], b'x']),
         "row 1: image 'image' cannot be read"),
        ('Parquet: no bytes', _arrow([_IMAGES[0], b'']),
         "row 1: image 'image' is empty"),
        ('Parquet: a struct of nothing', _arrow(
            [{'bytes': None, 'path': None}] * 2), "row 0: 'image' is missing"),
        ('Parquet: a name of an image that is a number', _arrow(
            [{'bytes': one, 'path': 7} for one in _IMAGES]), None),
        ('Parquet: lists of images', _arrow([[one] for one in _IMAGES]),
         'neither a path nor the bytes of an image'),
        ('Parquet: far more than it could hold', _of_file(_zeros, 'a.parquet'),
         'would grow from'),
    )
]
