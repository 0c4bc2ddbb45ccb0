"""What a run has come to so far, for programs that show it as it goes on.

Records are the truth. A log is made of them: anew, or of what it lacks, when a
run begins or goes on; then round by round. So no round is there twice, none is
missing, and a log may be asked for, or lost, at any time. No log ends a run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import pathlib
import threading
from typing import Any, NamedTuple, Protocol

from absl import logging

from mmal_jax import extras
from mmal_jax.experiment import live_tensorboard
from mmal_jax.experiment import live_wandb
from mmal_jax.workdir import json_files
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import records_file

# How long the end of a log may take where a run has failed or was stopped.
_ENDS_WITHIN_SECONDS = 5
_APART = ('strategy', 'seed', 'round')  # Fields that are no results.


class Log(Protocol):
  """A log of one experiment, which is written a run at a time."""

  def begin(
      self, run: Mapping[str, Any], rounds: Mapping[int, Mapping[str, float]]
  ) -> None:
    """Begins a run, or goes on with it.

    Args:
      run: `strategy` and `seed`.
      rounds: all that is recorded of it, by round, as `numbers` returns it. The
        log holds each once when this returns, and nothing else of the run.
    """

  def write(self, at: int, values: Mapping[str, float]) -> None:
    """Adds the next round of the run."""

  def end(self, failed: bool) -> None:
    """Ends the run that was begun last, if there is one."""


class _Kind(NamedTuple):
  """A kind of log: the package it needs, and what makes one."""

  package: str
  make: Callable[[pathlib.Path, Mapping[str, Any]], Log]


LOGS = {
    'tensorboard': _Kind('tensorboardX', live_tensorboard.TensorBoard),
    'wandb': _Kind('wandb', live_wandb.Wandb),
}


def check(names: Sequence[str]) -> None:
  """Refuses logs that cannot be written, before any work is done.

  Args:
    names: in `LOGS`.

  Raises:
    ImportError: naming the extra that brings a package that is missing.
    ValueError: if there is no such log.
  """
  for name in names:
    if name not in LOGS:
      raise ValueError(f'log={name!r} is unknown; known are '
                       f'{", ".join(sorted(LOGS))}.')
    extras.load(LOGS[name].package, f'for --log={name}')


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
  """The numbers of a record, those within others by both names.

  >>> numbers({'round': 1, 'loss': 0.5, 'scores': {'text': 10.0}})
  {'loss': 0.5, 'scores/text': 10.0}
  """
  return dict(_numbers('', {
      name: value for name, value in json_files.plain(dict(record)).items()
      if name not in _APART}))


class LiveLogs:
  """All logs of an experiment. What fails is given up, with one warning."""

  def __init__(
      self, names: Sequence[str], folder: pathlib.Path,
      config: Mapping[str, Any],
  ):
    """Opens nothing yet.

    Args:
      names: in `LOGS`, which `check` has passed.
      folder: of the experiment.
      config: of it.
    """
    self._folder = folder
    self._logs: dict[str, Log] = {}
    for name in dict.fromkeys(names):
      self._try(name, lambda name=name: self._logs.update(
          {name: LOGS[name].make(folder, config)}))

  def __enter__(self) -> 'LiveLogs':
    return self

  def __exit__(self, kind, *_) -> None:
    for name, log in list(self._logs.items()):
      if kind is None:
        self._try(name, lambda log=log: log.end(False))
      else:
        # It may wait for a server, and the program for it.
        ending = threading.Thread(target=self._try, args=(
            name, lambda log=log: log.end(True)), daemon=True)
        ending.start()
        ending.join(_ENDS_WITHIN_SECONDS)

  def begin(self, run: Mapping[str, Any]) -> None:
    """Begins the log of a run with what is recorded of it."""
    if not self._logs:
      return
    path = self._folder / workdir_lib.METRICS
    rounds = {
        record['round']: numbers(record)
        for record in (records_file.metrics(path) if path.exists() else ())
        if run.items() <= record.items()}
    for name, log in list(self._logs.items()):
      self._try(name, lambda log=log: (log.end(False), log.begin(run, rounds)))

  def write(self, record: Mapping[str, Any]) -> None:
    """Adds a record of the run that was begun last."""
    for name, log in list(self._logs.items()):
      self._try(name, lambda log=log: log.write(
          record['round'], numbers(record)))

  def _try(self, name: str, work: Callable[[], Any]) -> None:
    try:
      work()
    except Exception as e:  # pylint: disable=broad-except
      # Of any kind: servers, disks, other libraries.
      self._logs.pop(name, None)
      logging.warning(
          '--log=%s has failed (%s: %s). The run goes on without that log, and '
          'its results are not affected; --resume with --log=%s writes what it '
          'lacks.', name, type(e).__name__, e, name)


def _numbers(
    before: str, values: Mapping[str, Any]
) -> Iterator[tuple[str, float]]:
  for name, value in values.items():
    if isinstance(value, dict):
      yield from _numbers(f'{before}{name}/', value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
      yield f'{before}{name}', value
