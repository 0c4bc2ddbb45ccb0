"""Writes and reads pytrees of arrays; the only module that knows Orbax."""

from collections.abc import Callable, Iterator
import concurrent.futures
import contextlib
import os
import pathlib
import threading
import time
from typing import Any, TypeVar

from etils import epath
import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from mmal_jax.checkpoint import packed
from mmal_jax.files import plain_text

Tree = TypeVar('Tree')
_LONGEST = 2000  # letters of what Orbax says
# Writing is given up when nothing of a checkpoint has changed on the disk for
# this long: threads of Orbax's that wait for one another do so for ever. Of
# what is written elsewhere (`gs://`) nothing can be seen before it is whole.
STALLED_SECONDS, _ELSEWHERE_SECONDS = 300, 3600
_LOOK_SECONDS = 1
# Orbax measures its own limit by the time of day, which may leap ahead by years
# where a machine begins without one: its limit is beyond that.
_ORBAX_SECONDS = 4 * 10**9


def check_path(path: str | os.PathLike[str]) -> None:
  """Refuses a path at which Orbax would not find again what it writes.

  Raises:
    ValueError: if it holds `*`, `?` or `[`: it looks there for its files by
      patterns.
  """
  path = str(_absolute(path))
  if set(path) & set('*?['):
    raise ValueError(f'no checkpoint can lie at {path!r}: its path must not '
                     'hold *, ? or [.')


def _absolute(path: str | os.PathLike[str]) -> epath.Path:
  """The same from any folder; epath makes a local one of gs://NAME."""
  path = epath.Path(path)
  return path if '://' in str(path) else path.resolve()


def save(path: str | os.PathLike[str], tree: Tree) -> None:
  """Writes a pytree of arrays and typed random keys to a new folder.

  Args:
    path: of a folder that does not exist; it appears once it is complete.
    tree: the value.

  Raises:
    ValueError: if there is something at `path` already, or none may be there
      (`check_path`), or an array is of a type that `packed.pack` refuses.
  """
  save_async(path, tree)()


def save_async(path: str | os.PathLike[str], tree: Tree) -> Callable[[], None]:
  """Begins to do what `save` does; the tree may change as soon as it returns.

  Args:
    path: of a folder that does not exist; it appears once it is complete.
    tree: the value.

  Returns:
    What waits until it is complete. Both raise TimeoutError if nothing comes of
    it for `STALLED_SECONDS`; what Orbax has begun then keeps its threads.

  Raises:
    ValueError: if there is something at `path` already, or none may be there
      (`check_path`), or an array is of a type that `packed.pack` refuses.
  """
  check_path(path)
  path = _absolute(path)
  if path.exists():
    raise ValueError(f'there is a checkpoint, or something else, at {path}.')
  arrays = {name: _plain(leaf) for name, leaf in _named(tree).items()}
  stored = {name: x if packed.is_pack(name) else _storable(x)
            for name, x in packed.pack(arrays).items()}
  begun: concurrent.futures.Future[None] = concurrent.futures.Future()
  done: concurrent.futures.Future[None] = concurrent.futures.Future()

  def write():
    try:
      context = ocp.Context()
      context.async_options.timeout_secs = _ORBAX_SECONDS
      # With folders made beforehand, nothing waits for them by the clock.
      context.async_options.create_directories_asynchronously = False
      with context:
        finish = ocp.save_async(path, stored).result
      begun.set_result(None)
      finish()
      done.set_result(None)
    except BaseException as e:  # pylint: disable=broad-exception-caught
      # What would end a program, or was cancelled, has failed here.
      wrong = e if isinstance(e, Exception) else RuntimeError(
          f'{type(e).__name__}: {e}')
      for future in (begun, done):
        if not future.done():
          future.set_exception(wrong)

  # A daemon: what waits for ever keeps no program from ending.
  threading.Thread(target=write, name='checkpoint', daemon=True).start()
  _wait(begun, path)
  return lambda: _wait(done, path)


def _wait(future: concurrent.futures.Future[None], path: epath.Path) -> None:
  """Waits as long as something of a checkpoint changes on the disk.

  Raises:
    TimeoutError: if nothing has for too long.
    Exception: what the future raises.
  """
  most = _ELSEWHERE_SECONDS if '://' in str(path) else STALLED_SECONDS
  seen, since = None, time.monotonic()
  while not concurrent.futures.wait([future], _LOOK_SECONDS).done:
    now = _on_disk(path)
    if now != seen:
      seen, since = now, time.monotonic()
    elif time.monotonic() - since > most:
      raise TimeoutError(
          f'nothing of {path} has been written for {most} seconds.')
  future.result()


def _on_disk(path: epath.Path) -> list[tuple[Any, ...]]:
  """What there is of a checkpoint being written, to be compared."""
  if '://' in str(path):
    return []
  found = []
  # Orbax writes to a folder beside it, whose name begins with its own.
  for root in sorted(pathlib.Path(path.parent).glob(f'{path.name}*')):
    with contextlib.suppress(OSError):  # A folder may be gone by now,
      for file in (root, *root.rglob('*')):
        with contextlib.suppress(OSError):  # and so may a file.
          state = file.stat()
          found.append((str(file), state.st_size, state.st_mtime_ns))
  return sorted(found)


def load(path: str | os.PathLike[str], like: Tree) -> Tree:
  """Reads a pytree that `save` wrote.

  Args:
    path: the folder.
    like: a pytree of the same structure, shapes and dtypes; its arrays say
      where the read ones are placed, and so do `jax.ShapeDtypeStruct`s with a
      sharding in their place.

  Returns:
    A tree like `like`.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if what lies there is damaged, or has another structure.
  """
  path = _absolute(path)
  if not path.is_dir():
    raise FileNotFoundError(f'no checkpoint at {path}.')
  wanted = {name: _plain(leaf) for name, leaf in _named(like).items()}
  kinds = _kinds(wanted)
  with _telling(path):
    found = ocp.metadata(path).metadata
    if found is None:
      raise ValueError('what it holds is not known.')
    alone = _kinds({
        name: x for name, x in found.items() if not packed.is_pack(name)})
  # Before anything large is read. What is missing there may be packed.
  _check(path, alone, {name: kind for name, kind in kinds.items()
                       if name in alone})
  with _telling(path):
    packed.check_size(found, [
        x for name, x in wanted.items() if name not in alone])
    loaded = packed.unpack(ocp.load(path, {
        name: np.empty(x.shape, x.dtype) if packed.is_pack(name)
        else wanted[name] for name, x in found.items()}))
  _check(path, _kinds(loaded), kinds)
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


@contextlib.contextmanager
def _telling(path: epath.Path) -> Iterator[None]:
  """Makes one kind of error of what Orbax raises, which differs by the file."""
  try:
    yield
  except OSError:
    raise
  except Exception as e:
    raise ValueError(f'the checkpoint at {path} cannot be read: '
                     f'{str(e)[:_LONGEST]}') from e


def _kinds(arrays) -> dict[str, str]:
  """By name, such as `float32[3, 4]`."""
  return {name: f'{x.dtype}{list(x.shape)}' for name, x in arrays.items()}


def _check(path, found, wanted) -> None:
  """Refuses arrays of other names or kinds."""
  wrong = []
  for name in sorted({*found, *wanted}):
    if name not in wanted:
      wrong.append(f'{name} is not expected')
    elif name not in found:
      wrong.append(f'{name} is missing')
    elif found[name] != wanted[name]:
      wrong.append(f'{name} is {found[name]} there, not {wanted[name]}')
  if wrong:
    shown = plain_text.for_terminal(', '.join(wrong)[:_LONGEST])
    raise ValueError(
        f'the checkpoint at {path} is of another structure: {shown}.')


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
        value.shape, _plain(old).sharding, lambda index: value[index],
        dtype=value.dtype)
  return (jax.random.wrap_key_data(value, impl=jax.random.key_impl(old))
          if _is_key(old) else value)
