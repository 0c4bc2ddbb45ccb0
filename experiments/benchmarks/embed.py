"""Embedding a pool with a published dual encoder, beside PyTorch."""

from collections.abc import Callable
import functools
import pathlib
import tempfile
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from experiments.benchmarks import encoders
from experiments.benchmarks import flops
from experiments.benchmarks import jax_siglip
from experiments.benchmarks import result
from experiments.benchmarks import timing
from experiments.benchmarks import torch_siglip
from mmal_jax.data import encode
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess
from mmal_jax.models import config as config_lib

_MEMORY, _FILES, _TEXTS = 'images in memory', 'image files', 'texts'
_DECODING = 'decoding alone'
_FILE_SIZE = (640, 480)
# Of the embeddings, any coordinate of rows of norm 1.
TOLERANCES = {'float32': 1e-4, 'bfloat16': 1e-2}


class Sizes(NamedTuple):
  """How much is embedded."""

  images: int
  texts: int
  batch: int
  dtype: str


def run(small: bool) -> result.Result:
  """Items a second."""
  load = encoders.load_note()
  encoders.leave_memory()
  config, rate = encoders.make_config(small), encoders.machine_rate(small)
  sizes = _sizes(small, jax.default_backend())
  ours = jax_siglip.Siglip(config)
  theirs = encoders.in_torch(config, ours)
  encoder = encoders.EAGER if small else encoders.COMPILED
  rows, notes = [], [encoders.torch_note(theirs)]
  with tempfile.TemporaryDirectory() as folder:
    for items, values in _pools(config, sizes, folder).items():
      modality = 'text' if items == _TEXTS else 'image'
      functions = {encoders.OURS: functools.partial(
          ours.embed, values, modality, sizes.dtype, sizes.batch)}
      if not isinstance(theirs, str):
        functions[encoder] = _theirs(
            theirs, values, modality, sizes, encoder == encoders.COMPILED)
      if items == _FILES:
        functions[_DECODING] = functools.partial(_decode, values, sizes.batch)
      timed = timing.side_by_side(functions)
      if encoder in timed:
        notes.append(check(
            items, *(timed[side][1] for side in (encoders.OURS, encoder)),
            sizes.dtype))
      work = getattr(flops, modality)(config)
      rows += [
          _row(items, what, len(values), seconds,
               None if what == _DECODING else work, rate.flops)
          for what, (seconds, _) in timed.items()]
      if isinstance(theirs, str):
        rows.append([items, encoder, len(values), theirs, *[None] * 3])
  return result.Result(
      'embed',
      ['items', 'what', 'number', 'seconds', 'items/s', 'TFLOP/s', '% of rate'],
      rows, [
          f'{"A tiny model" if small else encoders.PRESET}, {sizes.dtype}, '
          f'{sizes.batch} a batch; from uint8 pixels or tokens on the host to '
          'embeddings there.',
          f'Files: JPEGs of {_FILE_SIZE[0]}x{_FILE_SIZE[1]} in the system\'s '
          'cache of files, resized; decoded by threads while the model runs, '
          'for PyTorch by the same ones.',
          f'Rate: {rate.what}.', *notes, load, timing.NOTE])


def check(items: str, ours: Any, theirs: Any, dtype: str) -> str:
  """Compares the embeddings of both models.

  Returns:
    What was found, in words.

  Raises:
    RuntimeError: if they differ.
  """
  difference = np.abs(np.asarray(ours) - theirs).max()
  message = (f'Embeddings of {items}: at most {difference:.2g} from '
             f'PyTorch\'s in any coordinate; {TOLERANCES[dtype]:g} are '
             'allowed.')
  if not difference <= TOLERANCES[dtype]:
    raise RuntimeError(message)
  return message


def _sizes(small: bool, platform: str) -> Sizes:
  if small:
    return Sizes(8, 8, 4, 'float32')
  if platform == 'cpu':
    return Sizes(32, 64, 16, 'float32')
  return Sizes(8192, 32768, 512, 'bfloat16')


def _pools(
    config: config_lib.DualEncoder, sizes: Sizes, folder: str
) -> dict[str, encode.Values]:
  images, _ = encoders.inputs(config, sizes.images)
  _, tokens = encoders.inputs(config, sizes.texts)
  side = config.image.size[0]
  files = image_files.ImageFiles(
      _write_jpegs(pathlib.Path(folder), sizes.images),
      preprocess.Preprocess(side, side))
  return {_MEMORY: images, _FILES: files, _TEXTS: tokens}


def _write_jpegs(folder: pathlib.Path, n: int) -> list[pathlib.Path]:
  """Of smooth noise: bytes and decoding times like those of photographs."""
  rng = np.random.default_rng(0)
  paths = [folder / f'{i}.jpg' for i in range(n)]
  for path in paths:
    coarse = rng.integers(256, size=(60, 80, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(_FILE_SIZE)
    image.save(path, quality=90)
  return paths


def _batches(n: int, size: int) -> list[np.ndarray]:
  return [np.arange(first, first + size) for first in range(0, n, size)]


def _theirs(
    model: torch_siglip.Siglip, values: encode.Values, modality: str,
    sizes: Sizes, compiled: bool,
) -> Callable[[], np.ndarray]:
  embed = model.embedding(modality, sizes.dtype, compiled)
  batches = _batches(len(values), sizes.batch)
  return lambda: embed(encode.stream(values, batches))


def _decode(values: image_files.ImageFiles, batch: int) -> int:
  return sum(map(len, values.stream(_batches(len(values), batch))))


def _row(items, what, n, seconds, work, rate):
  speed = n / seconds.best
  return [items, what, n, seconds, speed] + (
      [None] * 2 if work is None
      else [speed * work / 1e12, 100 * speed * work / rate])
