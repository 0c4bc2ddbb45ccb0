"""A run's rounds as TensorBoard's events, a folder a run."""

from collections.abc import Mapping
import pathlib
import time
from typing import Any

from mmal_jax import extras
from mmal_jax.workdir import layout as workdir_lib

_files, _events, _summary = (
    extras.Lazy(f'tensorboardX.{name}', 'for --log=tensorboard')
    for name in ('event_file_writer', 'proto.event_pb2', 'summary'))
_EVENTS = 'events.out.tfevents.*'


class TensorBoard:
  """A log, as `live_logs.Log` says, in `logs/tensorboard`.

  It writes without the queue and thread of tensorboardX's `SummaryWriter`: what
  cannot be written must be known, and must not be waited for.
  """

  def __init__(self, folder: pathlib.Path, config: Mapping[str, Any]):
    del config  # It is in the folder of the experiment.
    self._root = folder / workdir_lib.LOGS / 'tensorboard'
    self._writer = None

  def begin(
      self, run: Mapping[str, Any], rounds: Mapping[int, Mapping[str, float]]
  ) -> None:
    """See `live_logs.Log`; the step is the round."""
    folder = self._root / f'{run["strategy"]}-seed{run["seed"]}'
    folder.mkdir(parents=True, exist_ok=True)
    earlier = list(folder.glob(_EVENTS))
    # Its name is another one, also within a second.
    self._writer = _files.EventsWriter(
        str(folder / 'events'), f'.{time.time_ns()}')
    # To a TensorBoard that has been looking on, nothing before this counts.
    self._add(0, session_log=_events.SessionLog(
        status=_events.SessionLog.START))
    for at in sorted(rounds):
      self._add_round(at, rounds[at])
    self._writer.flush()
    for path in earlier:
      path.unlink()

  def write(self, at: int, values: Mapping[str, float]) -> None:
    """See `live_logs.Log`."""
    self._add_round(at, values)
    self._writer.flush()

  def end(self, failed: bool) -> None:
    """See `live_logs.Log`."""
    del failed
    writer, self._writer = self._writer, None
    if writer is not None:
      writer.close()

  def _add_round(self, at: int, values: Mapping[str, float]) -> None:
    for name, value in values.items():
      self._add(at, summary=_summary.scalar(name, value))

  def _add(self, at: int, **what: Any) -> None:
    self._writer.write_event(_events.Event(
        wall_time=time.time(), step=at, **what))
