"""COCO captions: files as TFDS's builder writes them, read without TensorFlow.

The builder here has the features of TFDS's, which need TensorFlow to be made;
that the names are the same is read in its source.
"""

import ast
import io
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest
import tensorflow_datasets as tfds

from mmal_jax.data import coco_captions
from mmal_jax.data import registry
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess

_SPLITS = {'train': (1, 2, 3), 'val': (7,), 'test': (5, 6), 'restval': (4,)}


class CocoCaptions(tfds.core.GeneratorBasedBuilder):
  """As TFDS's builder of this name, of the pictures that it is given."""

  VERSION = tfds.core.Version('1.1.0')
  BUILDER_CONFIGS = [tfds.core.BuilderConfig(name='2014')]
  few = False  # captions
  bad = False  # an image

  def _info(self):
    features = tfds.features
    return self.dataset_info_from_configs(features=features.FeaturesDict({
        'image': features.Image(encoding_format='jpeg'),
        'image/filename': features.Text(),
        'image/id': np.int64,
        'objects': features.Sequence({
            'id': np.int64, 'area': np.int64, 'bbox': features.BBoxFeature(),
            'label': features.ClassLabel(num_classes=80),
            'is_crowd': np.bool_}),
        'captions': features.Sequence({'text': np.str_, 'id': np.int64})}))

  def _split_generators(self, dl_manager):
    return {split: self._generate_examples(ids)
            for split, ids in _SPLITS.items()}

  def _generate_examples(self, ids):
    for i in ids:
      file = io.BytesIO()
      Image.new('L', (8, 9), 20 * i).save(file, 'JPEG')
      if self.bad and i == 5:
        file = io.BytesIO(b'nonsense')
      file.seek(0)
      yield i, {
          'image': file, 'image/filename': f'COCO_{i:012d}.jpg', 'image/id': i,
          'objects': [{'id': i, 'area': 4, 'label': 1, 'is_crowd': False,
                       'bbox': tfds.features.BBox(0., 0., 1., 1.)}] * (i % 3),
          'captions': [
              {'id': 10 * i + j, 'text': ' ' if self.few and j == 3 else
               f'Bild {i} \u00e9 {j}'} for j in range(5 - (self.few and i % 2))
          ]}


def _prepare(folder, **flags):
  for name, value in flags.items():
    setattr(CocoCaptions, name, value)
  try:
    CocoCaptions(data_dir=folder, config='2014',
                 file_format='array_record').download_and_prepare()
  finally:
    CocoCaptions.few = CocoCaptions.bad = False
  return folder


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  return _prepare(tmp_path_factory.mktemp('tfds'))


def _ids(images):
  return np.round(images[:, 0, 0, 0] / 20).astype(int).tolist()


@pytest.mark.parametrize('captions,test_captions', [(1, 5), (3, 2)])
def test_rows(prepared, captions, test_captions):
  data = registry.DATASETS['coco_captions'](
      prepared, captions, test_captions, image_size=8)
  for pairs, ids, n in ((data.pool, {1, 2, 3, 4}, captions),
                        (data.test, {5, 6}, test_captions)):
    images = pairs.items['image']
    assert images.shape == (len(ids) * n, 8, 8, 3) and images.dtype == np.uint8
    shown = _ids(images)
    assert set(shown) == ids and (pairs.groups == -1).all()
    assert pairs.items['text'] == tuple(
        f'Bild {i} \u00e9 {j % n}' for j, i in enumerate(shown))
  assert _ids(data.pool.items['image'])[-1] == 4  # restval comes after train


def test_images_that_stay_in_their_files(prepared):
  data = coco_captions.load(
      prepared, 2, preprocess=preprocess.Preprocess(4, 4))
  images = data.pool.items['image']
  assert isinstance(images, image_files.ImageFiles)
  assert images.shape == (8, 4, 4, 3)
  rows = np.random.default_rng(0).integers(8, size=200)
  ids = np.array(_ids(images.take(np.arange(8))))
  assert ids[::2].tolist() == ids[1::2].tolist() and len(set(ids)) == 4
  # Many threads read one file at once.
  for part, pixels in zip(np.split(rows, 10), images.stream(
      np.split(rows, 10))):
    assert _ids(pixels) == ids[part].tolist()
  assert image_files.item_ids(images).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_every_problem_at_once(tmp_path):
  _prepare(tmp_path, few=True, bad=True)
  with pytest.raises(ValueError) as e:
    coco_captions.load(tmp_path)
  message = str(e.value)
  assert 'it has 4 captions, and 5 are needed' in message  # image 5
  assert message.count("'text' is ' ', not a text") == 2
  assert "image 'COCO_000000000005.jpg' cannot be read" in message
  assert '4 problem(s)' in message


def test_what_is_not_prepared(tmp_path):
  with pytest.raises(ValueError, match='no coco_captions/2014.*tensorflow'):
    coco_captions.load(tmp_path)
  folder = _prepare(tmp_path) / 'coco_captions' / '2014' / '1.1.0'
  info = folder / 'dataset_info.json'
  info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
  with pytest.raises(ValueError, match='1.1.0. .*holds tfrecord, of which'):
    coco_captions.load(tmp_path)


def test_splits_that_are_missing(tmp_path, monkeypatch):
  whole = _SPLITS
  for name, gone in (('some', ('test', 'restval')), ('one', ('test',))):
    monkeypatch.setattr(sys.modules[__name__], '_SPLITS', {
        split: ids for split, ids in whole.items() if split not in gone})
    _prepare(tmp_path / name)
    with pytest.raises(ValueError) as e:
      coco_captions.load(tmp_path / name)
    for split in gone:
      assert f'it has no split {split!r}, but ' in str(e.value)
    assert f'{len(gone)} problem(s)' in str(e.value)


@pytest.mark.parametrize('side,splits', [
    ('test', ['test']), ('pool', ['train', 'restval'])])
def test_no_image_of_a_side(prepared, monkeypatch, side, splits):
  sources = coco_captions._open(prepared) | dict.fromkeys(splits, ())
  monkeypatch.setattr(coco_captions, '_open', lambda _: sources)
  with pytest.raises(ValueError, match=f'no image is of the {side}'):
    coco_captions.load(prepared)


@pytest.mark.parametrize('arguments,what', [
    (dict(captions=0), 'captions=0'), (dict(test_captions=0), 'test_captions'),
    (dict(image_size=0), 'image_size=0')])
def test_bad_arguments(tmp_path, arguments, what):
  with pytest.raises(ValueError, match=what):
    coco_captions.load(tmp_path, **arguments)


def test_no_tensorflow_is_needed_to_read(prepared):
  code = ('import sys; from mmal_jax.data import coco_captions as c;'
          f'c.load({str(prepared)!r}); assert "tensorflow" not in sys.modules')
  subprocess.run([sys.executable, '-c', code], check=True)


def test_the_names_are_those_of_the_real_builder(prepared):
  """Read in its source: importing it needs TensorFlow."""
  folder = pathlib.Path(tfds.__file__).parent / 'object_detection'
  words = {
      node.value for name in ('coco.py', 'coco_captions.py')
      for node in ast.walk(ast.parse((folder / name).read_text()))
      if isinstance(node, ast.Constant) and isinstance(node.value, str)}
  info = tfds.builder_from_directory(
      prepared / 'coco_captions' / '2014' / '1.1.0').info
  for features in (info.features, info.features['captions'].feature,
                   info.features['objects'].feature):
    assert set(features) <= words
  assert {*_SPLITS, '2014'} <= words
