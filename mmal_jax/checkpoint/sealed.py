"""Checkpoints in one folder, each with its seal; for one process at a time."""

from collections.abc import Mapping
import re

from etils import epath

from mmal_jax.files import durable
from mmal_jax.files import seals

STEP = re.compile('0|[1-9][0-9]{0,17}')
_SEALS = re.compile(f'({STEP.pattern})' + re.escape(seals.ENDING))


class Folder:
  """What lies there: `STEP`, and its seal beside it.

  Attributes:
    path: of the folder; it need not exist.
  """

  def __init__(
      self, path: epath.Path, keep: int, run: Mapping[str, str | int] | None
  ):
    """Opens it.

    Args:
      path: of the folder.
      keep: the number of the newest that are kept.
      run: that they are of; None for any.
    """
    self.path, self._keep = path, keep
    self._run = None if run is None else dict(run)

  def steps(self) -> list[int]:
    """Steps of the sealed ones, ascending."""
    if not self.path.exists():
      return []
    names = (path.name for path in self.path.iterdir())
    return sorted(int(name.removesuffix(seals.ENDING)) for name in names
                  if _SEALS.fullmatch(name))

  def make_room(self, step: int) -> None:
    """Removes what a program began that died.

    Raises:
      ValueError: if there is a sealed one of that step.
    """
    if self._seal(step).exists():
      raise ValueError(f'there is a checkpoint of step {step} in '
                       f'{str(self.path)!r}.')
    self.path.mkdir(parents=True, exist_ok=True)
    durable.remove(self.path / str(step))

  def seal(self, step: int) -> None:
    """Makes one count that is written whole, and removes older ones."""
    seals.write(self.path / str(step), self._run)
    for old in self.steps()[:-self._keep]:
      # The seal first: what has none does not count.
      self._seal(old).unlink()
    oldest = self.steps()[0]
    # Among them what a program that died here had left to remove.
    for path in list(self.path.iterdir()):
      if STEP.fullmatch(path.name) and int(path.name) < oldest:
        durable.remove(path)

  def newest_good(self) -> int | None:
    """The newest one that is whole; newer ones are quarantined."""
    for step in reversed(self.steps()):
      wrong = seals.wrong_with(
          self.path / str(step), self._run, what='a state',
          remedy='Put the states of this very run there, or say where they lie '
          '(--states); without any, its rounds are computed again with the '
          'answers in the journal.')
      if wrong is None:
        return step
      self.quarantine(step, wrong)
    return None

  def quarantine(self, step: int, wrong: str) -> None:
    """Puts one aside, with a warning that says what is wrong with it."""
    seals.quarantine(
        self.path / str(step), f'The checkpoint of step {step}', wrong)

  def _seal(self, step: int) -> epath.Path:
    return seals.path(self.path / str(step))
