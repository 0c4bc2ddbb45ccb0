"""Datasets of Hugging Face's library: saved folders, files, objects."""

import socket

import numpy as np
import pytest

from mmal_jax.data import huggingface_dataset
from mmal_jax.data import registry
from mmal_jax.data import schema
from mmal_jax.data.images import preprocess
from tests.support import bad_images
from tests.support import photo_tables

datasets = pytest.importorskip('datasets')
pytestmark = pytest.mark.long  # The library takes seconds to import.


@pytest.fixture(name='offline', autouse=True)
def _offline(monkeypatch, tmp_path):
  """Nothing may be fetched, and the library's cache is a folder of the test."""
  def refuse(*_):
    raise AssertionError('a connection')

  monkeypatch.setattr(socket.socket, 'connect', refuse)
  monkeypatch.setattr(datasets.config, 'HF_DATASETS_CACHE', tmp_path / 'cache')


def _dataset(first=0, n=10, texts=1, **columns):
  captions = [[f'{i} {letter}' for letter in 'abc'[:texts]]
              for i in range(first, first + n)]
  kind = datasets.Value('string')
  values = {
      'image': [{'bytes': bad_images.noise(i), 'path': f'{i}.png'}
                for i in range(first, first + n)],
      'caption': captions if texts > 1 else [one for one, in captions]}
  return datasets.Dataset.from_dict(values | columns, datasets.Features({
      'image': datasets.Image(),
      'caption': [kind] if texts > 1 else kind,
      **{name: kind for name in columns}}))


def _load(folder, **more):
  return registry.DATASETS['huggingface'](
      folder, text_column='caption', image_size=8, **more)


def test_a_saved_split_is_divided(tmp_path):
  _dataset(texts=3).save_to_disk(tmp_path / 'd')
  data = _load(tmp_path / 'd', captions=2)
  assert (len(data.pool), len(data.test), data.pretrain) == (16, 4, None)
  assert {text[-1] for text in data.pool.items['text']} == {'a', 'b'}


def test_saved_splits_stay_in_their_files(tmp_path):
  """Also where rows have been chosen, whose images are read one by one."""
  datasets.DatasetDict({
      'train': _dataset(), 'validation': _dataset(20, 3),
      'test': _dataset(30, 4)}).save_to_disk(tmp_path / 'd')
  data = _load(tmp_path / 'd')
  assert (len(data.pool), len(data.test)) == (10, 4)
  assert data.test.items['text'] == ('30 a', '31 a', '32 a', '33 a')
  other = _load(tmp_path / 'd', test_split='validation')
  assert other.test.items['text'] == ('20 a', '21 a', '22 a')
  pool = datasets.load_from_disk(tmp_path / 'd')['train'].select([7, 2, 5])
  lazy = huggingface_dataset.of_datasets(
      pool, _dataset(30, 4), text_column='caption',
      preprocess=preprocess.Preprocess(8, 8))
  assert lazy.pool.items['text'] == ('7 a', '2 a', '5 a')
  np.testing.assert_array_equal(
      lazy.pool.items['image'].take(np.arange(3)),
      data.pool.items['image'][[7, 2, 5]])
  assert '7.png' in str(lazy.pool.items['image'].paths[0])


def test_a_split_in_a_column_and_two_pools(tmp_path):
  names = ['train'] * 6 + ['val', 'test', 'test', 'restval']
  _dataset(split=names).save_to_disk(tmp_path / 'd')
  with pytest.raises(ValueError, match=(
      "row 9: 'split' is 'restval', not one of pretrain, pool, test")):
    _load(tmp_path / 'd', split_column='split')
  _dataset(split=names[:-1] + ['pool']).save_to_disk(tmp_path / 'e')
  data = _load(tmp_path / 'e', split_column='split', paired=False)
  assert isinstance(data.pool, schema.Loose)
  assert len(data.pool.items['image']) == len(data.pool.items['text']) == 7
  assert data.test.items['text'] == ('7 a', '8 a')
  with pytest.raises(ValueError, match='paired=False needs a few pairs'):
    _load(tmp_path / 'e', paired=False)


def test_a_folder_of_files_is_read_without_a_connection(tmp_path):
  """Parquet of the library's images, and images beside `metadata.jsonl`."""
  (tmp_path / 'p').mkdir()
  _dataset().to_parquet(tmp_path / 'p' / 'train.parquet')
  assert len(_load(tmp_path / 'p').pool) == 8
  names = photo_tables.photos(tmp_path / 'f' / 'train', 10)
  (tmp_path / 'f' / 'train' / 'metadata.jsonl').write_bytes(
      photo_tables.json_lines({'file_name': name, 'caption': f'of {name}'}
                              for name in names))
  data = _load(tmp_path / 'f')
  assert len(data.pool) == 8 and data.test.items['text'][0].startswith('of ')


def test_the_hub_is_asked_for_what_is_named_alone(monkeypatch):
  asked = []

  def load_dataset(*of, **more):
    asked.append((of, more))
    return datasets.DatasetDict({'train': _dataset(), 'test': _dataset(20, 3)})

  monkeypatch.setattr(datasets, 'load_dataset', load_dataset)
  data = huggingface_dataset.load(
      hub='owner/name', subset='de', revision='v1', text_column='caption',
      image_size=8)
  assert (len(data.pool), len(data.test)) == (10, 3)
  assert asked == [(('owner/name', 'de'), {'revision': 'v1'})]


def test_other_kinds_of_columns():
  contents = [bad_images.noise(i) for i in range(5)]
  for image in (datasets.Value('binary'), datasets.Value('large_binary')):
    data = huggingface_dataset.of_datasets(
        datasets.Dataset.from_dict(
            {'image': contents, 'text': list('abcde')}, datasets.Features(
                {'image': image, 'text': datasets.Value('string')})),
        image_size=8)
    assert len(data.pool) == 4
  paths = datasets.Dataset.from_dict({'image': ['x.png'], 'text': ['a']})
  with pytest.raises(ValueError, match=(
      "row 0: image 'x.png' is a path, and there is no folder to look in")):
    huggingface_dataset.of_datasets(paths)
  labels = datasets.Dataset.from_dict({'image': contents, 'text': range(5)})
  with pytest.raises(ValueError, match="row 0: 'text' is 0, not a text"):
    huggingface_dataset.of_datasets(labels)


@pytest.mark.parametrize('change,said', [
    ({'folder': None}, 'give folder=DIR, or hub=OWNER/NAME'),
    ({'hub': 'a/b'}, 'one of the two'),
    ({'folder': 'gone'}, "folder='gone' is no folder"),
    ({'folder': 'empty'}, "folder='empty' cannot be read by datasets: "),
    ({'folder': 'cut'}, "folder='cut' cannot be read by datasets: "),
    ({'text_column': 'text'}, (
        r"column 'text' \(of text_column\) is not in d, which has: 'image', "
        "'caption'")),
    ({'pool_split': 'train'}, "pool_split='train' is none of the splits of d: "
     'it has one, without a name'),
    ({'test_split': 'test'}, "test_split='test' is none of")])
def test_what_is_wrong_is_said(tmp_path, monkeypatch, change, said):
  monkeypatch.chdir(tmp_path)
  for name in ('d', 'cut'):
    _dataset(n=3).save_to_disk(name)
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'cut' / 'data-00000-of-00001.arrow').write_bytes(b'ARROW')
  with pytest.raises(ValueError, match=said):
    huggingface_dataset.load(
        **{'folder': 'd', 'text_column': 'caption'} | change)


def test_a_stream_is_refused():
  with pytest.raises(TypeError, match='IterableDataset; a datasets.Dataset is'):
    huggingface_dataset.of_datasets(_dataset().to_iterable_dataset())


def test_images_that_are_none_are_named_by_their_rows():
  bad = datasets.Dataset.from_dict({
      'image': [b'x', bad_images.noise(0), None], 'text': ['a', 'b', 'c']})
  with pytest.raises(ValueError) as e:
    huggingface_dataset.of_datasets(bad)
  assert "row 2: 'image' is missing." in str(e.value)
  assert "row 0: image 'image' cannot be read as PNG" in str(e.value)
