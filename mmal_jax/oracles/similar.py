"""The realistic mistake: to take an item for one that looks or reads alike."""

from collections.abc import Mapping

import numpy as np

from mmal_jax.data import encode
from mmal_jax.data.images import image_files
from mmal_jax.oracles import wrong

_EDGE = 16  # pixels; what differs only in detail is taken for alike


def nearest_other(items: Mapping[str, encode.Items]) -> wrong.Mistake:
  """For each item, the one that is most like it without being the same.

  Alike are images of a large cosine when they are shrunk and grey is taken off
  (so that contrast does not matter), texts that share many of their tokens
  whatever the order, and features of a large cosine.

  Args:
    items: by modality, of the whole pool.

  Returns:
    `(modality, numbers [q]) -> numbers [q]`, ties to the lowest number.

  Raises:
    ValueError: if all items of a modality are the same.
  """
  known: dict[str, np.ndarray] = {}

  def mistake(modality, numbers):
    if modality not in known:
      known[modality] = _comparable(items[modality].values)
    rows, ids = known[modality], items[modality].ids
    found = np.empty(len(numbers), np.int32)
    for i, number in enumerate(numbers):
      similarity = rows @ rows[number]
      similarity[ids == ids[number]] = -np.inf
      found[i] = np.argmax(similarity)
      if similarity[found[i]] == -np.inf:
        raise ValueError(f'all items of {modality} are the same: there is none '
                         'to take another for.')
    return found

  return mistake


def _comparable(values: encode.Values) -> np.ndarray:
  """`[n, d]` rows of norm 1, the more alike the larger their product."""
  if isinstance(values, image_files.ImageFiles):
    batches = values.stream(np.array_split(
        np.arange(len(values)), max(1, len(values) // 256)))
    rows = np.concatenate([_shrunk(batch) for batch in batches])
  elif values.ndim == 4:
    rows = _shrunk(values)
  elif np.issubdtype(values.dtype, np.integer):
    used, tokens = np.unique(values, return_inverse=True)
    rows = np.zeros((len(values), len(used)), np.float32)
    rows[np.arange(len(values))[:, None], tokens.reshape(values.shape)] = 1.0
    # What all texts have, their start, their end and mostly padding, says
    # nothing.
    rows[:, rows.all(axis=0)] = 0.0
  else:
    rows = values
  norms = np.linalg.norm(rows, axis=1, keepdims=True)
  return rows / np.maximum(norms, 1e-12)


def _shrunk(pixels: np.ndarray) -> np.ndarray:
  """`[n, h, w, 3]` to `[n, d]`, averaged over blocks and centred."""
  n, h, w, c = pixels.shape
  step = max(1, h // _EDGE), max(1, w // _EDGE)
  h, w = h // step[0], w // step[1]
  blocks = pixels[:, :h * step[0], :w * step[1]].astype(np.float32)
  blocks = blocks.reshape(n, h, step[0], w, step[1], c).mean(axis=(2, 4))
  return blocks.reshape(n, -1) - 127.5
