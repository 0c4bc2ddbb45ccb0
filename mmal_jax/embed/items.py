"""Images and texts to embeddings, with a checkpoint, as `mmal_jax.embed_items`.
"""

from collections.abc import Sequence
import os
import pathlib

import numpy as np

from mmal_jax.data.images import image_files
from mmal_jax.data.tokenizers import any_tokenizer
from mmal_jax.embed import in_memory
from mmal_jax.models import dual_encoder
from mmal_jax.models import partition
from mmal_jax.models.pretrained import load as load_lib


def embed_items(
    model: load_lib.Pretrained,
    items: Sequence[str | os.PathLike[str]],
    modality: str,
    batch_size: int = 512,
) -> np.ndarray:
  """Embeds n items of one modality, for `mmal_jax.ask`.

  Args:
    model: from `load_pretrained`. With `model._replace(tokenizer=...)` it reads
      texts by any function from a list of n texts to `[n, length]` integers.
    items: n paths of images, or n texts.
    modality: `image` or `text`.
    batch_size: items at a time.

  Returns:
    `[n, d]` float32, rows of norm 1.

  Raises:
    ValueError: for another modality, or if there is no item, or an image cannot
      be read, or a tokenizer of yours returns what the model does not take.
  """
  if modality == 'text':
    encoder = model.config
    values = any_tokenizer.tokens(
        model.tokenizer, [str(text) for text in items], encoder.text.length,
        encoder.text.vocab_size)
  elif modality == 'image':
    values = image_files.ImageFiles(
        [pathlib.Path(path) for path in items], model.preprocess)
  else:
    raise ValueError(f'modality={modality!r} must be "image" or "text".')
  return np.asarray(in_memory.embed(
      dual_encoder.graphdef_of(model.config),
      partition.place(model.params, None), values, modality, batch_size))
