"""Writes and reads pytrees of arrays; the only module that knows Orbax."""

from collections.abc import Callable
import os
from typing import TypeVar

from etils import epath
import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from mmal_jax import packed

Tree = TypeVar('Tree')
_MOST_SAID = 2000  # letters of what Orbax says


def save(path: str | os.PathLike[str], tree: Tree) -> None:
  """Writes a pytree of arrays and typed random keys to a new folder.

  Args:
    path: of a folder that does not exist; it appears once it is complete.
    tree: the value.

  Raises:
    ValueError: if there is something at `path` already.
  """
  save_async(path, tree)()


def save_async(path: str | os.PathLike[str], tree: Tree) -> Callable[[], None]:
  """Begins to do what `save` does; the tree may change as soon as it returns.

  Args:
    path: of a folder that does not exist; it appears once it is complete.
    tree: the value.

  Returns:
    What waits until it is complete.

  Raises:
    ValueError: if there is something at `path` already.
  """
  path = epath.Path(path).resolve()
  if path.exists():
    raise ValueError(f'there is a checkpoint, or something else, at {path}.')
  arrays = {name: _plain(leaf) for name, leaf in _named(tree).items()}
  storable = jax.tree.map(_storable, packed.pack(arrays))
  return ocp.save_async(path, storable).result


def load(path: str | os.PathLike[str], like: Tree) -> Tree:
  """Reads a pytree that `save` wrote.

  Args:
    path: the folder.
    like: a pytree of the same structure, shapes and dtypes; its arrays say
      where the read ones are placed.

  Returns:
    A tree like `like`.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if what lies there is damaged, or has another structure.
  """
  path = epath.Path(path).resolve()
  if not path.is_dir():
    raise FileNotFoundError(f'no checkpoint at {path}.')
  wanted = {name: _plain(leaf) for name, leaf in _named(like).items()}
  try:
    # As it is there, so that what differs can be told.
    found = ocp.metadata(path).metadata
    if found is None:
      raise ValueError('what it holds is not known.')
    loaded = packed.unpack(ocp.load(path, {
        name: np.empty(x.shape, x.dtype) if _differ(x, wanted.get(name))
        else wanted[name] for name, x in found.items()}))
  except OSError:
    raise
  except Exception as e:  # pylint: disable=broad-except
    # What it raises differs by the file that is damaged.
    raise ValueError(f'the checkpoint at {path} cannot be read: '
                     f'{str(e)[:_MOST_SAID]}') from e
  differences = [
      f'{name} {difference}' for name in sorted({*loaded, *wanted})
      if (difference := _differ(loaded.get(name), wanted.get(name)))]
  if differences:
    raise ValueError(f'the checkpoint at {path} is of another structure: '
                     f'{", ".join(differences)[:_MOST_SAID]}.')
  leaves = [_restored(loaded[name], old) for name, old in _named(like).items()]
  return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _named(tree) -> dict[str, jax.Array]:
  """Flat, by path: independent of the Python types of the tree's nodes."""
  return {jax.tree_util.keystr(path): leaf
          for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _is_key(x) -> bool:
  return (isinstance(x, jax.Array)
          and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key))


def _plain(x):
  return jax.random.key_data(x) if _is_key(x) else x


def _differ(there, wanted) -> str | None:
  """What is not the same of an array that is stored and one of the tree."""
  if wanted is None:
    return 'is not expected'
  if there is None:
    return 'is missing'
  if (there.shape, there.dtype) != (wanted.shape, wanted.dtype):
    return (f'is {there.dtype}{list(there.shape)} there, not '
            f'{wanted.dtype}{list(wanted.shape)}')
  return None


def _storable(x):
  if isinstance(x, np.ndarray):
    # What writes in the background does not copy an array of NumPy's.
    return x.copy()
  # Of several hosts each has its own, the same: the first one's is written.
  return np.asarray(x) if _is_of_one_host(x) else x


def _is_of_one_host(x) -> bool:
  return jax.process_count() > 1 and x.is_fully_addressable


def _restored(value, old):
  if isinstance(old, np.ndarray):
    return np.asarray(value)
  if isinstance(value, np.ndarray):
    # Every process has the whole, and lays its own parts down.
    value = jax.make_array_from_callback(
        value.shape, _plain(old).sharding, lambda index: value[index])
  return (jax.random.wrap_key_data(value, impl=jax.random.key_impl(old))
          if _is_key(old) else value)
