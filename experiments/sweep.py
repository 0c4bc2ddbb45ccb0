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
import sys

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

_WORKDIR, _CACHE_DIR = common_flags.take('workdir', 'cache_dir')
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

_NOT_OURS = ('overwrite', 'resume', 'workdirs', 'out', 'states',
             'mirror', *hosts.FLAGS)
_INSTEAD = {'resume': 'the same command goes on by itself'}


def _shard(text: str) -> tuple[int, int]:
  first, slash, count = text.partition('/')
  if not (slash and first.isdecimal() and count.isdecimal()
          and int(first) < int(count)):
    raise ValueError(f'shard={text!r} must be I/N with 0 <= I < N.')
  return int(first), int(count)


def _work() -> str:
  for name in _NOT_OURS:
    if flags.FLAGS[name].present:
      raise ValueError(f'--{name} is not for sweeps: {_INSTEAD[name]}.' if (
          name in _INSTEAD) else f'--{name} is not for sweeps.')
  if flags.FLAGS['moved'].present and not _REPORT.value:
    raise ValueError('--moved is for --report: give the paths as they are now '
                     'in the same command, --config.dataset...=PATH.')
  folder, cache_dir = pathlib.Path(_WORKDIR.value), _CACHE_DIR.value
  if _REPORT.value:
    return sweep.report(folder, cache_dir, program.notify, **report.options())
  config = run_lib.configure()
  settings = cells.parse(_SET.value or config.sweep)
  try:
    # No cell goes on alone.
    with preemption.listening() as notice, progress.shown_by(program.show):
      return sweep.sweep(
          config, settings, folder, cache_dir, _PROCESSES.value,
          _shard(_SHARD.value), notice, program.notify, report.options())
  except preemption.Preempted:
    program.write('Asked to end: all is saved. The same command goes on.',
                sys.stderr)
    sys.exit(preemption.PREEMPTED)
  except KeyboardInterrupt:
    program.write('\nInterrupted: every finished round is saved. The same '
                  'command goes on.', sys.stderr)
    sys.exit(preemption.INTERRUPTED)


def main(argv: Sequence[str]) -> None:
  try:
    with preemption.exiting():
      program.call(_work, argv)
  except sweep.CellsFailed as e:
    program.end_with(e)


if __name__ == '__main__':
  program.start(main, run_lib.parse_flags)
