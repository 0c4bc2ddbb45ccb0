"""From datasets to the arrays that towers read."""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
import tokenizers

from mmal_jax.data import schema
from mmal_jax.data import tokenizer as tokenizer_lib


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Items:
  """n items of one modality.

  Attributes:
    values: `[n, h, w, 3]` uint8 pixels, `[n, length]` int32 tokens, or
      `[n, d]` float32 features.
    ids: `[n]` int32; two items have the same number iff they are the same.
  """

  values: np.ndarray
  ids: np.ndarray

  def __len__(self) -> int:
    return len(self.ids)

  def take(self, rows: np.ndarray) -> 'Items':
    """The items at `rows`, in that order."""
    return Items(self.values[rows], self.ids[rows])


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
