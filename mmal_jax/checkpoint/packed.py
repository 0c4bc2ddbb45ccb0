"""Many small arrays as one, for storage.

Orbax takes about a millisecond for an array, however small: a third of a second
for the state of a small model and its optimizer, written after every round.
"""

from collections.abc import Iterable, Mapping
import json
import math
from typing import Any

import jax
import numpy as np

# Of larger ones the copies cost more than that. They are stored by themselves,
# and so are those that lie in parts on several devices: each writes its own.
MOST_BYTES = 1 << 17
# No name of a leaf in a tree begins like that.
_INDEX, _BYTES = '#index', '#bytes'
# Bytes that the two may have whatever is expected, so that it can be said in
# what they differ from that.
_ALWAYS = 1 << 26


def pack(arrays: Mapping[str, Any]) -> dict[str, Any]:
  """Puts small arrays together.

  Args:
    arrays: NumPy's or JAX's, by names that do not begin with `#`.

  Returns:
    The others, and, if any was small, two of bytes: what was put together, and
    the index to it. These are copies: the arrays may change.

  Raises:
    ValueError: if an array is of objects, or of another type that is not known
      by its name.

  >>> sorted(pack({'a': np.zeros(3), 'b': np.zeros((400, 400))}))
  ['#bytes', '#index', 'b']
  """
  kinds = {name: _name_of(name, x.dtype) for name, x in arrays.items()}
  small = {name: x for name, x in arrays.items() if x.nbytes <= MOST_BYTES
           and (isinstance(x, np.ndarray) or x.is_fully_replicated)}
  if not small:
    return dict(arrays)
  # All are on their way to the host before the first is waited for.
  small = jax.device_get(small)
  index = [(name, kinds[name], x.shape) for name, x in small.items()]
  # Orbax takes no array that is empty, so there is a byte more.
  content = np.concatenate([
      *(np.ascontiguousarray(x).reshape(-1).view(np.uint8)
        for x in small.values()), np.zeros(1, np.uint8)])
  packed = {_INDEX: np.frombuffer(json.dumps(index).encode(), np.uint8),
            _BYTES: content}
  return {name: x for name, x in arrays.items() if name not in small} | packed


def unpack(stored: Mapping[str, Any]) -> dict[str, Any]:
  """The arrays that were put together, as NumPy's, and the others.

  Raises:
    ValueError: if the index does not fit, among others.
  """
  arrays = {name: x for name, x in stored.items() if not is_pack(name)}
  if len(arrays) == len(stored):
    return arrays
  content, start = np.asarray(stored[_BYTES]), 0
  for name, dtype, shape in json.loads(np.asarray(stored[_INDEX]).tobytes()):
    if not isinstance(name, str) or name in arrays or any(
        type(size) is not int or size < 0 for size in shape):
      raise ValueError(f'the index has {name!r} of shape {shape!r}.')
    dtype = np.dtype(dtype)
    size = math.prod(shape)
    # A copy, as what is read may not be written to.
    arrays[name] = np.frombuffer(
        content, dtype, size, start).reshape(shape).copy()
    start += size * dtype.itemsize
  if start + 1 != len(content):
    raise ValueError(f'the index is of {start} bytes; there are '
                     f'{len(content) - 1}.')
  return arrays


def check_size(found: Mapping[str, Any], expected: Iterable[Any]) -> None:
  """Refuses to read far more than what is expected.

  Args:
    found: arrays, or their shapes, by name.
    expected: the arrays that should have been put together, or their shapes
      and types.

  Raises:
    ValueError: if the two of bytes have too many.
  """
  most = _ALWAYS + sum(
      math.prod(x.shape) * x.dtype.itemsize for x in expected)
  for name in found:
    if is_pack(name) and math.prod(found[name].shape) > most:
      raise ValueError(f'{name} has {math.prod(found[name].shape)} bytes; at '
                       f'most {most} are read.')


def is_pack(name: str) -> bool:
  """Whether an array that `pack` returned is one of the two of bytes."""
  return name in (_INDEX, _BYTES)


def _name_of(name, dtype) -> str:
  """Of a type, so that `np.dtype` finds it again."""
  try:
    if np.dtype(dtype.name) == dtype and not dtype.hasobject:
      return dtype.name
  except TypeError:
    pass
  raise ValueError(f'{name} is of {dtype!r}, which cannot be stored; numbers '
                   'and truth values in the byte order of this machine can.')
