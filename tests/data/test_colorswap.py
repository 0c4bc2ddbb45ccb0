"""The rendered data: the same bytes from a seed, the schema, the long tail."""

import collections
import subprocess
import sys

import numpy as np
import pytest

from mmal_jax.data import scenes
from mmal_jax.data import synthetic_colorswap as colorswap
from mmal_jax.data.images import images

_SMALL = dict(pretrain=6, pool=8, test=7, image_size=16)


def _examples(split, **config):
  return list(colorswap.generate(
      colorswap.ColorswapConfig(**(_SMALL | config)), split))


@pytest.mark.parametrize('split', ['pretrain', 'pool', 'test'])
def test_same_seed_same_bytes(split):
  assert _examples(split) == _examples(split)
  assert _examples(split) != _examples(split, seed=1)


def test_splits_have_streams_of_their_own():
  longer = _examples('pool', pretrain=60, pool=9)
  assert longer[:8] == _examples('pool')


@pytest.mark.parametrize('split', ['pool', 'test'])
def test_captions_have_the_same_words_and_swapped_colours(split):
  for example in _examples(split, pool=60, test=60):
    words = [example[f'caption_{i}'].split() for i in (0, 1)]
    assert words[0] != words[1]
    # "a red" and "an orange": articles follow their word.
    counts = [collections.Counter(set(w) - {'a', 'an'}) for w in words]
    assert counts[0] == counts[1]
    colours = [[w for w in ws if w in scenes.COLOURS] for ws in words]
    assert colours[0] == colours[1][::-1] and len(colours[0]) == 2
    kinds = [[w for w in ws if w in scenes.OBJECTS] for ws in words]
    assert kinds[0] == kinds[1] and len(set(kinds[0])) == 2


def _nearest_colours(image):
  names = list(scenes.COLOURS)
  table = np.array(list(scenes.COLOURS.values()))
  distance = np.abs(image[:, :, None].astype(int) - table).max(-1)
  best = distance.argmin(-1)
  return {names[c] for c in np.unique(best[distance.min(-1) < 30])
          if np.sum(best[distance.min(-1) < 30] == c) > 20}


def test_images_show_what_captions_say():
  for example in _examples('test', image_size=64, test=30):
    for half in (0, 1):
      image = images.decode(example[f'image_{half}'])
      said = set(example[f'caption_{half}'].split()) & set(scenes.COLOURS)
      assert said <= _nearest_colours(image)


def test_place_words_tell_the_truth():
  seen = 0
  for example in _examples('test', image_size=64, test=80):
    for half in (0, 1):
      caption = example[f'caption_{half}']
      above = ' above ' in caption or 'on top' in caption
      if not above and ' left ' not in caption:
        continue
      image = images.decode(example[f'image_{half}'])
      first, second = [w for w in caption.split() if w in scenes.COLOURS]
      centres = []
      for name in (first, second):
        near = np.abs(image.astype(int) - scenes.COLOURS[name]).max(-1) < 30
        centres.append(np.argwhere(near).mean(0)[0 if above else 1])
      assert centres[0] < centres[1]
      seen += 1
  assert seen > 20


def _kinds(split, **config):
  return collections.Counter(
      word for example in _examples(split, **config)
      for word in example['caption_0'].split() if word in scenes.OBJECTS)


def test_pool_is_long_tailed_and_test_is_balanced():
  order = list(scenes.OBJECTS)[:6]
  pool = _kinds('pool', pool=600, image_size=8)
  assert pool[order[0]] > 2.5 * pool[order[-1]]
  flat = _kinds('pool', pool=600, image_size=8, skew=0.0)
  assert max(flat.values()) < 1.4 * min(flat.values())
  test = _kinds('test', test=360, image_size=8)
  assert max(test.values()) < 1.4 * min(test.values())


def test_zipf_weights():
  np.testing.assert_allclose(
      scenes.zipf(3, 1.0), np.array([6, 3, 2]) / 11)
  np.testing.assert_allclose(scenes.zipf(4, 0.0), 0.25)


def test_web_captions_seldom_bind_colours_to_objects():
  rng = np.random.default_rng(0)
  words = list(scenes.COLOURS), list(scenes.OBJECTS)
  captions = [scenes.web_scene(rng, *words, 8)[0] for _ in range(800)]

  def full(caption):
    split = caption.split()
    return (sum(w in scenes.COLOURS for w in split) == 2
            and sum(w in scenes.OBJECTS for w in split) == 2)

  assert 0.08 < np.mean([full(c) for c in captions]) < 0.17


def test_load_builds_once_and_reads_back(tmp_path):
  first = colorswap.load(tmp_path, **_SMALL)
  again = colorswap.load(tmp_path, **_SMALL)
  for split, n in (('pretrain', 12), ('pool', 16), ('test', 14)):
    a, b = getattr(first, split), getattr(again, split)
    assert a.items['image'].shape == (n, 16, 16, 3)
    np.testing.assert_array_equal(
        a.items['image'], b.items['image'])
    assert a.items['text'] == b.items['text'] and len(a.items['text']) == n
  assert (first.pretrain.groups == -1).all()
  np.testing.assert_array_equal(first.test.groups, np.repeat(np.arange(7), 2))
  # Read back in order, though the file is shuffled or not: what was generated.
  generated = {e[f'caption_{h}'] for e in _examples('test') for h in (0, 1)}
  assert set(first.test.items['text']) == generated


def test_other_values_are_other_datasets(tmp_path):
  sizes = [len(colorswap.load(tmp_path, **(_SMALL | {'pool': n})).pool)
           for n in (8, 9)]
  assert sizes == [16, 18]


def test_no_tensorflow_is_needed(tmp_path):
  code = ('import sys; from mmal_jax.data import synthetic_colorswap as c;'
          f'c.load({str(tmp_path)!r}, pretrain=2, pool=2, test=2);'
          'assert "tensorflow" not in sys.modules')
  subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize('config,what', [
    (dict(colours=('red',)), 'colours'),
    (dict(colours=('red', 'red')), 'colours'),
    (dict(objects=('circle', 'elephant')), 'objects.*elephant'),
    (dict(pool=0), 'pool=0'),
    (dict(image_size=4), 'image_size=4'),
    (dict(skew=-1.0), 'skew=-1'),
    (dict(seed=-1), 'seed=-1'),
])
def test_bad_values(config, what):
  with pytest.raises(ValueError, match=what):
    colorswap.ColorswapConfig(**config)
