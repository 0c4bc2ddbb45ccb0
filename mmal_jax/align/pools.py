"""From pairs to two loose pools; the pairing leaves for the oracle."""

from typing import NamedTuple

import numpy as np

from mmal_jax.data import encode


class Pools(NamedTuple):
  """The learner's view of the data: images and texts, each in its own order."""

  images: encode.Items
  texts: encode.Items


def hide_pairing(
    pairs: encode.EncodedPairs, seed: int
) -> tuple[Pools, np.ndarray]:
  """Shuffles images and texts independently.

  Args:
    pairs: n pairs, row by row. Their groups are left behind, too: they would
      tell what is alike.
    seed: of both shuffles.

  Returns:
    The pools, and the pairing `[n]` int32: image i belongs to text
    `pairing[i]`. The pairing is for an oracle, and for nobody else.
  """
  rng = np.random.default_rng(seed)
  image_rows = rng.permutation(len(pairs))
  text_rows = rng.permutation(len(pairs))
  pairing = np.argsort(text_rows)[image_rows].astype(np.int32)
  # Numbers in order of the pairs would betray the pairing: number anew.
  images = _renumber(pairs.images.take(image_rows))
  texts = _renumber(pairs.texts.take(text_rows))
  return Pools(images, texts), pairing


def _renumber(items: encode.Items) -> encode.Items:
  _, first, inverse = np.unique(
      items.ids, return_index=True, return_inverse=True)
  # Rank of each number by its first appearance.
  ranks = np.argsort(np.argsort(first))
  return encode.Items(items.values, ranks[inverse].astype(np.int32))
