"""ColorSwap's two published layouts, in small; what can be wrong with them."""

import io
import json

import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import colorswap
from mmal_jax.data import encode
from mmal_jax.data import registry
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess

pa = pytest.importorskip('pyarrow')
from pyarrow import parquet  # noqa: E402 pylint: disable=wrong-import-position


def _png(seed):
  file = io.BytesIO()
  noise = np.random.default_rng(seed).integers(256, size=(8, 8, 3))
  Image.fromarray(noise.astype(np.uint8)).save(file, 'PNG')
  return file.getvalue()


def _examples(n, start):
  """As the published files have them; images as bytes."""
  return [{
      'id': i,
      'caption_1': f'a red fox and a blue hat {i}',
      'caption_2': f'a blue fox and a red hat {i}',
      'image_1': _png(2 * i), 'image_2': _png(2 * i + 1),
      'image_source': 'midjourney', 'caption_source': 'human',
  } for i in range(start, start + n)]


_SPLITS = {'train': _examples(5, 0), 'test': _examples(3, 5)}


def _write_json(folder, splits=None):
  (folder / 'images').mkdir()
  for split, examples in (splits or _SPLITS).items():
    rows = []
    for example in examples:
      row = dict(example)
      for half in (1, 2):
        if isinstance(row[f'image_{half}'], bytes):
          name = f'images/img_{row["id"]}_{half}.png'
          (folder / name).write_bytes(row[f'image_{half}'])
          row[f'image_{half}'] = name
      rows.append(row)
    (folder / f'{split}.json').write_text(json.dumps(rows))
  return folder


def _write_parquet(folder, splits=None, shards=2):
  (folder / 'data').mkdir()
  image = pa.struct([('bytes', pa.binary()), ('path', pa.string())])
  types = pa.schema([
      ('id', pa.int32()), ('image_1', image), ('image_2', image),
      ('caption_1', pa.string()), ('caption_2', pa.string()),
      ('image_source', pa.string()), ('caption_source', pa.string())])
  for split, examples in (splits or _SPLITS).items():
    rows = [example | {
        f'image_{half}': {'bytes': example[f'image_{half}'],
                          'path': f'img_{example["id"]}_{half}.png'}
        for half in (1, 2)} for example in examples]
    for shard in range(shards):
      low, high = (len(rows) * s // shards for s in (shard, shard + 1))
      parquet.write_table(
          pa.Table.from_pylist(rows[low:high], types),
          folder / 'data' / f'{split}-0000{shard}-of-0000{shards}.parquet')
  return folder


def _expected(split):
  return np.stack([
      np.asarray(Image.open(io.BytesIO(example[f'image_{half}'])))
      for example in _SPLITS[split] for half in (1, 2)])


@pytest.mark.parametrize('write', [_write_json, _write_parquet])
def test_both_layouts(tmp_path, write, monkeypatch):
  monkeypatch.setattr(colorswap, '_BATCH', 2)
  data = registry.DATASETS['colorswap'](write(tmp_path), image_size=8)
  for split, pairs in (('train', data.pool), ('test', data.test)):
    n = 2 * len(_SPLITS[split])
    images = pairs.items['image']
    assert images.shape == (n, 8, 8, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(images, _expected(split))
    assert pairs.items['text'] == tuple(
        example[f'caption_{half}'] for example in _SPLITS[split]
        for half in (1, 2))
    assert pairs.groups.tolist() == [i // 2 for i in range(n)]
    assert pairs.groups.dtype == np.int32
  assert data.pretrain is None and data.labelled is None


@pytest.mark.parametrize('write', [_write_json, _write_parquet])
def test_images_that_stay_encoded(tmp_path, write):
  cut = preprocess.Preprocess(4, 6)
  data = colorswap.load(write(tmp_path), preprocess=cut)
  images = data.pool.items['image']
  assert isinstance(images, image_files.ImageFiles)
  assert images.shape == (10, 4, 4, 3)
  np.testing.assert_array_equal(
      images.take(np.array([9, 0])),
      np.stack([cut.apply(x) for x in _expected('train')[[9, 0]]]))
  # What is made of them later is made of the images themselves.
  encoded = encode.encode(
      data, preprocess=preprocess.Preprocess(2, 2)).pool.items['image']
  assert encoded.values.shape == (10, 2, 2, 3)
  assert encoded.ids.tolist() == list(range(10))
  assert len(set(images.digests)) == 10


def test_one_parquet_file_beside_the_readme(tmp_path):
  _write_parquet(tmp_path, shards=1)
  for path in (tmp_path / 'data').iterdir():
    path.rename(tmp_path / path.name)
  assert len(colorswap.load(tmp_path, image_size=8).pool) == 10


def test_layouts_are_not_guessed(tmp_path):
  with pytest.raises(ValueError, match='neither train.json and train-'):
    colorswap.load(tmp_path)
  _write_parquet(_write_json(tmp_path))
  with pytest.raises(ValueError, match='both train.json and train-'):
    colorswap.load(tmp_path)
  with pytest.raises(ValueError, match='leave it out'):
    colorswap.load(tmp_path, 8, preprocess.Preprocess(4, 4))


def _spoilt(**changes):
  return [example | changes if i == 1 else example
          for i, example in enumerate(_SPLITS['train'])]


def test_every_problem_of_json(tmp_path):
  (tmp_path / 'outside.png').write_bytes(_png(0))
  folder = tmp_path / 'colorswap'
  folder.mkdir()
  rows = _spoilt(image_1='images/gone.png', caption_2=' ', id=0) + [
      {'id': 'x', 'caption_1': 7, 'image_1': '../outside.png',
       'image_2': b'nonsense'}, ['x']]
  _write_json(folder, {'train': rows[:-1], 'test': _SPLITS['test']})
  content = json.loads((folder / 'train.json').read_text())
  (folder / 'train.json').write_text(json.dumps(content + rows[-1:]))
  with pytest.raises(ValueError) as e:
    colorswap.load(folder)
  for what in (
      "example 1: image 'images/gone.png' does not exist",
      "example 1: 'caption_2' is ' '", 'example 1: id 0 stands at train.json e',
      "example 5: 'id' is 'x'", "example 5: 'caption_1' is 7",
      "example 5: 'caption_2' is missing", 'example 5: image \'../outside.png',
      "example 5: image 'img_x_2.png' cannot be read", 'example 6: it is no ob',
      '9 problem(s)'):
    assert what in str(e.value), (what, e.value)


@pytest.mark.parametrize('content,what', [
    ('{"a": 1}', 'no list'), ('[{"id": 1, "id": 2}]', 'appears twice'),
    ('[', 'cannot be read'), ('[]', 'train: no example')])
def test_json_that_is_none(tmp_path, content, what):
  _write_json(tmp_path)
  (tmp_path / 'train.json').write_text(content)
  with pytest.raises(ValueError, match=what):
    colorswap.load(tmp_path)


def test_every_problem_of_parquet(tmp_path):
  rows = _spoilt(image_1=None, image_2=b'nonsense', caption_1=None, id=None)
  _write_parquet(tmp_path, {'train': rows, 'test': _SPLITS['test']})
  (tmp_path / 'data' / 'test-00001-of-00002.parquet').write_bytes(b'PAR1')
  with pytest.raises(ValueError) as e:
    colorswap.load(tmp_path)
  at = 'train-00000-of-00002.parquet row 1: '
  for what in (at + "'image_1' holds no bytes", at + "image 'img_None_2.png' c",
               at + "'caption_1' is missing", at + "'id' is None",
               'test-00001-of-00002.parquet cannot be read', '5 problem(s)'):
    assert what in str(e.value), (what, e.value)
  parquet.write_table(pa.table({'id': [1]}),
                      tmp_path / 'data' / 'test-00001-of-00002.parquet')
  with pytest.raises(ValueError, match=r"no column \['caption_1', "):
    colorswap.load(tmp_path)


def test_a_test_image_in_the_pool_is_said(tmp_path, caplog):
  _write_json(tmp_path)
  (tmp_path / 'images' / 'img_5_1.png').write_bytes(_png(3))
  colorswap.load(tmp_path, image_size=8)
  assert '1 of 6 test images are in the pool' in caplog.text
