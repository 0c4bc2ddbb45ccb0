"""The one shape in which every dataset reaches the rest of the package."""

from collections.abc import Mapping, Sequence
import dataclasses

import numpy as np

from mmal_jax.data import image_files

# What a modality's items may be: pixels, files, strings, or feature rows.
Images = np.ndarray | image_files.ImageFiles
Texts = Sequence[str] | np.ndarray


@dataclasses.dataclass(frozen=True)
class Pairs:
  """n pairs, or tuples of more modalities, row by row.

  Attributes:
    items: by modality, n items each: `[n, h, w, 3]` uint8 pixels, be they in
      memory or in n files; n strings; or `[n, d]` float32 features. Mostly an
      `image` and a `text`; any other names, and more of them, will do.
    groups: `[n]` int32. The rows that share a number are one Winoground group:
      captions of the same words, told apart only by their images. -1: none.
  """

  items: Mapping[str, Images | Texts]
  groups: np.ndarray

  def __len__(self) -> int:
    return len(self.groups)


def image_text(images: Images, texts: Texts, groups: np.ndarray) -> Pairs:
  """Pairs of an image and a text."""
  return Pairs({'image': images, 'text': texts}, groups)


@dataclasses.dataclass(frozen=True)
class Dataset:
  """The splits of one dataset.

  Attributes:
    name: the registry's name for it.
    pool: the pairs to be hidden; the learner sees them as two loose pools.
    test: held-out pairs, for evaluation only.
    pretrain: pairs that cost nothing (a stand-in for web pre-training), or
      None where there are none: the warm start is then a fresh model.
  """

  name: str
  pool: Pairs
  test: Pairs
  pretrain: Pairs | None = None


def item_ids(items: Texts | Images) -> np.ndarray:
  """Numbers items so that two have the same number iff they are the same.

  Args:
    items: n strings, or an array `[n, ...]` whose rows are compared by bytes.

  Returns:
    `[n]` int32 in order of first appearance.
  """
  seen: dict[str | bytes, int] = {}
  keys = (x if isinstance(x, str) else np.ascontiguousarray(x).tobytes()
          for x in items)
  return np.array([seen.setdefault(key, len(seen)) for key in keys], np.int32)


def no_groups(n: int) -> np.ndarray:
  """Group numbers of n pairs that belong to no group: `[n]` int32 of -1."""
  return np.full(n, -1, np.int32)
