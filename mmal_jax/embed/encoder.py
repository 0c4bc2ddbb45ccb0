"""A published model with all that belongs to it, as `mmal_jax.load_pretrained`.
"""

from collections.abc import Iterable
import functools
import numbers
import os
from typing import Any

from flax import nnx
import numpy as np

from mmal_jax import progress
from mmal_jax.data.images import image_files
from mmal_jax.data.images import image_sources
from mmal_jax.data.tokenizers import any_tokenizer
from mmal_jax.embed import in_memory
from mmal_jax.models import dual_encoder
from mmal_jax.models import partition
from mmal_jax.models.pretrained import load as load_lib

BATCH = 64  # items at a time: large images fill the memory of a laptop


class Encoder(load_lib.Pretrained):
  """A checkpoint that embeds images and texts.

  Its attributes are those of `models.pretrained.load.Pretrained`: `config`,
  `params`, `tokenizer`, `preprocess`, `digest`.
  """

  def __repr__(self) -> str:
    height, width = self.config.image.size
    return (f'<Encoder of images of {height} x {width} pixels and texts of '
            f'{self.config.text.length} tokens: rows of '
            f'{self.config.embed_dim}>')

  def encode_images(
      self, images: Iterable[Any], batch_size: int = BATCH
  ) -> np.ndarray:
    """Embeds images.

    A bar shows how far it is, unless `progress.shown_by` says otherwise.

    Args:
      images: n paths, images of Pillow, `[h, w, 3]` uint8 arrays, or what
        `data.images.image_sources` takes besides.
      batch_size: images at a time.

    Returns:
      `[n, d]` float32, rows of norm 1.

    Raises:
      TypeError: for one image, or one path, in place of several.
      ValueError: if there is no image, or one is none or cannot be read, with
        its path; for a `batch_size` below 1.
    """
    return self._encode('image', image_files.ImageFiles(
        image_sources.sources(images), self.preprocess), batch_size)

  def encode_texts(
      self, texts: Iterable[str], batch_size: int = BATCH
  ) -> np.ndarray:
    """Embeds texts, as `encode_images` does images.

    Raises:
      TypeError: for one text in place of several, or one that is none.
      ValueError: if there is none, or a tokenizer of yours, put in by
        `_replace(tokenizer=...)`, returns what the model does not take.
    """
    if isinstance(texts, str):
      raise TypeError('texts is one string; give a list, [text] for one.')
    texts = list(texts)
    odd = [i for i, text in enumerate(texts) if not isinstance(text, str)]
    if odd:
      raise TypeError(f'text {odd[0]} is {type(texts[odd[0]]).__name__}; a '
                      'string is needed.')
    if not texts:
      raise ValueError('there are no texts to embed.')
    text = self.config.text
    return self._encode('text', any_tokenizer.tokens(
        self.tokenizer, texts, text.length, text.vocab_size), batch_size)

  @functools.cached_property
  def _placed(self) -> nnx.State:
    """The parameters on the device, where they stay."""
    return partition.place(self.params, None)

  def _encode(self, modality, values, batch_size) -> np.ndarray:
    if isinstance(batch_size, bool) or not isinstance(
        batch_size, numbers.Integral) or batch_size < 1:
      raise ValueError(f'batch_size={batch_size!r} must be an integer of at '
                       'least 1.')
    with progress.shown_by(progress.by_default()):
      return np.asarray(in_memory.embed(
          dual_encoder.graphdef_of(self.config), self._placed, values, modality,
          batch_size))


def load(
    name_or_folder: str | os.PathLike[str],
    *,
    model: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    dtype: str = 'float32',
    remat: bool = False,
) -> Encoder:
  """Reads a checkpoint with all that belongs to it, to embed with.

  Args:
    name_or_folder: a folder in Hugging Face's layout, a repository's name, or a
      `.npz` of big_vision.
    model: a preset (`presets.PRESETS`) that it must be; None takes any.
    tokenizer: folder where the tokenizer lies, if not beside the parameters.
    image_size: pixels, if not as published: position embeddings are
      interpolated.
    dtype: what the towers compute in.
    remat: whether activations are computed once more in the backward pass.

  Raises:
    FileNotFoundError: if a file is missing.
    ImportError: if a package that reads or fetches it is not installed.
    ValueError: for all that cannot be read, or is not what `model` says.
  """
  return Encoder(*load_lib.load(
      os.path.expanduser(name_or_folder), model=model,
      tokenizer=tokenizer, image_size=image_size,
      dtype=dtype, remat=remat))
