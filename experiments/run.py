"""Active alignment, end to end: strategies side by side over several seeds.

Example:

  python -m experiments.run --workdir=/tmp/colorswap

Every strategy gets the same warm start, first batch and training budget.
"""

from collections.abc import Callable, Sequence
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
from mmal_jax.config import config as config_lib
from mmal_jax.config import explain
from mmal_jax.config import paths
from mmal_jax.experiment import budget
from mmal_jax.experiment import check as check_lib
from mmal_jax.experiment import preemption
from mmal_jax.experiment import run as run_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles import registry as oracles_lib
from mmal_jax.parallel import processes

# Exit status of a run that waits for people's answers.
WAITING = 3
_WORKDIR, _CACHE_DIR, _INIT, _MODEL = (
    common_flags.take('workdir', 'cache_dir', 'init', 'model'))
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
_STATES = common_flags.define_path(
    'states', None, 'Folder for the states from which --resume goes on, if not '
    'within --workdir: any that etils.epath takes, as gs://BUCKET/NAME.')
_MIRROR = common_flags.define_path(
    'mirror', None, 'Folder to which --workdir is copied, and where states lie,'
    ' so that an empty --workdir goes on from there, as on another machine: any'
    ' that etils.epath takes, as gs://BUCKET/RUN.')
flags.adopt_module_key_flags(hosts)


def configure() -> Any:
  """The config with the flags applied.

  Raises:
    ValueError: if flags contradict one another, or a value is refused.
  """
  config = config_lib.complete(_CONFIG.value)
  with config.unlocked():
    if _INIT.value is not None:
      config.init = paths.escape(_INIT.value)
    if _STATES.value is not None:
      config.states = paths.escape(_STATES.value)
    if _MIRROR.value is not None:
      config.mirror = paths.escape(_MIRROR.value)
    if _MODEL.value is not None:
      config.model.name = _MODEL.value
    if _STRATEGIES.value is not None:
      config.strategies = tuple(_STRATEGIES.value)
    if _SEEDS.value is not None:
      if not all(seed.strip().isdecimal() for seed in _SEEDS.value):
        raise ValueError(f'seeds={",".join(_SEEDS.value)!r} must be integers '
                         'from 0 on, with commas between them.')
      config.seeds = tuple(map(int, _SEEDS.value))
    if _ORACLE.value is not None:
      config.oracle.name = _ORACLE.value
    if _BATCH.value is not None:
      config.batch = _BATCH.value
    if _ROUNDS.value is not None:
      config.rounds = _ROUNDS.value
    if _BUDGET.value is not None:
      # Its batch may be no number.
      check_lib.check(config_lib.complete(config))
      config.rounds = budget.rounds(
          _BUDGET.value, config.batch, _ROUNDS.value)
  config = config_lib.complete(config)  # Of another model, for one.
  check_lib.check(config)
  paths.make_absolute(config)
  return config


def _no_sweep(config: Any) -> Any:
  """The config, if it is of one experiment."""
  if config.sweep:
    raise ValueError('the config describes a sweep: use experiments.sweep.')
  return config


def _or_end(work: Callable[[preemption.Notice], str]) -> str:
  """Does the work; ends the program where it can only go on later."""
  try:
    with preemption.listening(at_once=not processes.are_several()) as notice:
      return work(notice)
  except preemption.Preempted:
    program.write('Asked to end: all is saved. --resume goes on.', sys.stderr)
    sys.exit(preemption.PREEMPTED)
  except KeyboardInterrupt:
    program.write('\nInterrupted: every finished round and every answer is '
                  'saved. --resume goes on, or begins.', sys.stderr)
    sys.exit(preemption.INTERRUPTED)
  except oracle_lib.Waiting as e:
    program.write(f'{e}\nGive --resume then. To check answers in a second, '
                'without taking them: python -m experiments.check_answers '
                f'--workdir={shlex.quote(_WORKDIR.value)}')
    sys.exit(WAITING)


def _work() -> str:
  show = program.show if processes.is_primary() else None
  with progress.shown_by(show):
    text = _or_end(lambda notice: run_lib.run(
        _no_sweep(configure()), _WORKDIR.value, _CACHE_DIR.value,
        overwrite=_OVERWRITE.value, resume=_RESUME.value,
        notify=program.notify, notice=notice))
  if not processes.is_primary():
    return ''
  return text + f'\nWritten to {_WORKDIR.value}.'


def main(argv: Sequence[str]) -> None:
  with hosts.joined():
    program.call(_work, argv)


@program.ends_unread()
def parse_flags(argv: Sequence[str]) -> Sequence[str]:
  """Parses them; makes one line of what is refused.

  `--help` lists the values of the config, too; `--show_config` does that alone.
  """
  program.guard()
  try:
    # Before ml_collections does it, for which a config may come too late.
    argv = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
  except program.REFUSED as e:
    program.end_with(f'{program.in_words(e)} (--help lists all flags)')
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
    program.end_with(e)
  if any(re.fullmatch('--?show_config', a) for a in argv[1:]):
    argv = [*argv, '--workdir=.']  # It is of no use, but a required flag.
  argv = config_file.loaded(argv)
  # ml_collections reads the overrides there.
  sys.argv = argv
  try:
    positional = program.parsed(argv)
    _CONFIG.value.keys()  # Raises if the file could not be read.
  except SystemExit:  # --help
    program.write(f'\nvalues of {spec}:\n\n{explain.table(config)}')
    raise
  except BrokenPipeError:  # Nor may the help be read to its end.
    raise
  except Exception as e:  # ml_collections can raise anything.
    cause = config_file.in_words(e, config)
    program.end_with(f'{cause} (--help lists all flags)')
  if _SHOW_CONFIG.value:
    program.write(explain.table(_CONFIG.value))
    sys.exit()
  return positional


if __name__ == '__main__':
  program.start(main, parse_flags)
