"""What a journal says, by itself, of a run."""

from collections.abc import Iterable

import numpy as np

from mmal_jax.oracles import journal


def aligned_set(records: Iterable[journal.Record]) -> np.ndarray:
  """What the answers of a journal say belongs together, as `RunState.filled`.

  Args:
    records: of one run, in order.

  Returns:
    `[k, M]` int32 item numbers, each row once; -1 where an item is missing.
  """
  rows = dict.fromkeys(
      row for record in records for row in record.answers
      if sum(number >= 0 for number in row) > 1)
  width = max(map(len, rows), default=0)
  return np.array(list(rows), np.int32).reshape(len(rows), width)
