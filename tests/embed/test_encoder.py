"""A published model as one object: `mmal_jax.load_pretrained`."""

import numpy as np
from PIL import Image
import pytest

import mmal_jax
from mmal_jax import progress
from mmal_jax.embed import encoder as encoder_lib
from tests.support import published_files
from tests.support import torch_models


@pytest.fixture(name='model', scope='module')
def _model(tmp_path_factory):
  return mmal_jax.load_pretrained(published_files.publish(
      torch_models.siglip(vocab=300), tmp_path_factory.mktemp('published'),
      'SiglipImageProcessor'))


@pytest.fixture(name='photos', scope='module')
def _photos(tmp_path_factory):
  folder = published_files.photos(tmp_path_factory.mktemp('photos'))
  return sorted(folder.glob('*.png'))[:5]


def test_rows_are_those_of_embed_items(model, photos):
  texts = [f'a red cat number {i}' for i in range(5)]
  for rows, items, modality in (
      (model.encode_images(photos, batch_size=2), photos, 'image'),
      (model.encode_texts(texts), texts, 'text')):
    assert rows.dtype == np.float32 and rows.shape[0] == 5
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        rows, mmal_jax.embed_items(model, items, modality), atol=1e-6)


def test_it_is_shown_in_a_line(model):
  assert repr(model) == ('<Encoder of images of 32 x 32 pixels and texts of 9 '
                         'tokens: rows of 24>')


def test_images_in_memory_are_those_in_files(model, photos):
  expected = model.encode_images(photos)
  opened = [Image.open(path).convert('RGB') for path in photos]
  for images in (map(str, photos), opened, map(np.asarray, opened),
                 [{'bytes': path.read_bytes()} for path in photos]):
    np.testing.assert_allclose(
        model.encode_images(images), expected, atol=1e-6)


def test_it_is_the_checkpoint_itself(model):
  assert isinstance(model, encoder_lib.Encoder)
  assert model.digest and model._replace(digest='x').digest == 'x'
  assert isinstance(model._replace(digest='x'), encoder_lib.Encoder)
  assert model._placed is model._placed  # It stays on the device.


@pytest.mark.parametrize('call,error,said', [
    (lambda m: m.encode_texts('a cat'), TypeError, 'give a list'),
    (lambda m: m.encode_texts(['a', 3]), TypeError, 'text 1 is int'),
    (lambda m: m.encode_texts([]), ValueError, 'no texts'),
    (lambda m: m.encode_images([]), ValueError, 'no images'),
    (lambda m: m.encode_images([3]), ValueError, 'image 0 is 3'),
    (lambda m: m.encode_images('a.png'), TypeError, r'one path: .*\[image\]'),
    (lambda m: m.encode_images(Image.new('RGB', (9, 9))), TypeError, 'a list'),
    (lambda m: m.encode_images(np.zeros((9, 8, 3), np.uint8)), TypeError,
     'images is one image'),
    (lambda m: m.encode_texts(['a'], 0), ValueError, 'batch_size=0 must be'),
    (lambda m: m.encode_texts(['a'], 2.5), ValueError, 'batch_size=2.5'),
    (lambda m: m.encode_images(['/nope.png']), ValueError, 'nope.png')])
def test_what_cannot_be_embedded(model, call, error, said):
  with pytest.raises(error, match=said):
    call(model)


def test_a_bar_is_shown_unless_something_else_is_said(
    model, photos, monkeypatch):
  shown = []

  def show(of, total, what):
    shown.append((total, what))
    return of

  monkeypatch.setattr(progress, 'auto_bar', show)
  model.encode_images(photos, batch_size=2)
  assert (3, 'embedding images') in shown
  before = list(shown)
  with progress.shown_by(lambda of, total, what: of):
    model.encode_images(photos)
  assert shown == before


def test_a_session_of_photos_and_captions(model, photos):
  session = mmal_jax.Session(
      images=photos, texts=['a', 'b', 'c', 'd'], encoder=model)
  assert session._settings.shared_space and (
      session._settings.strategy == 'mmal')
  questions = session.ask(2)
  session.tell(['no counterpart', 'skip'])
  assert len(questions) == 2 and session.fit().answers == 1
