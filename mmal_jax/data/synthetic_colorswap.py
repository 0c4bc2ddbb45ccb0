"""Synthetic ColorSwap: a TFDS builder that renders its data from a seed.

Schema and purpose follow Winoground (Thrush et al. 2022) and ColorSwap
(Burapacheep et al. 2024, arXiv 2402.04492): each example holds two captions
with the same words and swapped colours, and an image for each.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import hashlib
import io
import os
import pathlib

from absl import logging
import numpy as np
import PIL
import tensorflow_datasets as tfds

from mmal_jax.data import scenes
from mmal_jax.data import schema
from mmal_jax.data.images import images as images_lib

_COLUMNS = ('image_0', 'image_1', 'caption_0', 'caption_1')


@dataclasses.dataclass(kw_only=True, eq=False)
class ColorswapConfig(tfds.core.BuilderConfig):
  """What is rendered.

  Attributes:
    seed: fixes every byte of every split.
    pretrain: number of examples (two unrelated scenes each).
    pool: number of examples (two pairs each), long-tailed.
    test: number of examples, balanced over objects and colours.
    image_size: height and width in pixels.
    colours: words out of `scenes.COLOURS`, the commonest first.
    objects: words out of `scenes.OBJECTS`, the commonest first.
    skew: exponent s of the pool's Zipf law `p_i ∝ i^-s` over both lists; 0 is
      uniform.
  """

  name: str = ''
  seed: int = 0
  pretrain: int = 3000
  pool: int = 1500
  test: int = 300
  image_size: int = 32
  colours: tuple[str, ...] = tuple(scenes.COLOURS)[:6]
  objects: tuple[str, ...] = tuple(scenes.OBJECTS)[:6]
  skew: float = 1.0

  def __post_init__(self):
    for field, known in (
        ('colours', scenes.COLOURS), ('objects', scenes.OBJECTS)
    ):
      words = tuple(getattr(self, field))
      setattr(self, field, words)
      unknown = sorted(set(words) - set(known))
      if unknown or len(set(words)) < max(2, len(words)):
        raise ValueError(
            f'{field}={words!r}: need at least two different words out of '
            f'{sorted(known)}.'
        )
    for field, least in (
        ('pretrain', 1), ('pool', 1), ('test', 1), ('image_size', 8),
        ('skew', 0), ('seed', 0),
    ):
      if getattr(self, field) < least:
        raise ValueError(
            f'{field}={getattr(self, field)!r} is out of range: at least '
            f'{least} is needed.'
        )
    # TFDS stores a dataset under its config's name, so that every value that
    # changes a byte has to change the name, and so has any edit of the code.
    base = {f.name for f in dataclasses.fields(tfds.core.BuilderConfig)}
    values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)
              if f.name not in base}
    digest = hashlib.sha256(repr(sorted(values.items())).encode())
    for path in (__file__, scenes.__file__):
      digest.update(pathlib.Path(path).read_bytes())
    digest.update(PIL.__version__.encode())
    self.name = f'seed{self.seed}_{digest.hexdigest()[:12]}'


class SyntheticColorswap(tfds.core.GeneratorBasedBuilder):
  """TFDS builder; needs `file_format='array_record'`, but no TensorFlow."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    size = self.builder_config.image_size
    image = tfds.features.Image(shape=(size, size, 3), encoding_format='png')
    return self.dataset_info_from_configs(
        description=__doc__,
        features=tfds.features.FeaturesDict({
            'image_0': image,
            'image_1': image,
            'caption_0': tfds.features.Text(),
            'caption_1': tfds.features.Text(),
        }),
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing is downloaded.
    return {
        split: self._generate_examples(split)
        for split in ('pretrain', 'pool', 'test')
    }

  def _generate_examples(self, split):
    for i, example in enumerate(generate(self.builder_config, split)):
      # TFDS takes an open file for an image that is already encoded; an array
      # would make it import TensorFlow.
      yield i, {
          name: io.BytesIO(value) if isinstance(value, bytes) else value
          for name, value in example.items()
      }


def generate(
    config: ColorswapConfig, split: str
) -> Iterator[dict[str, str | bytes]]:
  """Yields a split's examples: two captions and two PNGs each.

  Args:
    config: sizes, words, skew and seed.
    split: `pretrain`, `pool` or `test`.
  """
  stream = ('pretrain', 'pool', 'test').index(split)
  rng = np.random.default_rng([config.seed, stream])
  words, size = (config.colours, config.objects), config.image_size
  for i in range(getattr(config, split)):
    if split == 'pretrain':
      scenes_drawn = [scenes.web_scene(rng, *words, size) for _ in range(2)]
      yield {f'{column}_{half}': value
             for half, scene in enumerate(scenes_drawn)
             for column, value in zip(('caption', 'image'), scene)}
    else:
      things = (scenes.draw_two(rng, *words, config.skew) if split == 'pool'
                else _balanced(rng, config, i))
      yield scenes.swapped_example(rng, things, size)


def _balanced(rng, config, i):
  """Example i of `test`: every kind and every colour comes up in turn."""
  kinds, colours = config.objects, config.colours
  k, c = i % len(kinds), (i // len(kinds)) % len(colours)
  other_k = (k + rng.integers(1, len(kinds))) % len(kinds)
  other_c = (c + rng.integers(1, len(colours))) % len(colours)
  return (scenes.Thing(colours[c], kinds[k]),
          scenes.Thing(colours[other_c], kinds[other_k]))


def load(data_dir: str | os.PathLike[str], **config) -> schema.Dataset:
  """Builds the dataset under `data_dir` once, then reads it from there.

  Args:
    data_dir: the folder that TFDS keeps its datasets in.
    **config: fields of `ColorswapConfig`.

  Returns:
    `pretrain`, `pool` and `test`. In `pool` and `test` rows 2i and 2i + 1 are
    Winoground group i.

  Raises:
    ValueError: for a config value out of range.
  """
  with _quiet_tfds():
    builder = SyntheticColorswap(
        data_dir=data_dir,
        config=ColorswapConfig(**config),
        file_format='array_record',
    )
    builder.download_and_prepare()
  # Undecoded: TFDS's own decoding would make the arrays one by one.
  decoders = {name: tfds.decode.SkipDecoding() for name in _COLUMNS[:2]}
  splits = {
      split: _pairs(source, grouped=split != 'pretrain')
      for split, source in builder.as_data_source(decoders=decoders).items()
  }
  return schema.Dataset(name='synthetic_colorswap', **splits)


@contextlib.contextmanager
def _quiet_tfds():
  """TFDS warns of every config it has not seen, and of what it renders."""
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  tfds.disable_progress_bar()
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    logging.set_verbosity(verbosity)
    tfds.enable_progress_bar()


def _pairs(source, grouped: bool) -> schema.Pairs:
  """Unfolds Winoground examples into pairs, two rows an example."""
  pngs, texts = [], []
  for example in source:
    for half in (0, 1):
      pngs.append(example[f'image_{half}'])
      texts.append(example[f'caption_{half}'].decode())
  groups = np.arange(len(texts), dtype=np.int32) // 2
  return schema.image_text(
      np.stack([images_lib.decode(png) for png in pngs]),
      tuple(texts),
      groups if grouped else schema.no_groups(len(texts)),
  )
