"""Many small arrays as one, for storage.

Orbax takes a millisecond for an array, whatever its size: a third of a second
for a small model and its optimizer, of which 0.02 are left.
"""

from collections.abc import Mapping
import json
from typing import Any

import jax
import numpy as np

# Larger ones are stored by themselves, and so are those that lie in parts on
# several devices: each device writes its own.
MOST_BYTES = 1 << 20
# No name of a leaf in a tree begins like that.
_INDEX, _BYTES = '#index', '#bytes'


def pack(arrays: Mapping[str, Any]) -> dict[str, Any]:
  """Puts small arrays together.

  Args:
    arrays: NumPy's or JAX's, by names that do not begin with `#`.

  Returns:
    The others, and, if any was small, two of bytes: what was put together, and
    the index to it. These are copies: the arrays may change.

  >>> sorted(pack({'a': np.zeros(3), 'b': np.zeros((400, 400))}))
  ['#bytes', '#index', 'b']
  """
  small = {name: x for name, x in arrays.items() if x.nbytes <= MOST_BYTES
           and (isinstance(x, np.ndarray) or x.is_fully_replicated)}
  if not small:
    return dict(arrays)
  # All are on their way to the host before the first is waited for.
  small = jax.device_get(small)
  index = [(name, x.dtype.name, x.shape) for name, x in small.items()]
  # Orbax takes no array that is empty, so there is a byte more.
  content = b''.join([*(x.tobytes() for x in small.values()), b'\0'])
  packed = {_INDEX: json.dumps(index).encode(), _BYTES: content}
  return {name: x for name, x in arrays.items() if name not in small} | {
      name: np.frombuffer(x, np.uint8) for name, x in packed.items()}


def unpack(stored: Mapping[str, Any]) -> dict[str, Any]:
  """The arrays that were put together, as NumPy's, and the others.

  Raises:
    ValueError: if the index does not fit, among others.
  """
  arrays = {name: x for name, x in stored.items() if not is_pack(name)}
  if len(arrays) == len(stored):
    return arrays
  content = np.asarray(stored[_BYTES]).tobytes()
  start = 0
  for name, dtype, shape in json.loads(np.asarray(stored[_INDEX]).tobytes()):
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64))
    # A copy, as what is read from bytes cannot be written to.
    arrays[name] = np.frombuffer(
        content, dtype, size, start).reshape(shape).copy()
    start += size * dtype.itemsize
  return arrays


def is_pack(name: str) -> bool:
  """Whether an array that `pack` returned is one of the two of bytes."""
  return name in (_INDEX, _BYTES)
