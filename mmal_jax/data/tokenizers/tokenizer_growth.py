"""How much longer a tokenizer of the `tokenizers` library may make a text."""

from __future__ import annotations  # `tokenizers` is optional.

import base64
from collections.abc import Iterator, Mapping
import json
import re
from typing import Any

from mmal_jax import extras

tokenizers = extras.Lazy('tokenizers', 'to cut texts into tokens')

MOST_GROWTH = 256  # letters that one letter of a text may become
# Of a regular expression that may match between two letters, and not fewer.
_MAY_BE_EMPTY = re.compile(r'[*?|^$]|\\[AbBGKyYzZ]|\{[0,]|\(\)')
# A letter is at most four bytes, and gives a letter for each.
_BYTES = 4


def check(tokenizer: tokenizers.Tokenizer) -> None:
  """Refuses one that could make a text longer than memory holds.

  Steps that follow one another multiply: 'a' may be replaced by fifty 'b', and
  'b' by fifty 'a'.

  Args:
    tokenizer: of which the normalizer and the pre-tokenizer count.

  Raises:
    ValueError: if they may make a letter, or add to a text, more than
      `MOST_GROWTH` letters.
  """
  steps = [json.loads(part.__getstate__()) for part in (
      tokenizer.normalizer, tokenizer.pre_tokenizer) if part is not None]
  if bound(steps) > MOST_GROWTH:
    raise ValueError(
        f'its normalizer may make a text more than {MOST_GROWTH} times as long:'
        ' what its steps put in place of a letter must be shorter.')


def bound(steps: list[Mapping[str, Any]]) -> float:
  """Letters that one letter becomes at most, or that a step adds to a text.

  From the last step on, each letter gets the weight `w` of what it becomes at
  most. A step that replaces the letters `p` by `c` leaves no more weight than
  there was if `w(x) >= sum(w'(y) for y in c) / len(p)` for each `x` in `p`, of
  the weights `w'` behind it.

  >>> bound([{'type': 'Replace', 'pattern': {'String': 'a'}, 'content': 'bb'},
  ...        {'type': 'Replace', 'pattern': {'String': 'b'}, 'content': 'ccc'}])
  6.0

  Args:
    steps: as `tokenizer.json` has them. What is not known to make texts longer
      may make any letter another.
  """
  weights: dict[str, float] = {}
  rest = added = 1.0  # of all other letters, and of what steps add
  for step in reversed([one for step in steps for one in _flat(step)]):
    kind = step['type']
    if kind in ('Replace', 'Prepend'):
      content = step['content' if kind == 'Replace' else 'prepend']
      put = sum((weights.get(x, rest) for x in content), 0.0)
    if kind == 'Prepend':
      added = max(added, put)
    elif kind == 'Replace' and step['pattern'].get('String'):
      letters = step['pattern']['String']
      weights |= {x: max(weights.get(x, rest), put / len(letters))
                  for x in letters}
    elif kind == 'Replace':  # What it matches is not known, but how much is.
      regex = step['pattern'].get('Regex', '')
      empty = not regex or _MAY_BE_EMPTY.search(regex)
      weights = {x: w + put if empty else max(w, put)
                 for x, w in weights.items()}
      rest = rest + put if empty else max(rest, put)
    else:
      rest = _longest(step) * max(rest, *weights.values(), 1.0)
      weights = {}
  return max(rest, added, *weights.values(), 1.0)


def _longest(step: Mapping[str, Any]) -> int:
  """Letters that another step may make of one."""
  if step['type'] == 'ByteLevel':
    return _BYTES
  if step['type'] != 'Precompiled' or not step.get('precompiled_charsmap'):
    return 1
  # The size of a trie, the trie, and what its leaves stand for.
  blob = base64.b64decode(step['precompiled_charsmap'])
  texts = blob[4 + int.from_bytes(blob[:4], 'little'):].split(b'\0')
  return max(1, *(len(text.decode(errors='replace')) for text in texts))


def _flat(step: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
  """The steps of a normalizer or pre-tokenizer, be it a sequence or not."""
  if step['type'] != 'Sequence':
    yield step
  for one in step.get('normalizers', step.get('pretokenizers', ())):
    yield from _flat(one)
