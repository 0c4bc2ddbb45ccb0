"""A byte-level BPE tokenizer, trained on the texts at hand."""

from __future__ import annotations  # `tokenizers` is optional.

from collections.abc import Sequence

from absl import logging
import numpy as np

from mmal_jax import extras

tokenizers = extras.Lazy('tokenizers', 'to cut texts into tokens')

# Tokens are the tokenizer's own ids plus one. A padding word inside its
# vocabulary would have to be kept apart from users who write that word.
PAD_ID = 0
_SHOWN = 40  # letters of a text in a warning


def train(texts: Sequence[str], vocab_size: int = 512) -> tokenizers.Tokenizer:
  """Trains byte-level BPE (Sennrich et al. 2016): no text is out of vocabulary.

  Args:
    texts: what to learn merges from; never the test split.
    vocab_size: upper bound on the number of ids; the 256 bytes are among them.

  Returns:
    The tokenizer; `.save(path)` writes it as one JSON file.

  Raises:
    ValueError: if `vocab_size` is below 256.
  """
  if vocab_size < 256:
    raise ValueError(
        f'vocab_size={vocab_size!r} must be at least 256: one id a byte.')
  tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
  tokenizer.decoder = tokenizers.decoders.ByteLevel()
  tokenizer.train_from_iterator(texts, tokenizers.trainers.BpeTrainer(
      vocab_size=vocab_size,
      initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
      show_progress=False))
  return tokenizer


def num_tokens(tokenizer: tokenizers.Tokenizer) -> int:
  """Size of an embedding table for its tokens: its ids and the padding."""
  return tokenizer.get_vocab_size() + 1


def longest(tokenizer: tokenizers.Tokenizer, texts: Sequence[str]) -> int:
  """Number of tokens of the longest text."""
  return max((len(e) for e in tokenizer.encode_batch(texts)), default=0)


def tokenize(
    tokenizer: tokenizers.Tokenizer,
    texts: Sequence[str],
    length: int,
    what: str = 'texts',
    limit: str = 'length',
) -> np.ndarray:
  """Tokens of n texts, padded at the end; warns of the texts it must cut.

  Args:
    tokenizer: from `train`.
    texts: n of them.
    length: tokens of a row.
    what: the texts, for the warning.
    limit: what the user calls `length`, for the warning.

  Returns:
    `[n, length]` int32; 0 is padding.
  """
  tokens = np.full((len(texts), length), PAD_ID, np.int32)
  cut = []
  for i, encoding in enumerate(tokenizer.encode_batch(texts)):
    ids = encoding.ids
    if len(ids) > length:
      cut.append((i, len(ids)))
    tokens[i, :min(len(ids), length)] = np.add(ids[:length], 1)
  if cut:
    first, its = cut[0]
    logging.warning(
        '%d of %d %s are longer than %d tokens and were cut, the first of them '
        '%s... (%d tokens): raise %s, to %d for all of them.', len(cut),
        len(texts), what, length, repr(texts[first][:_SHOWN]), its, limit,
        max(n for _, n in cut))
  return tokens
