"""Rows of features in whatever users hold them, as float arrays `[n, d]`."""

from collections.abc import Mapping
import os
from typing import Any

import jax
import numpy as np

from mmal_jax.acquire import arguments
from mmal_jax.embed import disk

_DTYPES = 'float32, float64, float16, bfloat16'


def rows(name: str, given: Any, may_be_on_disk: bool = True) -> Any:
  """What a user gives as rows, in one of the types that we compute with.

  Args:
    name: of the argument, for messages.
    given: NumPy or JAX array, or rows on disk; anything else that NumPy can
      read as an array of floats, such as tensors of PyTorch (on any device,
      with or without gradients), data frames, and lists of rows.
    may_be_on_disk: whether `disk.DiskRows` will do.

  Returns:
    The array itself if it is of float32, float16 or bfloat16, else a copy in
    float32, in which what is too large is infinite. Its shape is not looked at.

  Raises:
    TypeError: for anything that is no array of floats, saying what to give.
  """
  if isinstance(given, disk.DiskRows):
    if not may_be_on_disk:
      raise TypeError(f'{name} lies on disk; an array in memory is needed: '
                      f'give {name}.take(np.arange(len({name}))).')
    return given
  if not isinstance(given, jax.Array):
    given = _on_host(name, given)
  if given.dtype.name in disk.DTYPES and given.dtype.isnative:
    return given
  if np.issubdtype(given.dtype, np.floating):
    with np.errstate(over='ignore'):  # What is too large is infinite.
      return given.astype(np.float32)
  raise TypeError(f'{name} has dtype {given.dtype}; one of {_DTYPES} is '
                  f'needed.{_instead_of(name, given)}')


def on_host(given: Any) -> Any:
  """A tensor of PyTorch as a NumPy array; all else as it is."""
  if not all(hasattr(given, name) for name in ('detach', 'cpu', 'numpy')):
    return given
  given = given.detach().cpu()
  if str(given.dtype) == 'torch.bfloat16':  # Which NumPy lacks.
    given = given.float()
  return given.numpy()


def _on_host(name, given) -> np.ndarray:
  if isinstance(given, (str, bytes, os.PathLike)):
    raise TypeError(
        f'{name}={arguments.shown(given)} is a path or a text; an array is '
        'needed: give numpy.load(path), or mmal_jax.embed.disk.open_rows(path) '
        'for one that remains on disk.')
  if isinstance(given, Mapping):
    names = ', '.join(map(str, given))
    raise TypeError(
        f'{name} holds several arrays by name ({names}); one array is needed: '
        f'give {name}[...]. Two pools are asked about, images and texts; more '
        'modalities than two are for experiments.run (dataset.others).')
  if hasattr(given, 'toarray') and hasattr(given, 'nnz'):
    raise TypeError(f'{name} is a sparse matrix; an array is needed: give '
                    f'{name}.toarray(), or fewer, dense columns of it.')
  if np.ma.is_masked(given):
    raise TypeError(
        f'{name} is a masked array with values left out; every value is needed:'
        f' leave such rows out, or give {name}.filled(...).')
  if isinstance(given, (list, tuple)):
    return _stacked(name, given)
  given = on_host(given)
  if given is None or not hasattr(given, '__array__'):
    kind = 'None' if given is None else f'a {type(given).__name__}'
    raise TypeError(f'{name} is {kind}; an array is needed, a row an item.')
  return np.asarray(given)


def _stacked(name, given) -> np.ndarray:
  """A list of rows as one array."""
  parts = [on_host(row) for row in given]
  shapes = [np.shape(part) if hasattr(part, '__array__') else None
            for part in parts]
  try:
    return np.asarray(parts)
  except ValueError as e:
    lengths = sorted({len(part) if hasattr(part, '__len__') else 1
                      for part in parts})
    raise TypeError(
        f'{name} is a list of rows that do not make one array (lengths '
        f'{arguments.shown(lengths)}, first shapes {shapes[:3]}); as many '
        'values for every item are needed.') from e


def _instead_of(name, given) -> str:
  """What other dtypes than floats mostly are, and what to give then."""
  kind = given.dtype.kind
  if kind == 'b':
    return f' Of a mask give the rows: {_pool_of(name)}[{name}].'
  if kind in 'iu':
    if given.ndim == 1:
      return f' Of numbers of rows give the rows: {_pool_of(name)}[{name}].'
    if given.ndim == 2 and given.shape[1] == 2 and name.startswith('aligned'):
      return (' Of pairs of row numbers give the rows: aligned_images='
              'images[pairs[:, 0]], aligned_texts=texts[pairs[:, 1]].')
    if given.ndim > 2:
      return ' Pixels? Embed the images first, and give their embeddings.'
    return (' Numbers of tokens or pixels are no features; of counts and the '
            f'like give numpy.asarray({name}, "float32").')
  if kind == 'c':
    return f' Give {name}.real, or real and imaginary parts side by side.'
  return (f' Of rows that are arrays each give numpy.stack({name}); of columns '
          'of which some are text leave these out.')


def _pool_of(name) -> str:
  return name.removeprefix('aligned_')
