"""The one shape in which every dataset reaches the rest of the package."""

from collections.abc import Mapping, Sequence
import dataclasses

import numpy as np

from mmal_jax.data.images import image_files

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
      captions of the same words, which only their images distinguish. -1: none.

  Raises:
    ValueError: if they are not all of the same length.
  """

  items: Mapping[str, Images | Texts]
  groups: np.ndarray

  def __post_init__(self):
    lengths = {m: len(items) for m, items in self.items.items()}
    if {*lengths.values()} != {len(self.groups)}:
      raise ValueError(
          f'pairs of {lengths} items and {len(self.groups)} groups: row i of '
          'each is pair i, so that all must be as many.')

  def __len__(self) -> int:
    return len(self.groups)


def image_text(images: Images, texts: Texts, groups: np.ndarray) -> Pairs:
  """Pairs of an image and a text."""
  return Pairs({'image': images, 'text': texts}, groups)


@dataclasses.dataclass(frozen=True)
class Loose:
  """Pools of items whose pairing is unknown.

  Attributes:
    items: by modality, as in `Pairs`, but of any number each: row i of one has
      nothing to do with row i of another, and may have no counterpart at all.
  """

  items: Mapping[str, Images | Texts]

  def __len__(self) -> int:
    return sum(map(len, self.items.values()))


@dataclasses.dataclass(frozen=True)
class Labelled:
  """n images of known classes, for zero-shot classification.

  Attributes:
    images: n of them, as in `Pairs`.
    labels: `[n]` int32, into `classes`.
    classes: names as they stand in a prompt, `golden retriever` for one.
  """

  images: Images
  labels: np.ndarray
  classes: tuple[str, ...]

  def __len__(self) -> int:
    return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Dataset:
  """The splits of one dataset.

  Attributes:
    name: the registry's name for it.
    pool: the pairs to be hidden; the learner sees them as two loose pools. Or
      pools that are loose indeed: then only a person can answer.
    test: held-out pairs, for evaluation only.
    pretrain: pairs that cost nothing (a stand-in for web pre-training), or
      None where there are none: the warm start is then a fresh model.
    labelled: images of known classes, for evaluation only, or None.
  """

  name: str
  pool: Pairs | Loose
  test: Pairs
  pretrain: Pairs | None = None
  labelled: Labelled | None = None


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
