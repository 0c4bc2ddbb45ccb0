"""A run's rounds for Weights & Biases, a run each."""

from collections.abc import Mapping
import hashlib
import os
import pathlib
import shutil
from typing import Any

from mmal_jax import extras
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import records_file

_wandb = extras.Lazy('wandb', 'for --log=wandb')
_PROJECT = 'mmal_jax'  # where WANDB_PROJECT names no other


class Wandb:
  """A log, as `live_logs.Log` says; what is not online lies in `logs/wandb`."""

  def __init__(self, folder: pathlib.Path, config: Mapping[str, Any]):
    self._folder, self._config = folder / workdir_lib.LOGS, dict(config)
    # Those that earlier versions began have no id.
    self._experiment = records_file.experiment_in(folder) or os.path.abspath(
        folder)
    self._run, self._next = None, 0

  def begin(
      self, run: Mapping[str, Any], rounds: Mapping[int, Mapping[str, float]]
  ) -> None:
    """See `live_logs.Log`; the step is the round.

    A server knows up to which round it has the run. What is kept for a server,
    offline, is written anew.
    """
    self._folder.mkdir(exist_ok=True)
    name = f'{run["strategy"]}-seed{run["seed"]}'
    # It may hold no character of a path, as names of strategies may.
    id_ = hashlib.sha256(f'{self._experiment}/{name}'.encode()).hexdigest()[:16]
    earlier = list(self._folder.glob(f'wandb/offline-run-*-{id_}'))
    self._run = _wandb.init(
        project=os.environ.get('WANDB_PROJECT', _PROJECT), id=id_, name=name,
        group=self._experiment, dir=str(self._folder),
        config=self._config | dict(run), resume='allow', reinit='create_new',
        # The terminal is ours.
        settings=_wandb.Settings(console='off'))
    self._run.define_metric('*', step_metric='annotations')
    self._next = self._run.step
    for at in sorted(rounds):
      self.write(at, rounds[at])
    now = pathlib.Path(self._run.dir).parent
    for path in earlier:
      if path.name != now.name:  # Names are of a second.
        shutil.rmtree(path)

  def write(self, at: int, values: Mapping[str, float]) -> None:
    """See `live_logs.Log`."""
    if at >= self._next:
      self._run.log(dict(values), step=at)
      self._next = at + 1

  def end(self, failed: bool) -> None:
    """See `live_logs.Log`."""
    if self._run is not None:
      run, self._run = self._run, None
      run.finish(exit_code=int(failed))
