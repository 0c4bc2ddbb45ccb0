"""Active alignment, end to end: strategies side by side over several seeds.

Example:

  python -m experiments.run --workdir=/tmp/colorswap

Every strategy gets the same warm start, first batch and training budget.
"""

from collections.abc import Sequence
import re
import shlex
import sys
from typing import Any

from absl import flags

from experiments import common_flags
from experiments import config_file
from experiments import hosts
from experiments import program
from mmal_jax import progress
from mmal_jax.acquire import modality
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.config import explain
from mmal_jax.experiment import live_logs
from mmal_jax.experiment import preemption
from mmal_jax.experiment import run as run_lib
from mmal_jax.experiment import start
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles import registry as oracles_lib
from mmal_jax.parallel import processes
from mmal_jax.terminal import messages
from mmal_jax.terminal import streams

# Exit status of a run that waits for people's answers.
WAITING = 3
_WORKDIR, _CACHE_DIR, _INIT, _MODEL = (
    common_flags.take('workdir', 'cache_dir', 'init', 'model'))
common_flags.take('compilation_cache')  # For `program.call`.
_CONFIG = config_file.define(
    'What to run: a name in experiments/configs (colorswap, features:sound, '
    'paper/streaming), or a Python file with get_config(). Any value of the '
    'config is a flag, too: --config.train.peak_lr=1e-4. Default: colorswap; '
    'with --init, pretrained.')
_STRATEGIES = flags.DEFINE_list(
    'strategies', None,
    'Strategies to compare, with commas between them, out of: '
    f'{", ".join(sorted(strategies_lib.STRATEGIES))}; each also as NAME@RULE '
    f'with another rule for the modality: {", ".join(modality.RULES)}, or its '
    'name. Default: the config\'s.')
_SEEDS = flags.DEFINE_list(
    'seeds', None, 'Seeds, with commas between them. Default: the config\'s.')
_ROUNDS = flags.DEFINE_integer(
    'rounds', None, 'Rounds of queries. Default: the config\'s.', lower_bound=1)
_BATCH = flags.DEFINE_integer(
    'batch', None, 'Queries a round. Default: the config\'s.', lower_bound=1)
_BUDGET = flags.DEFINE_integer(
    'budget', None, 'Annotations in all: a multiple of --batch, in place of '
    '--rounds.', lower_bound=1)
_ORACLE = flags.DEFINE_string(
    'oracle', None,
    f'Who answers, out of: {", ".join(sorted(oracles_lib.ORACLES))}. Default: '
    'the config\'s.')
_SHOW_CONFIG = flags.DEFINE_bool(
    'show_config', False, 'Print every value of the config, what it means and '
    'may be, and end.')
_OVERWRITE = flags.DEFINE_bool(
    'overwrite', False, 'Replace the experiment that lies in --workdir.')
_RESUME = flags.DEFINE_bool(
    'resume', False, 'Resume the experiment in --workdir where it was stopped,'
    ' or begin it there.')
_LOG = flags.DEFINE_list(
    'log', [], 'Where each round\'s results are written, too, with commas '
    f'between them, out of: {", ".join(live_logs.LOGS)}; in the folder logs of '
    '--workdir, and wandb also to its server, unless WANDB_MODE=offline.')
_STATES = common_flags.define_path(
    'states', None, 'Folder for the states from which --resume goes on, if not '
    'within --workdir: any that etils.epath takes, as gs://BUCKET/NAME.')
_MIRROR = common_flags.define_path(
    'mirror', None, 'Folder to which --workdir is copied, and where states lie,'
    ' so that an empty --workdir goes on from there, as on another machine: any'
    ' that etils.epath takes, as gs://BUCKET/RUN.')
_PROFILE = flags.DEFINE_integer(
    'profile', None, 'Round to trace for XProf, in WORKDIR/profile, of the run '
    'that computes it first; 0 is the evaluation before the first round. '
    'Results stay the same. In the first rounds most of the time may go to '
    'compiling.')
flags.adopt_module_key_flags(hosts)


def configure() -> Any:
  """The config with the flags applied.

  Raises:
    ValueError: if flags contradict one another, or a value is refused.
  """
  strategies = _STRATEGIES.value
  return start.override(_CONFIG.value, {
      'init': _INIT.value, 'states': _STATES.value,
      'mirror': _MIRROR.value, 'model.name': _MODEL.value,
      'strategies': None if strategies is None else tuple(strategies),
      'seeds': start.seeds(_SEEDS.value), 'oracle.name': _ORACLE.value,
      'batch': _BATCH.value, 'rounds': _ROUNDS.value}, _BUDGET.value)


def _no_sweep(config: Any) -> Any:
  """The config, if it is of one experiment."""
  if config.sweep:
    raise ValueError('the config describes a sweep: use experiments.sweep.')
  return config


def _work() -> str:
  show = progress.bar if processes.is_primary() else None
  try:
    with progress.shown_by(show), preemption.reported(
        'every finished round and every answer is saved. --resume goes on, or '
        'begins.', '--resume goes on.',
        at_once=not processes.are_several()) as notice:
      text = run_lib.run(
          _no_sweep(configure()), _WORKDIR.value, _CACHE_DIR.value,
          overwrite=_OVERWRITE.value, resume=_RESUME.value,
          notify=messages.notify, notice=notice, profile=_PROFILE.value,
          log=_LOG.value)
  except oracle_lib.Waiting as e:
    messages.write(
        f'{e}\nGive --resume then. To check answers in a second, without '
        'taking them: python -m experiments.check_answers '
        f'--workdir={shlex.quote(_WORKDIR.value)}')
    sys.exit(WAITING)
  if not processes.is_primary():
    return ''
  return text + f'\nWritten to {_WORKDIR.value}.'


def main(argv: Sequence[str]) -> None:
  with hosts.joined():
    program.call(_work, argv)


@streams.ends_unread()
def parse_flags(argv: Sequence[str]) -> Sequence[str]:
  """Parses them; makes one line of what is refused.

  `--help` lists the values of the config, too; `--show_config` does that alone.
  """
  messages.guard()
  try:
    # Before ml_collections does it, for which a config may come too late.
    argv = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
  except program.REFUSED as e:
    messages.end_with(f'{program.in_words(e)} (--help lists all flags)')
  try:
    argv = config_file.expand(argv)
    spec = config_file.path_of(argv[1:])
    if spec is None:
      # A default given to the flag would be read, and fail, on import.
      of_init = any(re.fullmatch('--?init(=.*)?', a) for a in argv[1:])
      spec = str(config_file.FOLDER / (
          'pretrained.py' if of_init else 'colorswap.py'))
      argv = [argv[0], f'--config={spec}', *argv[1:]]
    config = config_file.load(spec)
    config_file.check_overrides(argv, config)
  except ValueError as e:
    messages.end_with(e)
  if any(re.fullmatch('--?show_config', a) for a in argv[1:]):
    argv = [*argv, '--workdir=.']  # It is of no use, but a required flag.
  argv = config_file.loaded(argv)
  # ml_collections reads the overrides there.
  sys.argv = argv
  try:
    positional = program.parsed(argv)
    _CONFIG.value.keys()  # Raises if the file could not be read.
  except SystemExit:  # --help
    messages.write(f'\nvalues of {spec}:\n\n{explain.table(config)}')
    raise
  except BrokenPipeError:  # Nor may the help be read to its end.
    raise
  except Exception as e:  # ml_collections can raise anything.
    cause = config_file.in_words(e, config)
    messages.end_with(f'{cause} (--help lists all flags)')
  if _SHOW_CONFIG.value:
    messages.write(explain.table(_CONFIG.value))
    sys.exit()
  return positional


if __name__ == '__main__':
  program.start(main, parse_flags)
