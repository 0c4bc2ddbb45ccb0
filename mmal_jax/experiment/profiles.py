"""A trace of one round of a run, which XProf shows."""

from collections.abc import Callable, Iterator
import contextlib
import itertools
import os
import pathlib
import shlex

from absl import logging
import jax

from mmal_jax import state as state_lib
from mmal_jax.experiment import preemption
from mmal_jax.files import durable


def check(number: int | None, rounds: int) -> None:
  """Refuses a round that a run does not have.

  Args:
    number: of the round that is to be traced, if any.
    rounds: of the run.

  Raises:
    ValueError: then.
  """
  if number is not None and not 0 <= number <= rounds:
    raise ValueError(
        f'profile={number}: the run has no such round. Give one of 1 to '
        f'{rounds}, or 0 for the evaluation before the first.')


class Profile:
  """Traces a round of the run that computes it first, and of no other.

  A trace is no result: what goes wrong with it is a warning, and what was
  traced in part is removed.
  """

  def __init__(
      self, number: int, folder: pathlib.Path, notify: Callable[[str], None]
  ):
    """Takes the round, where traces lie, and what takes lines for the user.

    Args:
      number: of the round, as `check` accepts it.
      folder: for traces. One that is there of the same round stays, and no
        other is made.
      notify: called with where the trace lies, or that there is none.
    """
    self._number, self._folder, self._notify = number, folder, notify
    self._is_tried = False

  def watched(
      self, states: Iterator[state_lib.RunState], run: str, first: int
  ) -> Iterator[state_lib.RunState]:
    """The states of a run as they are; the round is traced if it is computed.

    Args:
      states: one a round, computed when it is asked for.
      run: its name, in file names.
      first: the round after which the first of the states is.
    """
    for number in itertools.count(first):
      tracing = number == self._number and not self._is_tried and (
          not self._found())
      with self._tracing(run) if tracing else contextlib.nullcontext():
        state = next(states, None)
        if tracing and state is not None:
          jax.block_until_ready(state.params)
      if state is None:
        return
      yield state

  def close(self) -> None:
    """Says so if no round was traced."""
    if not self._is_tried:
      there = ''.join(f' Its trace is in {path}.' for path in self._found()[:1])
      self._notify(f'Round {self._number} was computed by an earlier start, and'
                   f' is not traced now.{there}')

  def _found(self) -> list[pathlib.Path]:
    """What this process has traced of the round, of whichever run."""
    return sorted(self._folder.glob(f'round{self._number}-*/{_own()}'))

  @contextlib.contextmanager
  def _tracing(self, run: str) -> Iterator[None]:
    name = f'round{self._number}-{run}'
    path = self._folder / name / _own()
    draft = self._folder / f'.{name}.{_own()}.draft'

    def begin():
      self._folder.mkdir(parents=True, exist_ok=True)
      durable.remove(draft)  # Where a kill left it.
      jax.profiler.start_trace(draft)

    def put():
      path.parent.mkdir(exist_ok=True)
      os.replace(draft, path)

    is_begun = is_whole = False
    try:
      with preemption.deferred():
        is_begun = self._tried(begin)
      yield
      is_whole = True
    finally:
      if is_begun:
        with preemption.deferred():
          is_written = self._tried(jax.profiler.stop_trace)
          if is_whole and is_written and self._tried(put):
            self._is_tried = True
            self._notify(
                f'Round {self._number} of {run} is traced. To look at it, also '
                'with TensorBoard: pip install xprof && xprof --logdir='
                f'{shlex.quote(str(path))}')
          else:
            self._tried(lambda: durable.remove(draft))

  def _tried(self, work: Callable[[], None]) -> bool:
    """Whether work on the trace was done."""
    try:
      work()
    except Exception as e:  # pylint: disable=broad-exception-caught
      self._is_tried = True
      logging.warning(
          'round %d is not traced: %s', self._number, durable.reason(e))
      return False
    return True


def _own() -> str:
  """The folder of this process; files are named by the host alone."""
  return f'process{jax.process_index()}'
