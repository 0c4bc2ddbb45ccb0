"""Three modalities from a seed: a picture, a caption, and a sound of a scene.

The scenes are those of the synthetic ColorSwap. In the sound every object calls
once, one after the other: its kind is how the pitch moves, its colour how high
it is. The sound comes as a spectrogram.
"""

from collections.abc import Sequence

import numpy as np

from mmal_jax.data import scenes
from mmal_jax.data import schema
from mmal_jax.data.images import images as images_lib

# How the pitch of a call moves over its time t in [0, 1], within [-1, 1].
_CALLS = {
    'circle': lambda t: 0 * t,
    'square': lambda t: np.sign(t - 0.5),
    'triangle': lambda t: 1 - np.abs(4 * t - 2),
    'star': lambda t: np.sin(10 * np.pi * t),
    'heart': lambda t: np.abs(4 * t - 2) - 1,
    'cross': lambda t: np.where(np.floor(4 * t) % 2, 1.0, -1.0),
    'diamond': lambda t: 2 * t - 1,
    'arrow': lambda t: 1 - 2 * t,
}
_LOW, _HIGH = 0.15, 0.85  # pitches of the first and the last colour
_BEND = 0.10  # by how much a call leaves its pitch, both of the whole range


def sound(
    rng: np.random.Generator, things: Sequence[scenes.Thing], size: int
) -> np.ndarray:
  """The spectrogram of one or two calls, in noise.

  Args:
    rng: source of the jitter in time and pitch, and of the noise.
    things: who calls, in this order.
    size: number of pitches, and of moments.

  Returns:
    `[size, size, 3]` uint8, pitch (rising) by time, three equal channels.
  """
  colours = list(scenes.COLOURS)
  pitches = np.arange(size)[:, None] / (size - 1)
  energy = rng.exponential(0.08, (size, size))
  share = 1 / len(things)
  for place, thing in enumerate(things):
    first = place * share + rng.uniform(0.05, 0.15) * share
    time = (np.arange(size) / size - first) / (0.8 * share)
    step = (_HIGH - _LOW) / (len(colours) - 1)
    base = _LOW + step * (
        colours.index(thing.colour) + rng.uniform(-0.15, 0.15))
    pitch = base + _BEND * _CALLS[thing.kind](np.clip(time, 0, 1))
    call = np.exp(-0.5 * np.square((pitches - pitch[None]) * size / 0.8))
    energy += call * ((time >= 0) & (time <= 1)) * rng.uniform(0.7, 1.0)
  pixels = np.clip(255 * energy, 0, 255).astype(np.uint8)
  return np.repeat(pixels[:, :, None], 3, axis=2)


def load(
    pretrain: int = 2000,
    pool: int = 600,
    test: int = 150,
    image_size: int = 32,
    skew: float = 1.0,
    seed: int = 0,
) -> schema.Dataset:
  """Renders the dataset; a few seconds at its default size.

  Args:
    pretrain: number of scenes of one object, of uniform colour and kind.
    pool: number of examples, two scenes of swapped colours each, long-tailed.
    test: number of examples, uniform.
    image_size: height and width of pictures and spectrograms.
    skew: exponent of the pool's Zipf law over colours and kinds.
    seed: fixes all of it.

  Returns:
    Triples of `image`, `text` and `sound`. In `pool` and `test` rows 2i and
    2i + 1 are Winoground group i of images and texts.

  Raises:
    ValueError: for a size below 1 (8 for images), or a negative skew.
  """
  for name, value, least in (
      ('pretrain', pretrain, 1), ('pool', pool, 1), ('test', test, 1),
      ('image_size', image_size, 8), ('skew', skew, 0), ('seed', seed, 0)):
    if not value >= least:
      raise ValueError(f'{name}={value!r} must be at least {least}.')
  words = tuple(scenes.COLOURS)[:6], tuple(scenes.OBJECTS)[:6]
  splits = {}
  for stream, (split, n) in enumerate(
      (('pretrain', pretrain), ('pool', pool), ('test', test))):
    rng = np.random.default_rng([seed, stream])
    rows = []  # (image, text, sound)
    for _ in range(n):
      things = scenes.draw_two(rng, *words, skew if split == 'pool' else 0.0)
      if split == 'pretrain':
        phrasing = str(rng.choice(scenes.PHRASINGS_ONE))
        rows.append((
            images_lib.decode(scenes.render(rng, things[:1], image_size)),
            phrasing.format(scenes.noun_phrase(things[0])),
            sound(rng, things[:1], image_size)))
        continue
      example = scenes.swapped_example(rng, things, image_size)
      for half, pair in enumerate((things, scenes.swap_colours(things))):
        rows.append((
            images_lib.decode(example[f'image_{half}']),
            example[f'caption_{half}'], sound(rng, pair, image_size)))
    images, texts, sounds = zip(*rows)
    groups = np.arange(len(rows), dtype=np.int32) // 2
    splits[split] = schema.Pairs(
        {'image': np.stack(images), 'text': texts, 'sound': np.stack(sounds)},
        schema.no_groups(len(rows)) if split == 'pretrain' else groups)
  return schema.Dataset('synthetic_trio', **splits)
