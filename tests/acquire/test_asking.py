"""Asking about features of encoders that know nothing of one another."""

import numpy as np
import pytest

import mmal_jax
from mmal_jax import asking
from mmal_jax.acquire import ask as ask_lib
from mmal_jax.acquire import registry
from mmal_jax.embed import disk


def _features(seed=0, n=120):
  rng = np.random.default_rng(seed)
  hidden = rng.normal(size=(n, 5))
  return [(hidden @ rng.normal(size=(5, d))).astype(np.float32)
          for d in (24, 17)]


@pytest.mark.parametrize('strategy', [
    'random', 'mmal', 'mmal_plus', 'mmal@image', 'coreset', 'entropy',
    'design', 'facility_reference'])
@pytest.mark.parametrize('known', [0, 1, 30])
def test_features_of_two_widths_are_enough(strategy, known):
  images, texts = _features()
  remaining = np.arange(120) >= known
  query = asking.ask(
      images, texts, images[:known], texts[:known], 6, strategy,
      image_remaining=remaining, text_remaining=remaining)
  names = ((query.modality,) * 6 if isinstance(query.modality, str)
           else query.modality)
  assert len({*zip(names, query.indices.tolist())}) == 6
  assert (query.indices >= known).all()


def test_it_is_the_same_on_disk(tmp_path):
  images, texts = _features()
  np.save(tmp_path / 'images.npy', images)
  stored = disk.open_rows(tmp_path / 'images.npy')
  one, other = (asking.ask(x, texts, images[:20], texts[:20], 5)
                for x in (images, stored))
  assert one.modality == other.modality
  np.testing.assert_array_equal(one.indices, other.indices)


@pytest.mark.long
def test_embeddings_in_one_space_are_left_as_they_are():
  images = _features()[0]
  texts = images + 0.1
  one = asking.ask(images, texts, images[:9], texts[:9], 5, 'mmal',
                   logit_scale=3.0)
  other = ask_lib.ask(images, texts, images[:9], texts[:9], 5, 'mmal',
                      logit_scale=3.0)
  assert one.modality == other.modality
  np.testing.assert_array_equal(one.indices, other.indices)
  # As wide as each other, but of two encoders.
  asking.ask(images, texts, images[:9], texts[:9], 5, shared_space=False)


def test_what_cannot_be_asked_is_refused():
  images, texts = _features()
  with pytest.raises(ValueError, match=r'aligned_texts .* \[n, 17\] is needed, '
                     'as wide as texts'):
    asking.ask(images, texts, images[:3], images[:3], 5)
  with pytest.raises(ValueError, match='two sides of the same pairs'):
    asking.ask(images, texts, images[:3], texts[:4], 5)
  with pytest.raises(TypeError, match='logit_scale is for embeddings in one'):
    asking.ask(images, texts, images[:3], texts[:3], 5, logit_scale=2.0)
  with pytest.raises(ValueError, match='texts is all zeros .* row 7'):
    bad = texts.copy()
    bad[7] = 0
    asking.ask(images, bad, images[:3], texts[:3], 5)
  with pytest.raises(ValueError, match='images is NaN or infinite'):
    bad = images.copy()
    bad[5, 2] = np.nan
    asking.ask(bad, texts, images[:3], texts[:3], 5)
  with pytest.raises(ValueError, match='batch=200'):
    asking.ask(images, texts, images[:3], texts[:3], 200)


def test_the_front_door_opens_when_it_is_used():
  assert mmal_jax.ask is asking.ask
  assert mmal_jax.STRATEGIES is registry.STRATEGIES
  assert callable(mmal_jax.match) and 'match' in dir(mmal_jax)
  with pytest.raises(AttributeError, match='no attribute \'answer\''):
    mmal_jax.answer  # pylint: disable=pointless-statement
