"""Bad arrays, Parquet files and TFDS folders: see `tests.hostile.hostile`."""

import io
import json
import os
import pathlib
import pickle
import zipfile

import numpy as np
from pyarrow import parquet
import pyarrow as pa

from mmal_jax.data import coco_captions
from mmal_jax.data import colorswap
from mmal_jax.data import features
from tests.hostile import hostile
from tests.support import bad_images

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


class _Touch:
  """Leaves a file behind when it is unpickled."""

  def __reduce__(self):
    return pathlib.Path.touch, (pathlib.Path('/tmp/mmal_jax_was_here'),)


def npy(array: np.ndarray = ROWS, *changes: tuple[bytes, bytes]) -> bytes:
  """A file of an array, in which bytes are changed for as many others."""
  file = io.BytesIO()
  np.lib.format.write_array(file, array)
  content = file.getvalue()
  for old, new in changes:
    assert old in content and len(old) == len(new)
    content = content.replace(old, new)
  return content


def _says(shape: str, dtype: str = '<f4', fortran: bool = False) -> bytes:
  """48 bytes of numbers behind a header that says anything."""
  header = (f"{{'descr': {dtype!r}, 'fortran_order': {fortran}, "
            f"'shape': {shape}, }}\n").encode()
  return (b'\x93NUMPY\x01\0' + len(header).to_bytes(2, 'little') + header
          + ROWS.tobytes())


def _load(folder: pathlib.Path, **files):
  found = features.load(**files, test_fraction=0.5)
  assert not pathlib.Path('/tmp/mmal_jax_was_here').exists()
  return f'{len(found.pool)} + {len(found.test)} rows'


def _images(content: bytes, name: str = 'images.npy'):
  """Reads it as features of images, beside good ones of texts."""
  def read(folder: pathlib.Path):
    (folder / name).write_bytes(content)
    (folder / 'texts.npy').write_bytes(npy())
    return _load(folder, images=folder / name, texts=folder / 'texts.npy')
  return read


def _zip(*members: tuple[str, bytes], compression=zipfile.ZIP_STORED, **lies):
  """Reads an archive of them."""
  def read(folder: pathlib.Path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', compression) as archive:
      for name, content in members:
        if callable(content):
          with archive.open(name, 'w') as inside:
            content(inside)
        else:
          archive.writestr(name, content)
      for name, value in lies.items():
        setattr(archive.infolist()[0], name, value)
    return _images(file.getvalue(), 'images.npz')(folder)
  return read


def _zeros(file) -> None:
  """An honest array of 128 MiB that takes a thousandth of that."""
  file.write(_says(f'({2**24}, 2)')[:-ROWS.nbytes])
  for _ in range(128):
    file.write(bytes(2**20))


def _parquet(change=None, **columns):
  """Reads it as features of images; `change` is done to its bytes."""
  def read(folder: pathlib.Path):
    path = folder / 'images.parquet'
    parquet.write_table(pa.table(columns), path)
    if change:
      path.write_bytes(change(path.read_bytes()))
    (folder / 'texts.npy').write_bytes(npy())
    return _load(folder, images=path, texts=folder / 'texts.npy')
  return read


def _repeated(folder: pathlib.Path, name: str = 'image'):
  """20 million zeros in a few kilobytes."""
  path = folder / 'images.parquet'
  lists = pa.FixedSizeListArray.from_arrays(
      pa.array(np.zeros(2**20, np.float32)), 16)
  with parquet.ParquetWriter(path, pa.schema([(name, lists.type)])) as file:
    for _ in range(20):
      file.write_table(pa.table({name: lists}), 2**16)
  return _load(folder, images=path, texts=path)


def _split(names: list[str | None]):
  def read(folder: pathlib.Path):
    (folder / 'x.npy').write_bytes(npy())
    parquet.write_table(pa.table({'split': names}), folder / 's.parquet')
    found = features.load(folder / 'x.npy', folder / 'x.npy',
                          folder / 's.parquet')
    return f'{len(found.pool)} + {len(found.test)} rows'
  return read


def _fifo(name: str):
  def read(folder: pathlib.Path):
    os.mkfifo(folder / name)
    return _load(folder, images=folder / name, texts=folder / name)
  return read


def _swap(**columns: object):
  """Reads one example of ColorSwap a split, with changed columns."""
  def read(folder: pathlib.Path):
    for i, split in enumerate(('train', 'test')):
      row = {'id': i, 'caption_1': 'a', 'caption_2': 'b',
             'image_1': {'bytes': bad_images.noise(2 * i), 'path': 'x'},
             'image_2': {'bytes': bad_images.noise(2 * i + 1), 'path': 'x'}}
      row = {k: v for k, v in (row | columns).items() if v != 'none'}
      parquet.write_table(pa.Table.from_pylist([row]),
                          folder / f'{split}-0.parquet')
    return f'{len(colorswap.load(folder).pool)} pairs'
  return read


def _copies(folder: pathlib.Path):
  """192 times the same megabyte, stored once."""
  image = {'bytes': bytes(2**20), 'path': 'x'}
  rows = [{'id': i, 'caption_1': 'a', 'caption_2': 'b', 'image_1': image,
           'image_2': image} for i in range(96)]
  for split in ('train', 'test'):
    parquet.write_table(pa.Table.from_pylist(rows),
                        folder / f'{split}-0.parquet')
  return colorswap.load(folder)


def prepared_files(
    descriptions: object = None, **info: object
) -> tuple[bytes, bytes]:
  """`dataset_info.json` and `features.json` as TFDS writes them, changed."""
  text = {'pythonClassName':
          'tensorflow_datasets.core.features.text_feature.Text', 'text': {}}
  good = {'pythonClassName':
          'tensorflow_datasets.core.features.features_dict.FeaturesDict',
          'featuresDict': {'features': {'image/filename': text}}}
  split = {'name': 'train', 'numBytes': '1', 'shardLengths': ['1'],
           'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'
           } | info.pop('split', {})
  fields = {'name': 'coco_captions', 'configName': '2014', 'version': '1.1.0',
            'fileFormat': 'array_record', 'splits': [split]} | info
  return json.dumps(fields).encode(), json.dumps(
      good if descriptions is None else descriptions).encode()


def _prepared(descriptions: object = None, **info: object):
  """Reads a folder that they describe, of no images."""
  files = prepared_files(descriptions, **info)

  def read(folder: pathlib.Path):
    inside = folder / 'coco_captions' / '2014' / '1.1.0'
    inside.mkdir(parents=True)
    for name, content in zip(('dataset_info.json', 'features.json'), files):
      (inside / name).write_bytes(content)
    (inside / 'coco_captions-train.array_record-00000-of-00001').write_bytes(
        bytes(1000))
    (folder / 'elsewhere').write_bytes(bytes(1000))
    return coco_captions.load(folder)
  return read


_NAN = ROWS.copy()
_NAN[2, 1] = np.nan
_FIELDS = [('a', '<f4'), ('b', 'O')]

CASES = [
    hostile.Case('features', *case) for case in (
        ('no bytes', _images(b''), 'it is empty, as after a download'),
        ('a text', _images(b'1, 2, 3\n' * 9), 'it is no .npy file'),
        ('pickled objects', _images(npy(np.array([[_Touch()]], object))),
         'pickled objects, which could run code'),
        ('a pickle, without NumPy', _images(pickle.dumps(_Touch())),
         'it is no .npy file'),
        ('pickled objects among numbers', _images(_says('(4,)', _FIELDS)),
         'pickled objects, which could run code'),
        ('says 10**12 rows', _images(_says('(1000000000000, 3)')),
         'takes 12000000000082 bytes, but it has 130'),
        ('a shape that wraps around', _images(_says(f'({2**32}, {2**32})')),
         'bytes, but it has'),
        ('a shape below zero', _images(_says('(-1, 3)')), 'its shape is (-1'),
        ('a shape of truths', _images(_says('(True, 12)')), 'its shape is'),
        ('a shape of fractions', _images(_says('(4.0, 3)')), 'cannot be read'),
        ('a shape of 5000 digits', _images(_says(f'({"9" * 5000}, 3)')),
         'cannot be read'),
        ('no number a row', _images(_says('(9223372036854775807, 0)')),
         'bytes, but it has'),
        ('numbers of no size', _images(_says(
            '(9223372036854775807,)', '<U0')), 'bytes, but it has'),
        ('fewer rows than are there', _images(_says('(3, 3)')),
         'takes 106 bytes, but it has 118'),
        ('two arrays one after the other', _images(npy() * 2),
         'bytes, but it has'),
        ('cut', _images(npy()[:-1]), 'takes 176 bytes, but it has 175'),
        ('a header of 64 kB', _images(npy((np.zeros(
            1, [(f'f{i}', 'f4') for i in range(3000)])))), 'cannot be read'),
        ('a header of brackets', _images(
            _says('(' * 5000 + ')' * 5000)), 'cannot be read'),
        ('a header that calls a function', _images(_says(
            '__import__("os").getpid()')), 'cannot be read'),
        ('a header that is no ASCII', _images(npy(
            ROWS, (b"'descr'", b"'d\xe9scr'"))), 'cannot be read'),
        ('a version that there is not', _images(npy(
            ROWS, (b'NUMPY\x01', b'NUMPY\x09'))), 'version (9, 0)'),
        ('rows of columns', _images(npy(np.asfortranarray(ROWS))), None),
        ('bytes the other way around', _images(npy(ROWS.astype('>f4'))), None),
        ('half precision', _images(npy(ROWS.astype(np.float16))), None),
        ('rows of zeros', _images(npy(ROWS * 0 + [[0.0], [1], [2], [3]])),
         None),
        ('NaN', _images(npy(_NAN)), 'in 1 row(s), the first is row 2'),
        ('more than float32 holds', _images(npy(np.full((4, 3), 1e300))),
         'infinity, as float32, in 4 row(s), the first is row 0'),
        ('a pipe', _fifo('images.npy'), 'it is no regular file'),
        ('a pipe for Parquet', _fifo('images.parquet'), 'no regular file'),
        ('no file', lambda folder: _load(
            folder, images=folder / 'x.npy', texts=folder / 'x.npy'),
         'cannot be read'),
        ('npz: pickled objects', _zip(('image.npy', npy(
            np.array([[_Touch()]], object)))), 'which could run code'),
        ('npz: a bomb of 128 MiB', _zip(
            ('image.npy', _zeros), compression=zipfile.ZIP_DEFLATED),
         'would grow from'),
        ('npz: an array twice', _zip(('image.npy', npy()), ('image', npy())),
         'no two of one name'),
        ('npz: none of the name', _zip(('a.npy', npy()), ('b.npy', npy())),
         "holds the arrays ['a', 'b']"),
        ('npz: none', _zip(), 'holds the arrays []'),
        ('npz: a member that leads up', _zip(('../../x.npy', npy())), None),
        ('npz: says that it is larger', _zip(
            ('image.npy', npy()), file_size=10**6), 'bytes, but it has'),
        ('npz: says that it is smaller', _zip(
            ('image.npy', npy()), file_size=100), 'Bad CRC-32'),
        ('npz: a wrong checksum', _zip(('image.npy', npy()), CRC=7),
         'Bad CRC-32'),
        ('npz: says that it is encrypted', _zip(
            ('image.npy', npy()), flag_bits=1), 'encrypted'),
        ('npz: a way to pack that there is not', _zip(
            ('image.npy', npy()), compress_type=77), 'cannot be read'),
        ('Parquet: cut', _parquet(lambda c: c[:-9], image=[[1.0]] * 4),
         'cannot be read'),
        ('Parquet: no bytes', _parquet(lambda _: b'', image=[[1.0]] * 4),
         'cannot be read'),
        ('Parquet: a row is missing', _parquet(image=[[1.0], None] * 2),
         'row 1 of column'),
        ('Parquet: a number is missing', _parquet(image=[[1.0], [None]] * 2),
         'first is row 1'),
        ('Parquet: lists of texts', _parquet(image=[['a']] * 4),
         'lists of numbers'),
        ('Parquet: lists of lists', _parquet(image=[[[1.0]]] * 4),
         'lists of numbers'),
        ('Parquet: lists of any length', _parquet(
            image=[[1.0], [1.0, 2.0]] * 2), 'row 1 of column'),
        ('Parquet: 20 million zeros in a few kB', _repeated,
         'would grow from'),
        ('Parquet: the same, of a name with a full stop',
         lambda folder: _repeated(folder, 'image.clip'), 'would grow from'),
        ('Parquet: too many names of splits', _split(['train'] * 10**6),
         'it has 1000000 rows; the features have 4'),
        ('Parquet: a name of a megabyte',
         _split(['train', 'test', 'a' * 10**6, 'a']), 'of 1000000 bytes'),
        ('Parquet: a name is missing', _split(['train', None, 'test', 'a']),
         'row 1 of column'),
        ('Parquet: names that are alike', _split(
            ['train', 'Train', 'test', 'tra\u0131n']), None),
    )
] + [
    hostile.Case('features', 'complex numbers', _images(
        npy(ROWS.astype(np.complex64))), 'complex64; floats', TypeError),
    hostile.Case('features', 'texts for numbers', _images(
        npy(ROWS.astype(str))), 'floats are needed', TypeError),
    hostile.Case('features', 'numbers with names', _images(
        _says('(4,)', [('a', '<f4'), ('b', '<f8')])), 'floats are needed',
                 TypeError),
] + [
    hostile.Case('colorswap', *case) for case in (
        ('Parquet: images without bytes', _swap(image_1={'path': 'x'}),
         "'image_1' holds no bytes"),
        ('Parquet: images that are numbers', _swap(image_1=3),
         "'image_1' holds no bytes"),
        ('Parquet: a path that is a list', _swap(
            image_2={'bytes': b'x', 'path': ['a']}), "image 'image_2' cannot"),
        ('Parquet: a path up, which is but a name', _swap(image_2={
            'bytes': bad_images.encoded(), 'path': '../../x'}), None),
        ('Parquet: captions that are bytes', _swap(caption_1=b'a'),
         "'caption_1' is b'a', not a text"),
        ('Parquet: a column is missing', _swap(caption_1='none'),
         "no column ['caption_1']"),
        ('Parquet: one image, stored once, 192 times', _copies,
         'would grow from'),
    )
] + [
    hostile.Case('coco_captions', *case) for case in (
        ('a feature of other people\'s code', _prepared(
            {'pythonClassName': 'antigravity.Image', 'image': {}}),
         "names 'antigravity.Image', no feature of TFDS"),
        ('the same, as TFDS wrote it long ago', _prepared(
            {'type': 'antigravity.Image', 'content': {}}), 'no feature of'),
        ('features that are a list', _prepared([]), 'cannot be read'),
        ('shards elsewhere', _prepared(
            split={'filepathTemplate': '../../../elsewhere'}),
         "names 'elsewhere', no file of this folder"),
        ('a split that leads up', _prepared(split={'name': '../x'}),
         'no file of this folder'),
        ('10**18 images in a kilobyte', _prepared(
            split={'shardLengths': [str(10**18)]}),
         'holds 1000000000000000000 images, and it has 1000 bytes'),
        ('no version', _prepared(version='newest'), 'cannot be read'),
        ('zeros for a shard', _prepared(), 'problem(s)'),
    )
]
