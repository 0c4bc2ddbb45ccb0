"""Figures of matplotlib that no window shows, and the files they become.

Without pyplot: to import this library leaves a notebook's figures as they are.
"""

import io
import pathlib
from typing import Any

from mmal_jax import extras
from mmal_jax.files import durable

_matplotlib = extras.Lazy('matplotlib.figure', 'to draw figures')


def new(
    rows: int, columns: int, size: tuple[float, float], **options: Any
) -> tuple[Any, Any]:
  """A figure and its axes.

  Args:
    rows: of axes.
    columns: of axes.
    size: width and height, in inches.
    **options: of `Figure.subplots`.

  Returns:
    The figure, and `[rows, columns]` axes.
  """
  figure = _matplotlib.Figure(figsize=size, layout='constrained')
  return figure, figure.subplots(rows, columns, squeeze=False, **options)


def save(figure: Any, path: pathlib.Path, dpi: int = 150) -> None:
  """Writes a figure as a PNG, whole or not at all; a link there is replaced.

  Args:
    figure: of matplotlib.
    path: of the file.
    dpi: dots per inch.
  """
  file = io.BytesIO()
  figure.savefig(file, format='png', dpi=dpi)
  durable.write(path, file.getvalue())
