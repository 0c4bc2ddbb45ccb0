"""Scenes of coloured objects: what they hold, how they look, how they read.

Everything is drawn from one `numpy.random.Generator`, so a seed fixes every
pixel and every word.
"""

from collections.abc import Sequence
import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL import ImageDraw

# Distinct at 32x32 pixels, and none of them a grey (backgrounds are grey).
COLOURS = {
    'red': (214, 39, 40),
    'green': (44, 160, 44),
    'blue': (31, 85, 214),
    'yellow': (240, 220, 40),
    'purple': (140, 50, 190),
    'orange': (250, 130, 20),
    'cyan': (40, 200, 220),
    'pink': (245, 130, 190),
}

# Outlines as (x, y) in [-1, 1]^2, y pointing down as in images.
_Outline = Sequence[tuple[float, float]]


def _star(points: int, inner: float) -> _Outline:
  return [
      (r * math.sin(t), -r * math.cos(t))
      for i in range(2 * points)
      for t, r in [(math.pi * i / points, inner if i % 2 else 1.0)]
  ]


def _heart() -> _Outline:
  turns = [2 * math.pi * i / 40 for i in range(40)]
  return [(
      math.sin(t) ** 3,
      -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t)
        - math.cos(4 * t)) / 16,
  ) for t in turns]


OBJECTS: dict[str, _Outline] = {
    'circle': _star(24, 1.0),
    'square': [(-.85, -.85), (.85, -.85), (.85, .85), (-.85, .85)],
    'triangle': [(0, -1), (1, .8), (-1, .8)],
    'star': _star(5, 0.4),
    'heart': _heart(),
    'cross': [(-.3, -1), (.3, -1), (.3, -.3), (1, -.3), (1, .3), (.3, .3),
              (.3, 1), (-.3, 1), (-.3, .3), (-1, .3), (-1, -.3), (-.3, -.3)],
    'diamond': [(0, -1), (.6, 0), (0, 1), (-.6, 0)],
    'arrow': [(1, 0), (.1, -.9), (.1, -.35), (-1, -.35), (-1, .35), (.1, .35),
              (.1, .9)],
}

# `{0}` and `{1}` are noun phrases such as "a red circle". The first group says
# nothing of place; the others hold only where object 0 is left of / above 1.
PHRASINGS = (
    '{0} and {1}',
    '{0} next to {1}',
    'there is {0} beside {1}',
    'a picture of {0} with {1}',
    'we see {0} together with {1}',
)
PHRASINGS_LEFT = (
    '{0} to the left of {1}',
    'on the left {0} and on the right {1}',
)
PHRASINGS_ABOVE = ('{0} above {1}', '{0} on top and {1} at the bottom')
PHRASINGS_ONE = ('{0}', 'a picture of {0}', 'there is {0}', 'we see {0}')

_SUPERSAMPLE = 4  # rendered this much larger, then averaged down: soft edges


class Thing(NamedTuple):
  """One coloured object of a scene."""

  colour: str
  kind: str


def noun_phrase(thing: Thing) -> str:
  """`a red circle`, `an orange star`."""
  return f'{_article(thing.colour)} {thing.colour} {thing.kind}'


def _article(word: str) -> str:
  return 'an' if word[0] in 'aeiou' else 'a'


def swap_colours(things: Sequence[Thing]) -> tuple[Thing, Thing]:
  """The same two objects with each other's colour: ColorSwap's hard negative.

  >>> swap_colours([Thing('red', 'star'), Thing('blue', 'heart')])
  (Thing(colour='blue', kind='star'), Thing(colour='red', kind='heart'))
  """
  a, b = things
  return Thing(b.colour, a.kind), Thing(a.colour, b.kind)


def zipf(n: int, exponent: float) -> np.ndarray:
  """Zipf weights `p_i ∝ (i + 1) ** -exponent`, `[n]` float64 with sum 1.

  An exponent of 0 is uniform.
  """
  weights = np.arange(1, n + 1, dtype=np.float64) ** -exponent
  return weights / weights.sum()


def draw_two(
    rng: np.random.Generator,
    colours: Sequence[str],
    kinds: Sequence[str],
    exponent: float,
) -> tuple[Thing, Thing]:
  """Two objects of different kinds and colours, long-tailed over both lists."""
  c = rng.choice(len(colours), 2, replace=False, p=zipf(len(colours), exponent))
  k = rng.choice(len(kinds), 2, replace=False, p=zipf(len(kinds), exponent))
  return Thing(colours[c[0]], kinds[k[0]]), Thing(colours[c[1]], kinds[k[1]])


def render(
    rng: np.random.Generator,
    things: Sequence[Thing],
    size: int,
    stacked: bool = False,
) -> bytes:
  """Draws one or two objects on a grey ground with jitter in place and size.

  Args:
    rng: source of the jitter (place, size, tilt, shade, ground).
    things: one object, or two: the first is left of the second, or above it.
    size: height and width in pixels.
    stacked: True puts the first object above the second.

  Returns:
    The image as PNG bytes (RGB, `[size, size, 3]`).
  """
  side = size * _SUPERSAMPLE
  ground = int(rng.integers(20, 236))
  image = Image.new('RGB', (side, side), (ground, ground, ground))
  pen = ImageDraw.Draw(image)
  for place, thing in enumerate(things):
    along = 0.5 if len(things) == 1 else 0.27 + 0.46 * place
    centre = np.array([along, 0.5])[::-1 if stacked else 1]
    centre = centre + rng.uniform(-1, 1, 2) * np.array(
        [0.04, 0.16])[::-1 if stacked else 1]
    radius = rng.uniform(0.19, 0.24)
    tilt = rng.uniform(-0.25, 0.25)
    shade = rng.uniform(-18, 18, 3)
    turn = np.array([[math.cos(tilt), -math.sin(tilt)],
                     [math.sin(tilt), math.cos(tilt)]])
    outline = np.asarray(OBJECTS[thing.kind]) @ turn.T  # [points, 2]
    corners = (centre + radius * outline) * side
    fill = np.clip(np.add(COLOURS[thing.colour], shade), 0, 255).astype(int)
    pen.polygon(
        [tuple(xy) for xy in corners.tolist()], fill=tuple(fill.tolist()))
  png = io.BytesIO()
  image.resize((size, size), Image.Resampling.BOX).save(png, 'PNG')
  return png.getvalue()


def swapped_example(
    rng: np.random.Generator, things: tuple[Thing, Thing], size: int
) -> dict[str, str | bytes]:
  """A ColorSwap example: two captions of the same words, an image for each.

  Both captions share a phrasing; both images share the arrangement, but not
  the jitter.

  Returns:
    `caption_0`, `caption_1` (str), `image_0`, `image_1` (PNG bytes).
  """
  stacked = bool(rng.integers(2))
  placed = PHRASINGS_ABOVE if stacked else PHRASINGS_LEFT
  phrasing = str(rng.choice(PHRASINGS + placed))
  # Where the phrasing says nothing of place, neither does the word order.
  mirrored = phrasing in PHRASINGS and bool(rng.integers(2))
  example = {}
  for i, pair in enumerate([things, swap_colours(things)]):
    example[f'caption_{i}'] = phrasing.format(*map(noun_phrase, pair))
    shown = pair[::-1] if mirrored else pair
    example[f'image_{i}'] = render(rng, shown, size, stacked)
  return example


def web_scene(
    rng: np.random.Generator,
    colours: Sequence[str],
    kinds: Sequence[str],
    size: int,
) -> tuple[str, bytes]:
  """One scene of the stand-in for web data: `(caption, PNG bytes)`.

  Half of the scenes hold one object, half two; colours and kinds are uniform.
  As on the web, a caption seldom says all there is: of two objects a quarter of
  the captions name both in full, the others their kinds, their colours, or only
  one of the two. Which colour belongs to which object is then seldom stated,
  and a model trained on it is weak in just that, as CLIP is.
  """
  things = draw_two(rng, colours, kinds, exponent=0.0)
  if rng.integers(2):
    caption = str(rng.choice(PHRASINGS_ONE)).format(noun_phrase(things[0]))
    return caption, render(rng, things[:1], size)
  form = rng.integers(4)
  if form == 0:
    caption = str(rng.choice(PHRASINGS)).format(*map(noun_phrase, things))
  elif form == 1:
    caption = str(rng.choice(PHRASINGS)).format(
        *(f'{_article(thing.kind)} {thing.kind}' for thing in things))
  elif form == 2:
    caption = f'{things[0].colour} and {things[1].colour} shapes'
  else:
    caption = str(rng.choice(PHRASINGS_ONE)).format(noun_phrase(things[0]))
  shown = things[::-1] if rng.integers(2) else things
  return caption, render(rng, shown, size, stacked=bool(rng.integers(2)))
