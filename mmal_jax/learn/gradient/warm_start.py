"""The warm start: a model trained on the pairs that cost nothing."""

from collections.abc import Callable, Iterator
import contextlib
import hashlib
import os
import pathlib
import shutil
import tempfile

from absl import logging
from flax import nnx
import jax
import numpy as np
import optax

from mmal_jax.checkpoint import newest
from mmal_jax.checkpoint import pytrees
from mmal_jax.data import encode
from mmal_jax.files import durable
from mmal_jax.files import lock
from mmal_jax.learn import checkpointer as checkpointer_lib
from mmal_jax.learn.gradient import divergence
from mmal_jax.learn.gradient import fit as fit_lib
from mmal_jax.learn.gradient import minibatches
from mmal_jax.learn.gradient import optimizer as optimizer_lib
from mmal_jax.learn.gradient import step as step_lib
from mmal_jax.models import fingerprint
from mmal_jax.parallel import processes


def warm_start(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    pairs: encode.EncodedPairs,
    seed: int = 0,
    *,
    steps: int = 600,
    batch_size: int = 128,
    peak_lr: float = 1e-3,
    weight_decay: float = 1e-4,
    shift: int = 0,
    mesh: jax.sharding.Mesh | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    make_checkpointer: Callable[
        [newest.Within], checkpointer_lib.Checkpointer] | None = None,
) -> nnx.State:
  """Trains a fresh model on `pretrain`, once a cache folder.

  Args:
    graphdef: of a `DualEncoder`.
    params: its initial parameters.
    pairs: the pretrain split.
    seed: of the minibatches.
    steps: number of training steps.
    batch_size: rows of a minibatch.
    peak_lr: highest learning rate.
    weight_decay: AdamW's.
    shift: augmentation, in pixels.
    mesh: where the parameters lie.
    cache_dir: keeps results by a digest of all that goes in; None keeps none.
      Of several processes all must find the same there, or train.
    make_checkpointer: of states within the training, which lie in the cache;
      one program at a time, and of several processes only if they have one
      cache.

  Returns:
    Trained parameters.

  Raises:
    ValueError: if `steps` or `batch_size` is below 1, or no checkpoint may lie
      in the cache folder (`pytrees.check_path`).
    divergence.Diverged: as `fit.fit`; nothing is kept then.
  """
  for name, value in (('steps', steps), ('batch_size', batch_size)):
    if value < 1:
      raise ValueError(f'warm start: {name}={value!r} must be at least 1.')
  recipe = (seed, steps, batch_size, peak_lr, weight_decay, shift,
            mesh and tuple(mesh.shape.items()))
  path = None
  if cache_dir is not None:
    pytrees.check_path(cache_dir)
    path = pathlib.Path(cache_dir) / _digest(
        graphdef, params, pairs, recipe)
    if processes.all_processes(path.is_dir()):
      return pytrees.load(path, params)
  how = step_lib.Recipe(
      graphdef,
      optimizer_lib.make_optimizer(peak_lr, steps, weight_decay),
      batch_size, shift, mesh=mesh)
  rows = np.arange(len(pairs), dtype=np.int32)
  with _saved_within(path, make_checkpointer, steps) as checkpointer:
    try:
      params, _, loss = fit_lib.fit(
          how, params, None, jax.random.key(seed),
          minibatches.Source(
              pairs.items, np.stack([rows] * len(pairs.items), axis=1),
              len(pairs)),
          steps, what='warm start', checkpointer=checkpointer)
    except divergence.Diverged as e:
      raise divergence.Diverged(f'warm start: {e}') from e
    logging.info('Warm start: mean loss %.3f over %d steps.', loss, steps)
    if path is not None:
      _publish(path, params)
  return params


@contextlib.contextmanager
def _saved_within(
    path: pathlib.Path | None,
    make: Callable[[newest.Within], checkpointer_lib.Checkpointer] | None,
    steps: int,
) -> Iterator[checkpointer_lib.Checkpointer | None]:
  """Saves states beside where the result will lie; None where that cannot be.

  What was saved is removed once the training has come to its end.
  """
  if path is None or make is None:
    yield None
    return
  folder = path.with_name(f'{path.name}.within')
  kept = newest.Checkpoints(folder)
  checkpointer = make(kept.within(1))
  if checkpointer.every >= steps:
    yield None
    return
  with contextlib.ExitStack() as held:
    mine = processes.from_primary(lambda: _take(folder, held))
    # Hosts with a cache each would find a part of each array.
    is_common = processes.all_processes(
        mine is not None and os.path.isdir(mine))
    if mine is not None:
      processes.from_primary(lambda: os.rmdir(mine))
    if not is_common:
      yield None
      return
    try:
      yield checkpointer
    except divergence.Diverged:
      _remove_within(kept, folder)
      raise
    _remove_within(kept, folder)


def _take(folder: pathlib.Path, held: contextlib.ExitStack) -> str | None:
  """Locks it from outside: another program may wait for the lock's file.

  Returns:
    A fresh folder beside it, which only those see who have the same cache; None
    if another program has the lock.
  """
  folder.parent.mkdir(parents=True, exist_ok=True)
  try:
    held.enter_context(lock.exclusive(
        folder.parent, f'.{folder.name}{lock.NAME}', 'to train a warm start'))
  except lock.InUse:
    return None
  return _private(folder.parent)


def _remove_within(kept: newest.Checkpoints, folder: pathlib.Path) -> None:
  kept.wait()
  processes.from_primary(lambda: durable.remove(folder))


def _digest(graphdef, params, pairs, recipe) -> str:
  """Of model, recipe, data, libraries, and the code of models and training."""
  digest = hashlib.sha256(repr((optax.__version__, recipe)).encode())
  digest.update(fingerprint.of(graphdef).encode())
  for path in sorted(pathlib.Path(__file__).parent.glob('*.py')):
    digest.update(path.read_bytes())
  for items in pairs.items.values():
    digest.update(encode.digest(items).encode())
  for leaf in jax.tree.leaves(params):
    digest.update(repr((leaf.shape, str(leaf.dtype))).encode())
    digest.update(np.ascontiguousarray(processes.whole(leaf)).data)
  return digest.hexdigest()[:24]


def _publish(path: pathlib.Path, params: nnx.State) -> None:
  """Saves under a name of its own first: several runs may share a cache."""
  private = pathlib.Path(processes.from_primary(lambda: _private(path.parent)))
  try:
    if not processes.all_processes(private.is_dir()):
      return  # Each host has a cache of its own, and only a part of each array.
    pytrees.save(private / 'params', params)
    processes.from_primary(lambda: _rename(private / 'params', path))
  finally:
    if processes.is_primary():
      shutil.rmtree(private, ignore_errors=True)


def _private(folder: pathlib.Path) -> str:
  folder.mkdir(parents=True, exist_ok=True)
  return tempfile.mkdtemp(dir=folder)


def _rename(private: pathlib.Path, path: pathlib.Path) -> None:
  try:
    os.rename(private, path)
  except OSError:
    # Another process was quicker, with the same result.
    if not path.is_dir():
      raise
