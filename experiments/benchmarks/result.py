"""What a benchmark returns: a table, to be printed and to be kept."""

from collections.abc import Sequence
import datetime
import os
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.benchmarks import timing
from mmal_jax.analysis import tables


class Result(NamedTuple):
  """One table.

  Attributes:
    name: of the benchmark.
    columns: names of the columns.
    rows: cells as raw values: text, numbers, `timing.Seconds`; None where there
      is nothing to report.
    notes: what a reader must know to read the table, sentence by sentence.
  """

  name: str
  columns: Sequence[str]
  rows: Sequence[Sequence[Any]]
  notes: Sequence[str] = ()


def markdown(result: Result) -> str:
  """The table with its title and notes."""
  cells = [[_text(cell) for cell in row] for row in result.rows]
  table = tables.markdown([list(result.columns)] + cells)
  notes = '\n'.join(f'* {note}' for note in result.notes)
  return f'## {result.name}\n\n{table}\n\n{notes}\n'


def record(result: Result, small: bool) -> dict[str, Any]:
  """All of it, with every single timing, and where it was measured."""
  device = jax.devices()[0]
  return {
      'name': result.name,
      'small': small,
      'date': datetime.datetime.now(datetime.timezone.utc).isoformat(),
      'jax': jax.__version__,
      'numpy': np.__version__,
      'device': device.device_kind,
      'platform': device.platform,
      'cores': os.cpu_count(),
      'rows': [
          {name: _raw(cell) for name, cell in zip(result.columns, row)}
          for row in result.rows],
      'notes': list(result.notes),
  }


def _raw(cell):
  return cell._asdict() if isinstance(cell, timing.Seconds) else cell


def _text(cell):
  if cell is None:
    return '-'
  if isinstance(cell, (bool, np.bool_)):
    return 'yes' if cell else 'no'
  if isinstance(cell, timing.Seconds):
    return f'{_text(float(cell.best))} ({len(cell.all)})'
  if isinstance(cell, (float, np.floating)):
    digits = 2 if cell == 0 else 2 - int(np.floor(np.log10(abs(cell))))
    return f'{cell:.{min(max(digits, 0), 6)}f}'
  return str(cell)
