"""The newest good checkpoints of a run."""

from collections.abc import Callable, Iterator, Mapping
import concurrent.futures
import contextlib
import functools
import os
import re
from typing import TypeVar

from etils import epath

from mmal_jax.checkpoint import pytrees
from mmal_jax.files import durable
from mmal_jax.files import seals
from mmal_jax.parallel import processes

Tree = TypeVar('Tree')
_STEP = re.compile('0|[1-9][0-9]{0,17}')
_SEALS = re.compile(f'({_STEP.pattern})' + re.escape(seals.ENDING))


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
    self._folder, self._keep = epath.Path(folder), keep
    self._run = None if run is None else dict(run)
    self._before_seal = before_seal or (lambda: None)
    self._worker = concurrent.futures.ThreadPoolExecutor(1, 'checkpoints')
    self._pending: tuple[int, concurrent.futures.Future[None]] | None = None

  def save(self, step: int, tree: Tree) -> None:
    """Begins to write a checkpoint, once the one before is written.

    What the tree holds may change, or be donated, as soon as this returns.

    Raises:
      ValueError: if there is a checkpoint of that step.
      OSError: if it, or the one before, cannot be written.
    """
    self.wait()
    # Only then do the others look at the folder.
    processes.from_primary(lambda: self._make_room(step))
    with _telling(step, self._folder):
      finish = pytrees.save_async(self._folder / str(step), tree)
    self._pending = step, self._worker.submit(self._finish, step, finish)

  def wait(self) -> None:
    """Waits until what was begun is written and sealed.

    Raises:
      OSError: if it cannot be written, among others.
    """
    pending, self._pending = self._pending, None
    if pending is not None:
      step, done = pending
      with _telling(step, self._folder):
        # The primary seals, and no process continues before.
        processes.from_primary(done.result)
        done.result()

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
    while (step := processes.from_primary(self._newest_good)) is not None:
      tree = pytrees.load(self._folder / str(step), like)
      found = step if step_of is None else step_of(tree)
      if found == step:
        return step, tree
      processes.from_primary(functools.partial(
          self._quarantine, step, f'it holds step {found}'))
    return None

  def steps(self) -> list[int]:
    """Steps of the sealed checkpoints, ascending."""
    if not self._folder.exists():
      return []
    names = (path.name for path in self._folder.iterdir())
    return sorted(int(name.removesuffix(seals.ENDING)) for name in names
                  if _SEALS.fullmatch(name))

  def _make_room(self, step) -> None:
    if self._seal(step).exists():
      raise ValueError(f'there is a checkpoint of step {step} in '
                       f'{str(self._folder)!r}.')
    self._folder.mkdir(parents=True, exist_ok=True)
    # What a program began that died.
    durable.remove(self._folder / str(step))

  def _newest_good(self) -> int | None:
    for step in reversed(self.steps()):
      wrong = self._wrong_with(step)
      if wrong is None:
        return step
      self._quarantine(step, wrong)
    return None

  def _quarantine(self, step: int, wrong: str) -> None:
    seals.quarantine(
        self._folder / str(step), f'The checkpoint of step {step}', wrong)

  def _finish(self, step, finish) -> None:
    finish()  # Returns once the parts of all hosts are written.
    if processes.is_primary():
      self._before_seal()
      seals.write(self._folder / str(step), self._run)
      for old in self.steps()[:-self._keep]:
        # The seal first: what has none does not count.
        self._seal(old).unlink()
      oldest = self.steps()[0]
      # Among them what a program that died here had left to remove.
      for path in list(self._folder.iterdir()):
        if _STEP.fullmatch(path.name) and int(path.name) < oldest:
          durable.remove(path)

  def _seal(self, step: int) -> epath.Path:
    return seals.path(self._folder / str(step))

  def _wrong_with(self, step: int) -> str | None:
    """What is wrong with a sealed checkpoint; None if nothing is."""
    return seals.wrong_with(
        self._folder / str(step), self._run, what='a state',
        remedy='Put the states of this very run there, or say where they lie '
        '(--states); without any, its rounds are computed again with the '
        'answers in the journal.')


@contextlib.contextmanager
def _telling(step: int, folder: epath.Path) -> Iterator[None]:
  """Makes one kind of error of the many in which Orbax reports a disk."""
  try:
    yield
  except Exception as e:
    raise OSError(f'the checkpoint of step {step} in {str(folder)!r} cannot be '
                  f'written: {e}') from e
