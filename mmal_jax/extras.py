"""Packages that only parts of the library need, named where they are missing.

What `pip install mmal_jax` brings is enough for `mmal_jax.ask`. All else is
imported when it is first used, and belongs to an extra.
"""

from collections.abc import Iterator
import contextlib
import importlib
import types
from typing import Any

# Of each package that is optional, the extra of setup.cfg that brings it.
EXTRAS = {
    'datasets': 'datasets',
    'gcsfs': 'tpu',
    'huggingface_hub': 'pretrained',
    'matplotlib': 'experiments',
    'ml_collections': 'experiments',
    'pyarrow': 'data',
    'safetensors': 'pretrained',
    'sentencepiece': 'pretrained',
    'tensorboardX': 'tensorboard',
    'tokenizers': 'data',
    'tqdm': 'experiments',
    'umap': 'umap',
    'wandb': 'wandb',
}


@contextlib.contextmanager
def named(purpose: str) -> Iterator[None]:
  """While it lasts, a missing package is named together with its extra.

  Args:
    purpose: what it is needed for: `to read Parquet files`.

  Raises:
    ImportError: in place of a ModuleNotFoundError of such a package.
  """
  try:
    yield
  except ModuleNotFoundError as e:
    package = (e.name or '').partition('.')[0]
    if package not in EXTRAS:
      raise
    raise ImportError(
        f'{package} is needed {purpose}: pip install '
        f'"mmal_jax[{EXTRAS[package]}]"', name=package) from e


def load(name: str, purpose: str) -> types.ModuleType:
  """Imports a module that is optional, or needs what is.

  Args:
    name: of the module.
    purpose: as for `named`.

  Raises:
    ImportError: as `named`.
  """
  with named(purpose):
    importlib.import_module(name.partition('.')[0])  # The package before all.
    return importlib.import_module(name)


class Lazy:
  """A module that is imported when one of its names is first used."""

  def __init__(self, name: str, purpose: str):
    """Takes what `load` takes."""
    self._given = name, purpose

  def __getattr__(self, name: str) -> Any:
    # What looks at all names of a module, as doctest does, asks for these.
    if name.startswith('__'):
      raise AttributeError(name)
    return getattr(load(*self._given), name)
