"""Active alignment, end to end: strategies side by side over several seeds.

Example:

  python -m experiments.run --workdir=/tmp/colorswap

Every strategy gets the same warm start, first batch and training budget.
"""

from collections.abc import Callable, Sequence
import contextlib
import os
import pathlib
import re
import shlex
import sys
import time
from typing import Any

from absl import flags
import tqdm

from experiments import annotators
from experiments import build as build_lib
from experiments import check as check_lib
from experiments import checkpoints
from experiments import compilations
from experiments import config_file
from experiments import explain
from experiments import finish
from experiments import folders
from experiments import hosts
from experiments import identity
from experiments import kinds
from experiments import one_run
from experiments import owner
from experiments import paths
from experiments import preemption
from experiments import program
from experiments import provenance
from experiments import states as states_lib
from experiments import whole_pool
from experiments import workdir as workdir_lib
from mmal_jax import checkpoint
from mmal_jax import durable
from mmal_jax import processes
from mmal_jax import progress
from mmal_jax.acquire import modality
from mmal_jax.acquire import registry as strategies_lib
from mmal_jax.align import oracle as oracle_lib
from mmal_jax.align import registry as oracles_lib

# Exit status of a run that waits for people's answers.
WAITING = 3
_CONFIG = config_file.define(
    'What to run: a Python file with get_config(). Any of its values is a flag,'
    ' too: --config.train.peak_lr=1e-4. Default: experiments/configs/'
    'colorswap.py; with --init, experiments/configs/pretrained.py.')
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
    'resume', False, 'Take up the experiment in --workdir where it was stopped,'
    ' or begin it there.')
_STATES = paths.define(
    'states', None, 'Folder for the states from which --resume goes on, if not '
    'within --workdir: any that etils.epath takes, as gs://BUCKET/NAME.')
flags.adopt_module_key_flags(checkpoints)  # --help tells of them, too.
flags.adopt_module_key_flags(folders)
flags.adopt_module_key_flags(hosts)


def configure() -> Any:
  """The config with the flags applied.

  Raises:
    ValueError: if flags contradict one another, or a value is refused.
  """
  config = _CONFIG.value
  with config.unlocked():
    if checkpoints.INIT.value is not None:
      config.init = paths.escape(checkpoints.INIT.value)
    if _STATES.value is not None:
      config.states = paths.escape(_STATES.value)
    if checkpoints.MODEL.value is not None:
      config.model.name = checkpoints.MODEL.value
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
      if config.batch is None:
        raise ValueError(f'budget={_BUDGET.value}: give --batch as well, or '
                         '--rounds and --batch in its place.')
      check_lib.check(config)  # of a batch of 0
      rounds, rest = divmod(_BUDGET.value, config.batch)
      if rest:
        raise ValueError(f'budget={_BUDGET.value} is not a multiple of batch='
                         f'{config.batch}.')
      if _ROUNDS.value not in (None, rounds):
        raise ValueError(f'budget={_BUDGET.value} is not rounds={_ROUNDS.value}'
                         f' * batch={config.batch}: give one of the two.')
      config.rounds = rounds
  check_lib.check(config)
  paths.make_absolute(config)
  return config


def _no_sweep(config: Any) -> Any:
  """The config, if it is of one experiment."""
  if config.get('sweep'):
    raise ValueError('the config describes a sweep: use experiments.sweep.')
  return config


def run(
    config: Any,
    workdir: str | os.PathLike[str],
    cache_dir: str,
    *,
    overwrite: bool = False,
    resume: bool = False,
    experiment: build_lib.Experiment | None = None,
    quiet: bool = False,
    notice: preemption.Notice | None = None,
) -> str:
  """Runs the whole experiment; returns the closing tables.

  Args:
    config: checked.
    workdir: where all is written.
    cache_dir: of rendered datasets and warm starts.
    overwrite: replace the experiment that lies in `workdir`.
    resume: take up an unfinished one.
    experiment: what `build.build` would make of the config, if it is at hand.
    quiet: show no progress.
    notice: of the end of the machine, if somebody listens for it.

  Raises:
    preemption.Preempted: if the program was told to end.
  """
  hosts.check_same((config.to_dict(), str(workdir), overwrite, resume))
  with contextlib.ExitStack() as held:
    def take():
      workdir_lib.check(workdir, overwrite=overwrite, resume=resume)
      checkpoint.check_path(workdir)
      held.enter_context(owner.sole(workdir))
      # Another program may just have left it.
      workdir_lib.check(workdir, overwrite=overwrite, resume=resume)

    processes.from_first(take)
    return _run(config, workdir, cache_dir, resume, experiment,
                quiet or not processes.is_first(),
                notice or preemption.Notice(), held)


def _run(
    config, workdir, cache_dir, resume, experiment, quiet, notice, held
) -> str:
  """As `run`, in a folder that is ours, as others will be, `held` so long."""
  started = time.perf_counter()
  if resume and config.get('batch') is None:
    with config.unlocked():
      config.batch = processes.from_first(
          lambda: workdir_lib.batch_of(workdir))
  begun = processes.from_first(lambda: workdir_lib.take_up(
      workdir, config.to_dict()) if resume else None)
  folder = pathlib.Path(workdir)
  if begun is not None:
    processes.from_first(lambda: provenance.check(folder))
  processes.from_first(lambda: held.enter_context(
      states_lib.held(config.get('states'), folder, begun is not None)))
  if config.oracle.name == 'files' and begun is not None:
    processes.from_first(lambda: _look_at_answers(config, folder, held))
  counter = compilations.CompilationCounter()
  if not quiet:
    held.enter_context(progress.shown_by(program.show))
    program.say('Preparing data and warm start ...', sys.stderr)
  if experiment is None:
    experiment = build_lib.build(config, cache_dir)
  if config.get('batch') is None and not quiet:
    program.say(
        f'batch={experiment.config.batch}: half of the pool over '
        f'{config.rounds} rounds, at most {kinds.LARGEST_DEFAULT_BATCH}. '
        '--batch gives another.', sys.stderr)
  config = experiment.config
  if config.oracle.name == 'files' and begun is None:
    processes.from_first(lambda: _hold_people(config, held))
  # Not before: what was refused up to here has cost no earlier result.
  processes.from_first(lambda: _begin(experiment, config, folder, begun))
  if begun is not None and begun.moved and not quiet:
    program.say(f'{", ".join(begun.moved)}: elsewhere than when the run was '
                'begun; what lies there is the same.', sys.stderr)
  reference, whole = whole_pool.is_asked_for(experiment), []
  total = len(config.seeds) * (
      len(config.strategies) * config.rounds + reference)
  with tqdm.tqdm(total=total, unit='round', dynamic_ncols=True,
                 disable=quiet) as bar:
    for seed in config.seeds:
      first = {}  # The round that all strategies of a seed have in common.
      try:
        for strategy in config.strategies:
          one_run.run_one(
              experiment, strategy, seed, folder, bar, counter, notice, first)
        if reference:
          found = whole_pool.of_seed(experiment, seed, folder)
          whole += [found] if found else []
          bar.update()
          notice.heed()
      except oracle_lib.Waiting as e:
        waiting = {'seed': seed, 'queries': e.queries}
        processes.from_first(lambda: workdir_lib.write(
            folder / workdir_lib.WAITING, waiting))
        raise
      except OSError as e:  # A full disk, for one.
        raise OSError(f'{e}\nOnce that is put right, --resume goes on where '
                      'it was.') from e
  return processes.from_first(
      lambda: finish.finish(experiment, folder, whole, started))


def _hold_people(config, held) -> None:
  """Keeps other programs from asking the same people at the same time."""
  for seed in config.seeds:
    folder = annotators.folder_of(config, seed)
    folder.mkdir(parents=True, exist_ok=True)
    held.enter_context(owner.sole(folder))


def _look_at_answers(config, folder, held) -> None:
  """Ends at once where a run goes on waiting, and there is no more to do."""
  path = folder / workdir_lib.WAITING
  waiting = workdir_lib.waiting(folder)
  for seed in config.seeds:
    # Before a folder is made where there should be one with questions.
    if waiting.get('seed') == seed or workdir_lib.has_begun(folder, seed):
      annotators.check_asked(config, seed)
  _hold_people(config, held)
  # New labels, for one, have to be shown first.
  if waiting.get('seed') in config.seeds and isinstance(
      waiting.get('queries'), list) and workdir_lib.is_same(
          folder, config.to_dict()):
    annotators.look(config, waiting['seed'], waiting['queries'])
  path.unlink(missing_ok=True)


def _begin(experiment, config, folder, begun) -> None:
  """Writes what does not change."""
  items = identity.digests(experiment.encoded, experiment.pretrained)
  if begun is not None:
    items = identity.check(folder, items, config, begun.moved)
  else:
    states = config.get('states')
    if states is not None:
      workdir_lib.claim_states(states, folder)
    workdir_lib.claim(folder)
    workdir_lib.write(folder / workdir_lib.PROVENANCE, provenance.begin())
    states_lib.enter(states, folder)
  workdir_lib.write(folder / workdir_lib.ITEMS, items)
  if experiment.data.tokenizer is not None:
    if experiment.pretrained:
      experiment.data.tokenizer.save(folder / workdir_lib.PRETRAINED)
    else:
      durable.write(folder / workdir_lib.TOKENIZER,
                    experiment.data.tokenizer.to_str(pretty=True))
  # The last: with it, the experiment is begun.
  workdir_lib.write(folder / workdir_lib.CONFIG, config.to_dict())


def _or_end(work: Callable[[preemption.Notice], str]) -> str:
  """Does the work; ends the program where it can only go on later."""
  try:
    with preemption.heard(at_once=not processes.several()) as notice:
      return work(notice)
  except preemption.Preempted:
    program.say('Told to end: all is saved. --resume goes on.', sys.stderr)
    sys.exit(preemption.PREEMPTED)
  except KeyboardInterrupt:
    program.say('\nInterrupted: every finished round and every answer is saved.'
                ' --resume goes on, or begins.', sys.stderr)
    sys.exit(program.INTERRUPTED)
  except oracle_lib.Waiting as e:
    program.say(f'{e}\nGive --resume then. To check answers in a second, '
                'without taking them: python -m experiments.check_answers '
                f'--workdir={shlex.quote(folders.WORKDIR.value)}')
    sys.exit(WAITING)


def _work() -> str:
  said = _or_end(lambda notice: run(
      _no_sweep(configure()), folders.WORKDIR.value, folders.CACHE_DIR.value,
      overwrite=_OVERWRITE.value, resume=_RESUME.value, notice=notice))
  if not processes.is_first():
    return ''
  return said + f'\nWritten to {folders.WORKDIR.value}.'


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
    program.end_with(f'{program.in_words(e)} (--help tells of all flags)')
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
  # ml_collections reads the overrides there.
  sys.argv = argv
  try:
    positional = program.parsed(argv)
    _CONFIG.value.keys()  # Raises if the file could not be read.
  except SystemExit:  # --help
    program.say(f'\nvalues of {spec}:\n\n{explain.table(config)}')
    raise
  except BrokenPipeError:  # Nor may the help be read to its end.
    raise
  except Exception as e:  # ml_collections can raise anything.
    cause = config_file.in_words(e, config)
    program.end_with(f'{cause} (--help tells of all flags)')
  if _SHOW_CONFIG.value:
    program.say(explain.table(_CONFIG.value))
    sys.exit()
  return positional


if __name__ == '__main__':
  program.start(main, parse_flags)
