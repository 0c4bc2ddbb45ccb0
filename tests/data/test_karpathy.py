"""Karpathy's JSON files, in small: splits, captions, and what can be wrong."""

import json
import logging

import numpy as np
from PIL import Image
import pytest

from mmal_jax.data import karpathy
from mmal_jax.data import registry
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess

_SPLITS = ('train', 'test', 'val', 'restval', 'train', 'test')


def _entry(i, split, coco, captions=5):
  ids = list(range(5 * i, 5 * i + captions))
  raws = [f'Photo {i}, in other words {j} .' for j in range(captions)]
  entry = {
      'sentids': ids, 'imgid': i, 'split': split, 'filename': f'{i}_img.jpg',
      'sentences': [{'tokens': raw.lower().split(), 'raw': raw, 'imgid': i,
                     'sentid': sentid} for raw, sentid in zip(raws, ids)]}
  if coco:
    entry |= {'filepath': 'train2014' if split == 'train' else 'val2014',
              'cocoid': 1000 + i}
  return entry


def _write(folder, entries, spoilt=()):
  for i, entry in enumerate(entries):
    path = folder / 'images' / entry.get('filepath', '') / entry['filename']
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('L', (8, 8), 10 * i).save(path)
  content = {'images': entries + list(spoilt), 'dataset': 'flickr8k'}
  (folder / 'dataset.json').write_text(json.dumps(content))
  return dict(annotations=folder / 'dataset.json', images=folder / 'images')


def _colours(images):
  return (images[:, 0, 0, 0] // 10).tolist()


@pytest.mark.parametrize('coco', [False, True])
@pytest.mark.parametrize('captions,test_captions', [(1, 5), (3, 2)])
def test_splits_and_captions(tmp_path, coco, captions, test_captions):
  entries = [_entry(i, split, coco) for i, split in enumerate(_SPLITS)]
  data = registry.DATASETS['karpathy'](
      **_write(tmp_path, entries), captions=captions,
      test_captions=test_captions, image_size=8)
  for pairs, rows, k in ((data.pool, (0, 3, 4), captions),
                         (data.test, (1, 5), test_captions)):
    images = pairs.items['image']
    assert images.shape == (len(rows) * k, 8, 8, 3) and images.dtype == np.uint8
    assert _colours(images) == [i for i in rows for _ in range(k)]
    assert pairs.items['text'] == tuple(
        f'Photo {i}, in other words {j} .' for i in rows for j in range(k))
    assert (pairs.groups == -1).all() and len(pairs.groups) == len(rows) * k


def test_images_that_stay_in_their_files(tmp_path):
  entries = [_entry(i, split, True) for i, split in enumerate(_SPLITS)]
  data = karpathy.load(**_write(tmp_path, entries), captions=2,
                       preprocess=preprocess.Preprocess(4, 4))
  images = data.pool.items['image']
  assert images.shape == (6, 4, 4, 3)
  assert _colours(images.take(np.arange(6))) == [0, 0, 3, 3, 4, 4]
  # Rows of one image are the same item to everything that follows.
  assert image_files.item_ids(images).tolist() == [0, 0, 1, 1, 2, 2]


def test_val_is_left_out_and_never_looked_at(tmp_path, caplog):
  entries = [_entry(i, split, False) for i, split in enumerate(_SPLITS)]
  arguments = _write(tmp_path, entries)
  (tmp_path / 'images' / '2_img.jpg').unlink()
  with caplog.at_level(logging.INFO, logger='absl'):
    karpathy.load(**arguments)
  assert '1 images of the split val' in caplog.text


def test_every_problem_at_once(tmp_path):
  entries = [_entry(i, split, False) for i, split in enumerate(_SPLITS)]
  arguments = _write(tmp_path, entries, [
      _entry(6, 'dev', False),
      _entry(7, 'test', False, captions=4),
      'x',
      _entry(0, 'restval', False),
      _entry(10, 'train', False) | {'filename': '../dataset.json'},
      _entry(11, 'train', False) | {'filename': None},
      _entry(12, 'train', False) | {'sentences': [{'raw': '\n'}]},
      _entry(13, 'train', False) | {'sentences': None},
      _entry(14, 'train', False) | {'filepath': 3, 'filename': None},
      _entry(15, 'train', False) | {'filename': '\0'},
  ])
  (tmp_path / 'images' / '1_img.jpg').write_bytes(b'x')
  (tmp_path / 'images' / '4_img.jpg').unlink()
  with pytest.raises(ValueError) as e:
    karpathy.load(**arguments)
  for what in (
      "image 1: image '1_img.jpg' cannot be read",
      "image 4: image '4_img.jpg' does not exist",
      "image 6: 'split' is 'dev'", 'image 7: it has 4 captions, and 5 are',
      'image 8: it is no object', 'image 9: the same file as image 0',
      "image 10: image '../dataset.json' lies outside",
      "image 11: 'filename' is missing", "image 12: 'raw' is '\\n'",
      'image 13: it has no list of captions', "image 14: 'filepath' is 3",
      "image 14: 'filename' is missing", "image 15: 'filename' holds a NUL",
      '13 problem(s)'):
    assert what in str(e.value), (what, e.value)


@pytest.mark.parametrize('content,what', [
    ('{', 'cannot be read'), ('[]', 'no list of'), ('{"images": 3}', 'no list'),
    ('{"images": []}', 'no list'),
    (json.dumps({'images': [_entry(2, 'val', False)]}), 'of the pool')])
def test_files_of_something_else(tmp_path, content, what):
  (tmp_path / 'x.json').write_text(content)
  with pytest.raises(ValueError, match=what):
    karpathy.load(tmp_path / 'x.json', tmp_path)


@pytest.mark.parametrize('arguments,what', [
    (dict(captions=0), 'captions=0'), (dict(test_captions=0), 'test_captions'),
    (dict(image_size=0), 'image_size=0')])
def test_bad_arguments(tmp_path, arguments, what):
  with pytest.raises(ValueError, match=what):
    karpathy.load(tmp_path / 'x.json', tmp_path, **arguments)


def test_a_test_image_in_the_pool_is_said(tmp_path, caplog):
  entries = [_entry(i, split, False) for i, split in enumerate(_SPLITS)]
  arguments = _write(tmp_path, entries)
  copy = (tmp_path / 'images' / '0_img.jpg').read_bytes()
  (tmp_path / 'images' / '5_img.jpg').write_bytes(copy)
  karpathy.load(**arguments)
  assert '1 of 2 test images are in the pool' in caplog.text
