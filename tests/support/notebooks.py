"""Notebooks, run as they stand but for the values of their form."""

import os
import pathlib
from typing import Any

import pytest

from experiments.notebooks import build

_ROOT = pathlib.Path(__file__).parents[2]
PARAMETERS = 'parameters'


def with_values(name: str, code: str) -> Any:
  """A notebook, with a cell of other values behind its form."""
  nbformat = pytest.importorskip('nbformat')
  found = nbformat.reads(build.written(build.notebook(name)), as_version=4)
  nbformat.validate(found)
  (at, ) = (i for i, cell in enumerate(found.cells)
            if PARAMETERS in cell.metadata.get('tags', ()))
  found.cells.insert(at + 1, nbformat.v4.new_code_cell(code))
  return found


def client(notebook: Any, folder: pathlib.Path, monkeypatch) -> Any:
  """What runs it, in a kernel of its own, on one CPU device and offline."""
  nbclient = pytest.importorskip('nbclient')
  pytest.importorskip('ipykernel')
  for key, value in {
      'PYTHONPATH': os.pathsep.join(filter(None, [
          str(_ROOT), os.environ.get('PYTHONPATH')])),
      'JAX_PLATFORMS': 'cpu', 'HF_HUB_OFFLINE': '1',
      'XDG_CACHE_HOME': str(folder / 'cache'),
      # Most of the time of small sizes goes to compiling.
      'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
      'OPENBLAS_NUM_THREADS': '1'}.items():
    monkeypatch.setenv(key, value)
  return nbclient.NotebookClient(
      notebook, timeout=None, kernel_name='python3',
      resources={'metadata': {'path': str(folder)}})


def cell(notebook: Any, part: str) -> int:
  """The number of the cell of code that contains a text."""
  (at, ) = (i for i, one in enumerate(notebook.cells)
            if one.cell_type == 'code' and part in one.source)
  return at


def printed(notebook: Any, part: str) -> str:
  """What a cell printed, and the text of what it showed."""
  return ''.join(
      output.get('text', '') or output.get('data', {}).get('text/plain', '')
      for output in notebook.cells[cell(notebook, part)].outputs)


def shows(notebook: Any, part: str, kind: str) -> list[str]:
  """What a cell showed, of a MIME type."""
  return [output.data[kind]
          for output in notebook.cells[cell(notebook, part)].outputs
          if kind in output.get('data', {})]
