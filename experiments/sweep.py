"""Strategies x seeds x settings, cell by cell; resumes where it was stopped.

Example:

  python -m experiments.sweep --strategies=mmal,random --seeds=0,1,2 \
      --set=train.pseudo_pairs=0,1 --workdir=runs/sweep

Every cell is an experiment in a folder of its own, WORKDIR/cells/NAME. The same
command again runs what is not finished yet; several machines with a common disk
share a sweep by --shard=0/2 and --shard=1/2. The end is a report of all cells
in WORKDIR/report.
"""

from collections.abc import Sequence
import pathlib

from absl import flags

from experiments import common_flags
from experiments import hosts
from experiments import program
from experiments import report
from experiments import run as run_lib
from mmal_jax import progress
from mmal_jax.experiment import cells
from mmal_jax.experiment import preemption
from mmal_jax.experiment import sweep
from mmal_jax.terminal import messages

_WORKDIR, _CACHE_DIR = common_flags.take('workdir', 'cache_dir')
common_flags.take('compilation_cache')  # For `program.call`.
_SET = flags.DEFINE_multi_string(
    'set', [], 'A key of the config and its values, KEY=VALUE,VALUE; or several'
    ' that change together, KEY+KEY=VALUE+VALUE,VALUE+VALUE. May be given '
    'several times. Default: what the config says in `sweep`.')
_PROCESSES = flags.DEFINE_integer(
    'processes', 1, 'Cells to run at a time. Several on one accelerator must '
    'share its memory: see XLA_PYTHON_CLIENT_PREALLOCATE.', lower_bound=1)
_SHARD = flags.DEFINE_string(
    'shard', '0/1', 'I/N runs every Nth cell from the Ith on.')
_REPORT = flags.DEFINE_bool(
    'report', False, 'Run nothing; report what is finished.')
flags.adopt_module_key_flags(run_lib)
flags.adopt_module_key_flags(report)

_NOT_OURS = dict.fromkeys(
    ('overwrite', 'resume', 'workdirs', 'out', 'states', 'mirror', 'profile',
     *hosts.FLAGS))
_NOT_OURS['resume'] = 'the same command goes on by itself'


def _work() -> str:
  common_flags.refuse(_NOT_OURS, 'sweeps')
  if flags.FLAGS['moved'].present and not _REPORT.value:
    raise ValueError('--moved is for --report: give the paths as they are now '
                     'in the same command, --config.dataset...=PATH.')
  folder, cache_dir = pathlib.Path(_WORKDIR.value), _CACHE_DIR.value
  if _REPORT.value:
    return sweep.report(folder, cache_dir, messages.notify, **report.options())
  config = run_lib.configure()
  settings = cells.parse(_SET.value or config.sweep)
  # No cell goes on alone.
  with progress.shown_by(progress.bar), preemption.reported(
      'every finished round is saved. The same command goes on.',
      'The same command goes on.') as notice:
    return sweep.sweep(
        config, settings, folder, cache_dir, _PROCESSES.value,
        cells.shard(_SHARD.value), notice, messages.notify, report.options())


def main(argv: Sequence[str]) -> None:
  try:
    with preemption.exiting():
      program.call(_work, argv)
  except sweep.CellsFailed as e:
    messages.end_with(e)


if __name__ == '__main__':
  program.start(main, run_lib.parse_flags)
