"""From datasets to the arrays that towers read."""

from collections.abc import Iterator, Sequence
import dataclasses
from typing import NamedTuple

import numpy as np
import tokenizers

from mmal_jax.data import schema
from mmal_jax.data import tokenizer as tokenizer_lib


Values = np.ndarray


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


@dataclasses.dataclass(frozen=True)
class EncodedPairs:
  """n image-text pairs, row by row; `groups` as in `schema.Pairs`."""

  images: Items
  texts: Items
  groups: np.ndarray

  def __len__(self) -> int:
    return len(self.groups)


class EncodedDataset(NamedTuple):
  """A dataset as arrays; `tokenizer` is None where texts are features."""

  pool: EncodedPairs
  test: EncodedPairs
  pretrain: EncodedPairs | None
  tokenizer: tokenizers.Tokenizer | None


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


def encode(
    dataset: schema.Dataset, vocab_size: int = 512, max_tokens: int = 64
) -> EncodedDataset:
  """Tokenizes texts, where there are any, and numbers equal items.

  The tokenizer learns from `pretrain` and `pool` only. Rows are as long as the
  longest text of these two, and at most `max_tokens`.
  """
  pool, test, pretrain = dataset.pool, dataset.test, dataset.pretrain
  if isinstance(pool.texts, np.ndarray):
    tokenizer, length = None, 0
  else:
    seen = list(pool.texts) + ([] if pretrain is None else list(pretrain.texts))
    tokenizer = tokenizer_lib.train(seen, vocab_size)
    length = min(max_tokens, tokenizer_lib.longest(tokenizer, seen))

  def encode_pairs(pairs: schema.Pairs) -> EncodedPairs:
    texts = (pairs.texts if tokenizer is None
             else tokenizer_lib.tokenize(tokenizer, pairs.texts, length))
    return EncodedPairs(
        Items(pairs.images, schema.item_ids(pairs.images)),
        Items(texts, schema.item_ids(pairs.texts)),
        pairs.groups)

  return EncodedDataset(
      encode_pairs(pool), encode_pairs(test),
      None if pretrain is None else encode_pairs(pretrain), tokenizer)
