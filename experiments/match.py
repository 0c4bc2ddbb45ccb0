"""Matches what a run has not asked about, as far as it has come.

Example:

  python -m experiments.match --workdir=runs/mine --strategy=mmal --seed=0 \
      --least_probability=0.99 --matched=matched

writes `matches.jsonl`, every remaining item's likeliest counterparts, and
`pairs.jsonl`, what was answered and what is at least so likely. Runs do the
same by themselves when they end; this does it before, or once more with another
probability.
"""

from collections.abc import Sequence
import pathlib

from absl import flags

from experiments import annotators
from experiments import build as build_lib
from experiments import checksums
from experiments import earlier
from experiments import finished
from experiments import folders
from experiments import identity
from experiments import matches as matches_lib
from experiments import paths
from experiments import program
from experiments import provenance
from experiments import which_run
from experiments import workdir as workdir_lib
from mmal_jax import checkpoints as checkpoints_lib

flags.adopt_module_key_flags(earlier)
flags.adopt_module_key_flags(folders)  # --help tells of them.
flags.adopt_module_key_flags(which_run)
_K = flags.DEFINE_integer(
    'k', 5, 'Counterparts of each item.', lower_bound=1)
_LEAST_PROBABILITY = flags.DEFINE_float(
    'least_probability', 0.9, 'Of the pairs that are written.',
    lower_bound=0.0, upper_bound=1.0)
_MATCHED = paths.define(
    'matched', None, 'Folder to write; there must be none yet.')


def match(
    folder: pathlib.Path,
    cache_dir: str,
    strategy: str,
    seed: int,
    k: int,
    least_probability: float,
    out: pathlib.Path,
    moved: Sequence[str] = (),
) -> None:
  """Writes the matches of a run's last state.

  Args:
    folder: the experiment's.
    cache_dir: of rendered datasets.
    strategy: of the run.
    seed: of the run.
    k: counterparts of each item.
    least_probability: of the pairs.
    out: where to; must not exist.
    moved: as for `earlier.config_of`.

  Raises:
    ValueError: if there is no such run, its items have changed, its learner can
      hold no answers out, there are too few of them, `out` exists, its records
      are not those it was finished with, or a version began it whose states say
      of no run.
  """
  config = earlier.config_of(folder, moved)
  if checksums.version(folder) == checksums.Version.WITHOUT_ID:
    raise ValueError(
        f'workdir={str(folder)!r} was begun by an earlier version, which wrote '
        f'no {workdir_lib.PROVENANCE}: nothing tells of which run its states '
        'are, and this version does not read them. Match with the version that '
        'began it.')
  if (folder / workdir_lib.SUMMARY).exists():
    # By its records it is known whether the state is the last one.
    finished.check_records(folder)
  earlier.check_data(config)
  if out.exists():
    raise ValueError(f'matched={str(out)!r} exists.')
  if annotators.buffer_of(config) is not None:
    raise ValueError(f'workdir={str(folder)!r} ran on a stream, of which '
                     'nothing remains to match.')
  experiment = build_lib.build(config, cache_dir)
  identity.check(
      folder, identity.digests(experiment.encoded, experiment.pretrained),
      config, paths.keys_of(moved))
  pools, hidden = annotators.hide(config, experiment.data.pool, seed)
  kept = checkpoints_lib.Checkpoints(workdir_lib.state_path(
      folder, strategy, seed, config.get('states')),
      run=provenance.of_run(folder, strategy, seed))
  newest = kept.newest(
      build_lib.initial_state(experiment, pools.sizes, seed),
      build_lib.round_of)
  if newest is None:
    states = workdir_lib.state_path(
        folder, strategy, seed, config.get('states'))
    raise ValueError(f'there is no state of strategy={strategy!r} and seed='
                     f'{seed} in {str(states)!r}; there are: '
                     f'{workdir_lib.runs_in(folder)}.')
  at, state = newest
  if (folder / workdir_lib.SUMMARY).exists() and workdir_lib.has_rounds(
      folder, {'strategy': strategy, 'seed': seed}, at + 1):
    states = workdir_lib.state_path(
        folder, strategy, seed, config.get('states'))
    raise ValueError(
        f'{str(states)!r} holds no state of the last round of a finished run, '
        f'but one of round {at}: the others are gone, or damaged. Restore them '
        'from a copy, or let --resume compute these rounds again.')
  found = matches_lib.find(experiment, state, pools, strategy, k)
  out.mkdir(parents=True)
  matches_lib.save(
      experiment, state, pools, hidden, found, least_probability, out)


def run() -> str:
  """Matches what the flags say."""
  if _MATCHED.value is None:
    raise ValueError('give --matched, the folder to write.')
  match(pathlib.Path(folders.WORKDIR.value), folders.CACHE_DIR.value,
        which_run.STRATEGY.value, which_run.SEED.value, _K.value,
        _LEAST_PROBABILITY.value,
        pathlib.Path(_MATCHED.value), earlier.MOVED.value)
  return (f'Matches of {which_run.STRATEGY.value}, seed {which_run.SEED.value}'
          f', are written to {_MATCHED.value}.')


def main(argv: Sequence[str]) -> None:
  program.call(run, argv)


if __name__ == '__main__':
  program.start(main)
