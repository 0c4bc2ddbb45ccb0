"""A tokenizer of any origin: a function of texts, whose tokens are checked."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# From n texts to `[n, length]` integers; a `PretrainedTokenizer` is one.
Tokenizer = Callable[[list[str]], Any]
_END = 2**31  # of the numbers that int32 holds


def tokens(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    length: int | None = None,
    vocab_size: int | None = None,
) -> np.ndarray:
  """Tokens of n texts.

  >>> tokens(lambda texts: [[len(text), 0] for text in texts], ('a', 'bcd'))
  array([[1, 0],
         [3, 0]], dtype=int32)

  Args:
    tokenizer: of any library, given all texts at once.
    texts: n strings.
    length: that the rows must have, as a model takes them; any if None.
    vocab_size: that the tokens must be below; any if None.

  Returns:
    `[n, length]` int32.

  Raises:
    ValueError: if the tokenizer returns anything else.
  """
  returned = tokenizer(list(texts))
  try:
    found = np.asarray(returned)
  except ValueError:  # rows of different lengths
    found = np.empty(0, object)
  if found.ndim != 2 or len(found) != len(texts) or not found.shape[1] or (
      found.dtype.kind not in 'iu'):
    raise ValueError(
        f'the tokenizer has returned {type(returned).__name__} for '
        f'{len(texts)} texts (as an array: {found.dtype} of shape '
        f'{found.shape}); an array of integers of shape [n, length] is needed, '
        'all rows padded to one length. Of a tokenizer of transformers that is '
        'its input_ids, with padding="max_length".')
  if length is not None and found.shape[1] != length:
    raise ValueError(
        f'the tokenizer has returned rows of {found.shape[1]} tokens; {length} '
        'are needed for all texts: pad them to that, and cut what is longer.')
  least, most = (int(found.min()), int(found.max())) if found.size else (0, 0)
  end = _END if vocab_size is None else vocab_size
  if least < 0 or most >= end:
    raise ValueError(
        f'the tokenizer has returned tokens from {least} to {most}; they must '
        f'be at least 0 and below {end}'
        + ('.' if vocab_size is None else ', the vocabulary of the model.'))
  return found.astype(np.int32)
