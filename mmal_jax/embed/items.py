"""Images and texts to embeddings, with a checkpoint, as `mmal_jax.embed_items`.
"""

from collections.abc import Sequence
import os

import numpy as np

from mmal_jax.embed import encoder
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
  embeds = model if isinstance(model, encoder.Encoder) else (
      encoder.Encoder(*model))
  if modality == 'text':
    return embeds.encode_texts([str(text) for text in items], batch_size)
  if modality == 'image':
    return embeds.encode_images(items, batch_size)
  raise ValueError(f'modality={modality!r} must be "image" or "text".')
