"""The oracle that is always right."""

from collections.abc import Callable

import numpy as np

# (modality, [k] indices into its pool) -> [k] indices into the other pool.
Oracle = Callable[[str, np.ndarray], np.ndarray]


def exact(pairing: np.ndarray) -> Oracle:
  """Makes an oracle that answers with the true counterpart.

  >>> oracle = exact(np.array([2, 0, 1]))
  >>> oracle('image', np.array([0])), oracle('text', np.array([2]))
  (array([2], dtype=int32), array([0], dtype=int32))

  Args:
    pairing: `[n]` int; image i belongs to text `pairing[i]`.

  Returns:
    The oracle.
  """
  answers = {
      'image': np.asarray(pairing, np.int32),
      'text': np.argsort(pairing).astype(np.int32),
  }
  return lambda modality, indices: answers[modality][indices]
