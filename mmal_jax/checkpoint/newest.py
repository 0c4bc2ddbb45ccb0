"""The newest good checkpoints of a run."""

from collections.abc import Callable, Iterator, Mapping
import concurrent.futures
import contextlib
import functools
import os
import re
from typing import Any, TypeVar

from absl import logging
from etils import epath

from mmal_jax.checkpoint import pytrees
from mmal_jax.checkpoint import sealed
from mmal_jax.files import buckets
from mmal_jax.files import durable
from mmal_jax.parallel import processes

Tree = TypeVar('Tree')
_WITHIN = re.compile(f'within_({sealed.STEP.pattern})')


class Checkpoints:
  """Writes checkpoints in the background, and finds the newest good one.

  One is good once its seal, the SHA-256 of each of its files, lies beside it:
  what was being written when the program died has none, and what was damaged
  later does not match. Older ones go as newer ones are sealed.

  On several hosts the folder must be common to all, and all call the same:
  each writes what lies on its devices, the first one seals, and chooses.
  """

  def __init__(
      self, folder: str | os.PathLike[str], keep: int = 2,
      run: Mapping[str, str | int] | None = None,
      before_seal: Callable[[], None] | None = None,
  ):
    """Opens a folder; it need not exist.

    Args:
      folder: a local path, or any that `etils.epath` takes, as `gs://...`.
      keep: the number of the newest that are kept; more than one, should the
        newest be damaged.
      run: that they are of, by names of its own; seals hold it. None takes
        those of any run.
      before_seal: called by the primary before one is sealed, for all that it
        relies on. What it raises leaves that one without a seal.

    Raises:
      ValueError: if `keep` is below 1, or none may be in that folder
        (`pytrees.check_path`).
    """
    if keep < 1:
      raise ValueError(f'keep={keep!r} must be at least 1.')
    pytrees.check_path(folder)
    self._folder, self._run = epath.Path(folder), run
    self._whole = sealed.Folder(self._folder, keep, run)
    self._before_seal = before_seal or (lambda: None)
    self._worker = concurrent.futures.ThreadPoolExecutor(1, 'checkpoints')
    self._pending: tuple[
        epath.Path, concurrent.futures.Future[None]] | None = None

  def save(self, step: int, tree: Tree) -> None:
    """Begins to write a checkpoint, once the one before is written.

    What the tree holds may change, or be donated, as soon as this returns.

    Raises:
      ValueError: if there is a checkpoint of that step.
      OSError: if it, or the one before, cannot be written.
    """
    self._begin(self._whole, step, tree, lambda: self._drop_within(step))

  def within(self, step: int) -> 'Within':
    """Checkpoints within the work that leads to the one of a step."""
    folder = sealed.Folder(
        self._folder / f'within_{step}', 1,
        # What is a checkpoint of the one kind is none of the other.
        None if self._run is None else {**self._run, 'within': step})
    return Within(
        folder, functools.partial(self._begin, folder), self.wait)

  def drop_within(self, last: int) -> None:
    """Removes what a program that died had left of the work up to a checkpoint.

    For the one program that writes there: another that reads a checkpoint must
    not take from it what it is about to remove itself.

    Args:
      last: step of the newest good one.
    """
    processes.from_primary(functools.partial(self._drop_within, last))

  def wait(self) -> None:
    """Waits until what was begun is written and sealed.

    Raises:
      OSError: if it cannot be written, among others.
    """
    if self._pending is None:
      return
    path, done = self._pending
    try:
      with _telling(path):
        # The primary seals, and no process continues before.
        processes.from_primary(done.result)
        done.result()
    finally:
      if done.done():  # Else it was interrupted, and goes on.
        self._pending = None

  def newest(
      self, like: Tree, step_of: Callable[[Tree], int] | None = None
  ) -> tuple[int, Tree] | None:
    """The newest good checkpoint; damaged ones are quarantined, with a warning.

    Args:
      like: as for `pytrees.load`.
      step_of: the step that a tree says itself that it is of, if it does. By a
        seal without a name, of an earlier version, one of another step passes.

    Returns:
      `(step, tree)`, or None if there is none.

    Raises:
      ValueError: if it is of another structure than `like`, or one is of
        another run.
    """
    while (step := processes.from_primary(
        self._whole.newest_good)) is not None:
      tree = pytrees.load(self._folder / str(step), like)
      found = step if step_of is None else step_of(tree)
      if found == step:
        return step, tree
      processes.from_primary(functools.partial(
          self._whole.quarantine, step, f'it holds step {found}'))
    return None

  def steps(self) -> list[int]:
    """Steps of the sealed checkpoints, ascending."""
    return self._whole.steps()

  def _begin(
      self, folder: sealed.Folder, step: int, tree: Tree,
      then: Callable[[], None] = lambda: None,
  ) -> None:
    """Begins to write to a folder; what is to be done once that is sealed."""
    self.wait()
    # Only then do the others look at the folder.
    processes.from_primary(lambda: folder.make_room(step))
    path = folder.path / str(step)
    with _telling(path):
      finish = pytrees.save_async(path, tree)
    self._pending = path, self._worker.submit(
        self._finish, folder, step, finish, then)

  def _finish(self, folder, step, finish, then) -> None:
    finish()  # Returns once the parts of all hosts are written.
    if processes.is_primary():
      self._before_seal()
      folder.seal(step)
      then()

  def _drop_within(self, last: int) -> None:
    """Removes what was kept within the work up to a checkpoint."""
    for path in list(self._folder.iterdir()):
      found = _WITHIN.fullmatch(path.name)
      if found and int(found[1]) <= last:
        durable.remove(path)


class Within:
  """How far the work has come that leads to a checkpoint.

  The newest one alone is kept, and that until the checkpoint itself is sealed.
  Where it is damaged, the work begins anew, and nothing else is lost.
  """

  def __init__(
      self, folder: sealed.Folder, begin: Callable[[int, Any], None],
      wait: Callable[[], None],
  ):
    """As `Checkpoints.within` makes it."""
    self._folder, self._begin, self.wait = folder, begin, wait

  def save(self, part: int, tree: Any) -> None:
    """Begins to write how far the work has come; as `Checkpoints.save`.

    Args:
      part: how far, a number above those of before.
      tree: what the work goes on from.
    """
    self._begin(part, tree)

  def newest(self, like: Tree) -> tuple[int, Tree] | None:
    """What was kept last, as `(part, tree)`; None if none is there, or good.

    What is damaged, or of another structure, is quarantined, with a warning.

    Args:
      like: as for `pytrees.load`.

    Raises:
      ValueError: if it is of another run.
    """
    there, part = processes.from_primary(
        lambda: (self._folder.steps(), self._folder.newest_good()))
    if part is None:
      if there:
        self._begins_anew()
      return None
    tree, wrong = None, ''
    try:
      tree = pytrees.load(self._folder.path / str(part), like)
    except ValueError as e:
      wrong = str(e)
    if processes.all_processes(not wrong):
      return part, tree
    processes.from_primary(lambda: self._folder.quarantine(
        part, wrong or 'another host cannot read it'))
    self._begins_anew()
    return None

  def forget(self) -> None:
    """Removes all that was kept."""
    processes.from_primary(lambda: durable.remove(self._folder.path))

  def _begins_anew(self) -> None:
    logging.warning('What %s was kept for begins anew, and comes to the same.',
                    self._folder.path)


@contextlib.contextmanager
def _telling(path: epath.Path) -> Iterator[None]:
  """Makes one kind of error of the many in which Orbax reports a disk."""
  try:
    yield
  except Exception as e:
    raise buckets.retold(
        e, f'the checkpoint of step {path.name} in {str(path.parent)!r} cannot '
        f'be written: {e}', path) from e
