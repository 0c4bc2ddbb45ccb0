"""Damaged data of every kind: it is read, or refused in words.

Each reader gets files that were valid, with bytes changed, and JSON with a
value of any kind in place of one of its own. No reader opens a file elsewhere.
"""

from collections.abc import Callable
import io
import json
import pathlib
import sys
from typing import Any, NamedTuple

import hypothesis
from hypothesis import strategies as st
import numpy as np
from pyarrow import parquet
import pyarrow as pa
import pytest

from mmal_jax.data import coco_captions
from mmal_jax.data import colorswap
from mmal_jax.data import features
from mmal_jax.data import karpathy
from mmal_jax.data import paired_folder
from mmal_jax.data import unpaired_folder
from mmal_jax.data import webdataset
from mmal_jax.data.images import class_folder
from mmal_jax.data.images import preprocess
from mmal_jax.embed import disk
from tests.files import test_fuzz_files as fuzz
from tests.hostile import hostile_data_arrays as arrays
from tests.hostile import hostile_data_shards as shards
from tests.support import bad_images

_SMALL = preprocess.Preprocess(4, 4, 'shortest')


class Reader(NamedTuple):
  """Something that reads a file of others.

  Attributes:
    file: to be damaged, in a folder of images `0.png` to `3.png`.
    content: when all is right.
    read: the folder.
    names: one of which an error must name, beside the file.
    errors: that may be raised.
  """

  file: str
  content: bytes
  read: Callable[[pathlib.Path], Any]
  names: tuple[str, ...] = ()
  errors: tuple[type[Exception], ...] = (ValueError,)


def _lines(*rows: dict[str, Any]) -> bytes:
  return '\n'.join(map(json.dumps, rows)).encode()


def _unpaired(file: str):
  def read(folder):
    (folder / 'test').mkdir(exist_ok=True)
    (folder / 'test' / 't.png').write_bytes(bad_images.noise(9))
    (folder / 'test' / 'p.csv').write_text('image,text\nt.png,t\n')
    (folder / 'images').mkdir(exist_ok=True)
    (folder / 'images' / '0.png').write_bytes(bad_images.noise())
    return unpaired_folder.load(
        folder / 'images', folder / file, folder / 'test' / 'p.csv')
  return read


def _classes(folder):
  (folder / 'b').mkdir(exist_ok=True)
  (folder / 'b' / 'x.png').write_bytes(bad_images.noise())
  found = class_folder.load_labelled(folder, preprocess=_SMALL)
  assert found.images.take(np.arange(len(found))).shape[1:] == (4, 4, 3)


def _shards(folder):
  made = webdataset.load(folder / 'a.tar', test_fraction=0.5)
  assert len(made.pool) and len(made.test)


def _swap(folder):
  rest = {'id': 7, 'caption_1': 'a', 'caption_2': 'b', 'image_1': '2.png',
          'image_2': '3.png'}
  if not list(folder.glob('test*')):
    if (folder / 'train.json').exists():
      (folder / 'test.json').write_text(json.dumps([rest]))
    else:
      (folder / 'test-0.parquet').write_bytes(_examples(2))
  return colorswap.load(folder)


def _examples(first: int) -> bytes:
  images = [{'bytes': bad_images.noise(first + i), 'path': f'{i}.png'}
            for i in range(2)]
  return _parquet(id=[first], caption_1=['a'], caption_2=['b'],
                  image_1=images[:1], image_2=images[1:])


def _parquet(**columns) -> bytes:
  file = io.BytesIO()
  parquet.write_table(pa.table(columns), file)
  return file.getvalue()


def _npz() -> bytes:
  file = io.BytesIO()
  np.savez_compressed(file, image=arrays.ROWS, text=arrays.ROWS,
                      split=np.array(['train', 'test'] * 2))
  return file.getvalue()


def _features(file: str, split: str | None = None):
  def read(folder):
    (folder / 'good.npy').write_bytes(arrays.npy())
    path = folder / file
    made = features.load(
        folder / 'good.npy' if split else path, folder / 'good.npy', split=(
            path if split else None), test_fraction=0.5)
    for rows in made.pool.items.values():
      assert rows.dtype == np.float32 and np.isfinite(rows).all()
  return read


def _disk(folder):
  rows = disk.open_rows(folder / 'a.npy')
  assert rows.take(np.arange(len(rows))).shape == rows.shape
  assert sum(1 for _ in rows.chunks()) == rows.num_chunks


def _tfds(file: str) -> Reader:
  """A folder as TFDS prepares it, of no images."""
  info, descriptions = arrays.prepared_files()
  inside = 'coco_captions/2014/1.1.0'

  def read(folder):
    for name, content in (('features.json', descriptions),
                          ('dataset_info.json', info)):
      if name != file:
        (folder / inside / name).write_bytes(content)
    return coco_captions.load(folder)

  content = descriptions if file == 'features.json' else info
  return Reader(f'{inside}/{file}', content, read, ('coco_captions',))


def _karpathy(folder):
  return karpathy.load(folder / 'a.json', folder, test_captions=1)


_ROWS = _lines(
    {'image': '0.png', 'text': 'a', 'group': 1, 'split': 'pool'},
    {'image': '1.png', 'text': 'b', 'group': 1, 'split': 'pool'},
    {'image': '2.png', 'text': 'c', 'split': 'test'})
_CSV = b'image,text,group\n0.png,"a, b",1\n1.png,b,1\n2.png,c,\n'
_KARPATHY = json.dumps({'images': [
    {'filename': f'{i}.png', 'filepath': '.', 'split': split,
     'sentences': [{'raw': f'caption {i}'}]}
    for i, split in enumerate(('train', 'test', 'val', 'restval'))]}).encode()
_SWAP = json.dumps([{
    'id': 1, 'caption_1': 'a', 'caption_2': 'b', 'image_1': '0.png',
    'image_2': 'images/../1.png'}]).encode()
_FLOATS = ('images has', 'test_fraction')

READERS = {
    'pairs.jsonl': Reader('pairs.jsonl', _ROWS, paired_folder.load),
    'pairs.csv': Reader(
        'pairs.csv', _CSV,
        lambda folder: paired_folder.load(folder, 'pairs.csv'),
        ('test_fraction',)),
    'texts.txt': Reader(
        'texts.txt', 'a\nb\r\nä€\n'.encode(), _unpaired('texts.txt')),
    'texts.jsonl': Reader(
        'texts.jsonl', _lines({'text': 'a'}, {'text': 'b'}),
        _unpaired('texts.jsonl')),
    'karpathy': Reader('a.json', _KARPATHY, _karpathy),
    'colorswap': Reader('train.json', _SWAP, _swap, ('train: no example',)),
    'colorswap parquet': Reader('train-0.parquet', _examples(0), _swap),
    **{f'image {fmt} {mode}': Reader(
        f'a/x.{fmt.lower()}', bad_images.encoded(fmt, mode, **options),
        _classes, ("folder 'a'",))
       for fmt, mode, options in (
           ('PNG', 'RGBA', {}), ('PNG', 'P', {}), ('PNG', 'I;16', {}),
           ('JPEG', 'RGB', {}), ('JPEG', 'CMYK', {}), ('WEBP', 'RGB', {}),
           ('WEBP', 'RGBA', {'lossless': True}))},
    'image EXIF': Reader(
        'a/x.jpeg', bad_images.turned(6, t271='maker', t272='model'),
        _classes),
    'shard': Reader('a.tar', shards.GOOD + shards.END, _shards,
                    ('test_fraction',)),
    'shard of long names': Reader(
        'a.tar', shards.long_names() + shards.END, _shards,
        ('test_fraction',)),
    'npy': Reader('a.npy', arrays.npy(), _features('a.npy'), _FLOATS,
                  (ValueError, TypeError)),
    'npz': Reader('a.npz', _npz(), _features('a.npz'), _FLOATS,
                  (ValueError, TypeError)),
    'parquet': Reader(
        'a.parquet', _parquet(image=arrays.ROWS.tolist(), id=[1, 2, 3, 4]),
        _features('a.parquet'), _FLOATS, (ValueError, TypeError)),
    'split': Reader(
        's.parquet', _parquet(split=['train', 'test'] * 2),
        _features('s.parquet', 'split'), ('split',)),
    'disk': Reader('a.npy', arrays.npy(), _disk),
    'features.json': _tfds('features.json'),
    'dataset_info.json': _tfds('dataset_info.json'),
}
_WITH_JSON = ('pairs.jsonl', 'texts.jsonl', 'karpathy', 'colorswap',
              'features.json', 'dataset_info.json')

_allowed: list[str] = []  # where files may be opened now; anywhere, if empty
_opened: list[str] = []


def _see(event: str, args: tuple[Any, ...]) -> None:
  if event == 'open' and _allowed and not isinstance(args[0], int):
    path = str(pathlib.Path(str(args[0])).absolute())
    if not any(path.startswith(folder) for folder in _allowed):
      _opened.append(path)


@pytest.fixture(scope='module', autouse=True)
def _hook():
  """It stays for good, but sees nothing while nothing is asked."""
  sys.addaudithook(_see)


def read_damaged(
    reader: Reader, folder: pathlib.Path, content: bytes
) -> None:
  """Reads; raises what may not be raised."""
  (folder / reader.file).write_bytes(content)
  # What is imported only now, and the system's own.
  _allowed[:] = [str(folder), sys.prefix, sys.base_prefix, '/proc', '/sys',
                 str(pathlib.Path(class_folder.__file__).parents[3])]
  try:
    reader.read(folder)
  except reader.errors as e:
    assert type(e) in reader.errors, repr(e)
    text = str(e)
    assert any(name in text for name in (
        reader.file.split('/')[-1], *reader.names)), text
    assert len(text) < 25000 and '\x1b' not in text, text[:1000]
  finally:
    _allowed.clear()
  assert not _opened, _opened


def _check(name: str, damage, folder: pathlib.Path, examples: int) -> None:
  reader = READERS[name]
  (folder / reader.file).parent.mkdir(parents=True, exist_ok=True)
  for i in range(4):
    (folder / f'{i}.png').write_bytes(bad_images.noise(i))
  read_damaged(reader, folder, reader.content)

  @hypothesis.settings(deadline=None, max_examples=examples, database=None)
  @hypothesis.given(content=damage)
  def check(content):
    read_damaged(reader, folder, content)

  check()


def _damages(name: str):
  damage = fuzz.damaged(READERS[name].content)
  if name in _WITH_JSON:
    damage |= fuzz.with_another_value(READERS[name].content)
  return damage


@pytest.mark.parametrize('name', READERS)
def test_it_reads_or_refuses(name, tmp_path):
  _check(name, _damages(name), tmp_path, 20)


@pytest.mark.parametrize('name', READERS)
def test_it_refuses_noise(name, tmp_path):
  """Bytes of any kind, and the first of the file's own before them."""
  start = READERS[name].content[:20]
  _check(name, st.binary(max_size=600) | st.binary(max_size=600).map(
      lambda rest: start + rest), tmp_path, 5)


@pytest.mark.slow
@pytest.mark.parametrize('name', READERS)
def test_many(name, tmp_path):
  _check(name, _damages(name), tmp_path, 1500)
