"""Matches of what a run has not asked about, as far as it has come."""

from collections.abc import Sequence
import pathlib

from mmal_jax.checkpoint import newest as checkpoints_lib
from mmal_jax.experiment import build as build_lib
from mmal_jax.experiment import earlier
from mmal_jax.experiment import matches as matches_lib
from mmal_jax.workdir import checksums
from mmal_jax.workdir import finished
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import provenance


def rematch(
    folder: pathlib.Path,
    cache_dir: str,
    strategy: str,
    seed: int,
    k: int,
    least_probability: float,
    out: pathlib.Path,
    moved: Sequence[str] = (),
    recall: float | None = None,
) -> list[str]:
  """Writes the matches of a run's last state.

  Args:
    folder: the experiment's.
    cache_dir: of rendered datasets.
    strategy: of the run.
    seed: of the run.
    k: counterparts of each item.
    least_probability: of the pairs.
    out: where to; must not exist.
    moved: as for `earlier.of_folder`.
    recall: as for `matching.pool.match`.

  Returns:
    With a recall, for each modality what share of the most similar ones was
    found, in words.

  Raises:
    ValueError: if there is no such run, its items have changed, its learner can
      hold no answers out, there are too few of them, `out` exists, its records
      are not those it was finished with, or a version began it whose states say
      of no run.
  """
  before = earlier.of_folder(folder, moved)
  settings = before.settings
  if checksums.version(folder) == checksums.Version.WITHOUT_ID:
    raise ValueError(
        f'workdir={str(folder)!r} was begun by an earlier version, which wrote '
        f'no {workdir_lib.PROVENANCE}: nothing says of which run its states '
        'are, and this version does not read them. Match with the version that '
        'began it.')
  if (folder / workdir_lib.SUMMARY).exists():
    # By its records it is known whether the state is the last one.
    finished.check_records(folder)
  before.check_data()
  if out.exists():
    raise ValueError(f'matched={str(out)!r} exists.')
  if settings.annotators.buffer is not None:
    raise ValueError(f'workdir={str(folder)!r} ran on a stream, of which '
                     'nothing remains to match.')
  experiment = before.build(folder, cache_dir)
  pools, hidden = settings.annotators.hide(experiment.data.pool, seed)
  kept = checkpoints_lib.Checkpoints(workdir_lib.state_path(
      folder, strategy, seed, settings.states),
      run=provenance.of_run(folder, strategy, seed))
  newest = kept.newest(
      build_lib.initial_state(experiment, pools.sizes, seed),
      build_lib.round_of)
  if newest is None:
    states = workdir_lib.state_path(
        folder, strategy, seed, settings.states)
    raise ValueError(f'there is no state of strategy={strategy!r} and seed='
                     f'{seed} in {str(states)!r}; there are: '
                     f'{workdir_lib.runs_in(folder)}.')
  at, state = newest
  if (folder / workdir_lib.SUMMARY).exists() and workdir_lib.has_rounds(
      folder, {'strategy': strategy, 'seed': seed}, at + 1):
    states = workdir_lib.state_path(
        folder, strategy, seed, settings.states)
    raise ValueError(
        f'{str(states)!r} holds no state of the last round of a finished run, '
        f'but one of round {at}: the others are gone, or damaged. Restore them '
        'from a copy, or let --resume compute these rounds again.')
  found = matches_lib.find(experiment, state, pools, strategy, k, recall)
  out.mkdir(parents=True)
  matches_lib.save(
      experiment, state, pools, hidden, found, least_probability, out)
  return [
      f'Of what is most similar to each {modality} among the {other}s '
      f'{100 * matches.recall:.1f} % was found, by a sample.'
      for (modality, other), matches in found.items()
      if matches.recall is not None]
