"""From datasets to the arrays that towers read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
import functools
import hashlib
from typing import Any, NamedTuple

import numpy as np

from mmal_jax.data import prompts as prompts_lib
from mmal_jax.data import schema
from mmal_jax.data.images import image_files
from mmal_jax.data.images import preprocess as preprocess_lib
from mmal_jax.data.tokenizers import any_tokenizer
from mmal_jax.data.tokenizers import tokenizer as tokenizer_lib

Values = np.ndarray | image_files.ImageFiles


@dataclasses.dataclass(frozen=True)
class Items:
  """n items of one modality.

  Attributes:
    values: `[n, h, w, 3]` uint8 pixels, be they in memory or to be decoded
      when they are needed, `[n, length]` int32 tokens, or `[n, d]` float32
      features.
    ids: `[n]` int32; two items have the same number iff they are the same.
  """

  values: Values
  ids: np.ndarray

  def __len__(self) -> int:
    return len(self.ids)

  def take(self, rows: np.ndarray) -> 'Items':
    """The items at `rows`, in that order."""
    values = (self.values[rows] if isinstance(self.values, np.ndarray)
              else self.values.select(rows))
    return Items(values, self.ids[rows])


class EncodedLabelled(NamedTuple):
  """n images of known classes.

  Attributes:
    images: n of them.
    labels: `[n]` int32, into the classes.
    prompts: c * t texts, as `prompts.of_classes` has them.
  """

  images: Items
  labels: np.ndarray
  prompts: Items


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
  """n pairs or tuples, row by row; all as in `schema.Pairs`.

  Attributes:
    items: by modality, n each.
    groups: `[n]` int32.
    labelled: images of known classes, to be classified besides; or None.
  """

  items: Mapping[str, Items]
  groups: np.ndarray
  labelled: EncodedLabelled | None = None

  def __len__(self) -> int:
    return len(self.groups)


@dataclasses.dataclass(frozen=True)
class EncodedLoose:
  """Items that were never paired; as in `schema.Loose`."""

  items: Mapping[str, Items]


class EncodedDataset(NamedTuple):
  """A dataset as arrays; `tokenizer` is None where nothing is a text."""

  pool: EncodedPairs | EncodedLoose
  test: EncodedPairs
  pretrain: EncodedPairs | None
  tokenizer: Any


def is_features(items: Items) -> bool:
  """Whether the items are rows of features."""
  values = items.values
  return isinstance(values, np.ndarray) and values.ndim == 2 and np.issubdtype(
      values.dtype, np.floating)


def stream(
    values: Values, batches: Sequence[np.ndarray]
) -> Iterator[np.ndarray]:
  """Yields the items of each batch of row numbers.

  Args:
    values: `[n, ...]`, of `Items`. Image files are decoded ahead, by threads.
    batches: of `[b]` int each.
  """
  if isinstance(values, np.ndarray):
    return (values[rows] for rows in batches)
  return values.stream(batches)


def digest(items: Items) -> str:
  """Hexadecimal SHA-256 of all that makes the items what they are."""
  values = items.values
  if isinstance(values, np.ndarray):
    found = hashlib.sha256(repr((values.shape, str(values.dtype))).encode())
    found.update(np.ascontiguousarray(values).data)
  else:
    found = hashlib.sha256(repr(values.preprocess).encode())
    for one in values.digests:
      found.update(one)
  found.update(np.ascontiguousarray(items.ids).data)
  return found.hexdigest()


def digests(items: Items, rows: np.ndarray) -> list[bytes]:
  """SHA-256 of each of some items, equal for equal ones of any two pools.

  Args:
    items: n of them.
    rows: `[k]` int.
  """
  values = items.values
  if not isinstance(values, np.ndarray):
    return values.select(rows).digests
  return [hashlib.sha256(np.ascontiguousarray(values[row])).digest()
          for row in rows]


def encode(
    dataset: schema.Dataset,
    vocab_size: int = 512,
    max_tokens: int = 64,
    tokenizer: any_tokenizer.Tokenizer | None = None,
    preprocess: preprocess_lib.Preprocess | None = None,
) -> EncodedDataset:
  """Tokenizes texts, where there are any, and numbers equal items.

  Args:
    dataset: of images, texts and features.
    vocab_size: of a tokenizer that is trained here, on `pretrain` and `pool`
      only, where none is given.
    max_tokens: upper bound on the tokens of a text; rows are as long as the
      longest text of all splits, or the longest prompt of `labelled`. Texts
      that are longer are cut; how many of which split is logged.
    tokenizer: of a published checkpoint, or any function from a list of n
      texts to `[n, length]` integers, in place of one that is trained.
    preprocess: what is done to images; None leaves them as they are.

  Raises:
    ValueError: if `tokenizer` or `preprocess` is given and an item is a row of
      features, or `tokenizer` returns anything else, or rows of two lengths.
  """
  pool, test, pretrain = dataset.pool, dataset.test, dataset.pretrain
  if (tokenizer is not None or preprocess is not None) and any(
      map(_is_features, pool.items.values())):
    raise ValueError(
        f'dataset {dataset.name!r} holds features; a pretrained model needs '
        'images and texts.')
  to_tokens = None if tokenizer is None else _to_tokens(tokenizer)
  prompts = [] if dataset.labelled is None else prompts_lib.of_classes(
      dataset.labelled.classes)
  seen = [text for pairs in (pool, pretrain) if pairs is not None
          for items in pairs.items.values() if _is_texts(items)
          for text in items]
  if seen and tokenizer is None:
    tokenizer = tokenizer_lib.train(seen, vocab_size)
    # Of the test texts the length alone: nothing is learnt from them.
    of_test = [text for items in test.items.values() if _is_texts(items)
               for text in items]
    length = min(max_tokens, tokenizer_lib.longest(
        tokenizer, [*seen, *of_test, *prompts]))
    to_tokens = functools.partial(
        tokenizer_lib.tokenize, tokenizer, length=length,
        limit='max_tokens (text.max_tokens of a config)')

  def encode_items(items: schema.Images | schema.Texts, what: str) -> Items:
    if _is_texts(items):
      return Items(to_tokens(items, what=what), schema.item_ids(items))
    if _is_features(items):
      return Items(items, schema.item_ids(items))
    return _encode_images(items, preprocess)

  def encode_pairs(pairs: schema.Pairs | schema.Loose, split: str):
    items = {name: encode_items(items, f'{split} {name}s')
             for name, items in pairs.items.items()}
    if isinstance(pairs, schema.Loose):
      return EncodedLoose(items)
    return EncodedPairs(items, pairs.groups)

  encoded_test = encode_pairs(test, 'test')
  if dataset.labelled is not None:
    if to_tokens is None:
      raise ValueError(f'dataset {dataset.name!r} has classes, but no texts: '
                       'their prompts need a tokenizer.')
    labelled = dataset.labelled
    encoded_test = dataclasses.replace(encoded_test, labelled=EncodedLabelled(
        encode_items(labelled.images, 'labelled images'), labelled.labels,
        encode_items(prompts, 'prompts of classes')))
  return EncodedDataset(
      encode_pairs(pool, 'pool'), encoded_test,
      None if pretrain is None else encode_pairs(pretrain, 'pretrain'),
      tokenizer)


def _to_tokens(tokenizer: any_tokenizer.Tokenizer) -> Callable[..., np.ndarray]:
  """A function of texts, whose rows of tokens are all of one length."""
  length = None

  def to_tokens(texts, what):
    del what  # A tokenizer that is given cuts what it will.
    nonlocal length
    found = any_tokenizer.tokens(tokenizer, texts, length)
    length = found.shape[1]
    return found

  return to_tokens


def _is_features(items) -> bool:
  return isinstance(items, np.ndarray) and items.ndim == 2


def _is_texts(items) -> bool:
  return not isinstance(items, (np.ndarray, image_files.ImageFiles))


def _encode_images(images, preprocess) -> Items:
  if isinstance(images, image_files.ImageFiles):
    if preprocess is not None:
      images = image_files.ImageFiles(images.paths, preprocess)
    return Items(images, image_files.item_ids(images))
  ids = schema.item_ids(images)
  if preprocess is not None:
    images = np.stack([preprocess.apply(image) for image in images])
  return Items(images, ids)
