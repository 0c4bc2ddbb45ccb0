"""A whole experiment: every strategy with every seed, written to a workdir.

Every strategy gets the same warm start, first batch and training budget.
"""

from collections.abc import Callable, Sequence
import contextlib
import os
import pathlib
import time
from typing import Any

import tqdm

from mmal_jax.analysis import records
from mmal_jax.checkpoint import pytrees
from mmal_jax.config import config as config_lib
from mmal_jax.config import sections
from mmal_jax.experiment import build as build_lib
from mmal_jax.experiment import compilations
from mmal_jax.experiment import finish
from mmal_jax.experiment import identity
from mmal_jax.experiment import live_logs
from mmal_jax.experiment import one_run
from mmal_jax.experiment import preemption
from mmal_jax.experiment import pretrained as pretrained_lib
from mmal_jax.experiment import profiles
from mmal_jax.experiment import settings as settings_lib
from mmal_jax.experiment import whole_pool
from mmal_jax.files import buckets
from mmal_jax.files import durable
from mmal_jax.files import lock
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.parallel import processes
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import mirror as mirror_lib
from mmal_jax.workdir import provenance
from mmal_jax.workdir import states as states_lib


def run(
    config: Any,
    workdir: str | os.PathLike[str],
    cache_dir: str,
    *,
    overwrite: bool = False,
    resume: bool = False,
    experiment: build_lib.Experiment | None = None,
    notify: Callable[[str], None] | None = None,
    notice: preemption.Notice | None = None,
    profile: int | None = None,
    log: Sequence[str] = (),
) -> str:
  """Runs the whole experiment; returns the closing tables.

  Args:
    config: checked.
    workdir: where all is written.
    cache_dir: of rendered datasets and warm starts.
    overwrite: replace the experiment that lies in `workdir`.
    resume: continue an unfinished one.
    experiment: what `build.build` would make of the config, if it is at hand.
    notify: takes lines for the user, about what is being done; with one, a
      bar shows the rounds, too.
    notice: of the end of the machine, if there is a listener.
    profile: number of a round that is traced for XProf, in `workdir`, of the
      run that computes it first.
    log: names of `live_logs.LOGS` that are written beside the records.

  Raises:
    ImportError: without the package of a log.
    preemption.Preempted: if SIGTERM asked the program to end.
  """
  config = config_lib.complete(config)
  profiles.check(profile, config.rounds)
  processes.from_primary(lambda: live_logs.check(log))
  processes.check_same((
      config.to_dict(), overwrite, resume, profile,
      # With a mirror, each host has a workdir of its own.
      str(workdir) if config.mirror is None else None))
  buckets.see_changes_of_others()
  with contextlib.ExitStack() as held:
    def take():
      workdir_lib.check(workdir, overwrite=overwrite, resume=resume)
      pytrees.check_path(workdir)
      looks = lock.look(_locked_by(config, workdir))
      held.enter_context(lock.exclusive(workdir, looks=looks))
      # Another program may just have left it.
      workdir_lib.check(workdir, overwrite=overwrite, resume=resume)
      return looks

    looks = processes.at_primary(take)
    return _run(config, workdir, cache_dir, overwrite, resume, experiment,
                notify if processes.is_primary() else None,
                notice or preemption.Notice(), held, looks, profile, log)


def _locked_by(config, workdir) -> list[str | os.PathLike[str]]:
  """The local folders that a run locks."""
  states = workdir_lib.states_of(config.states, config.mirror)
  annotators = settings_lib.annotators_of(config)
  return [workdir, *(
      path for path in (config.mirror, states)
      if path is not None and states_lib.is_local(path)
  ), *((annotators.folder_of(seed) for seed in config.seeds)
       if annotators.are_people else ())]


def _run(
    config, workdir, cache_dir, overwrite, resume, experiment, notify, notice,
    held, looks, profile, log
) -> str:
  """As `run`, in a locked folder; `held` collects further locks.

  How those looked in the first place is in `looks`, of the primary.
  """
  started = time.perf_counter()
  folder = pathlib.Path(workdir)
  mirror = processes.at_primary(
      lambda: mirror_lib.opened(config, folder, overwrite, held, looks))
  # An empty workdir goes on from what lies there.
  resume = resume or not overwrite and processes.from_primary(
      lambda: mirror is not None and mirror.begun)
  if resume and config.batch is None:
    with config.unlocked():
      config.batch = processes.from_primary(
          lambda: workdir_lib.batch_of(workdir))
  begun = processes.from_primary(lambda: workdir_lib.resume(
      workdir, config.to_dict()) if resume else None)
  if begun is not None:
    processes.from_primary(lambda: provenance.check(folder))
  processes.from_primary(lambda: held.enter_context(
      states_lib.locked(
          workdir_lib.states_of(config.states, config.mirror), folder,
          begun is not None, config.states is None, looks)))
  annotators = settings_lib.annotators_of(config)
  if annotators.are_people and begun is not None:
    processes.from_primary(
        lambda: _look_at_answers(
            config, annotators, folder, held, looks))
  counter = compilations.CompilationCounter()
  quiet, notify = notify is None, notify or (lambda line: None)
  for line in () if mirror is None else mirror.said:
    notify(line)
  notify('Preparing data and warm start ...')
  if experiment is None:
    experiment = build_lib.build(config, cache_dir, notice=notice)
  if config.batch is None:
    notify(f'batch={experiment.config.batch}: half of the pool over '
           f'{config.rounds} rounds, at most {sections.LARGEST_DEFAULT_BATCH}. '
           '--batch gives another.')
  config = experiment.config
  if annotators.are_people and begun is None:
    processes.from_primary(lambda: _hold_people(
        config, annotators, held, looks))
  # Not before: what was refused up to here has cost no earlier result.
  processes.from_primary(lambda: _begin(
      experiment, config, folder, begun, mirror))
  live = processes.at_primary(lambda: held.enter_context(live_logs.LiveLogs(
      log, folder, config.to_dict())) if log else None)
  if begun is not None and begun.moved:
    notify(f'{", ".join(begun.moved)}: elsewhere than when the run was begun; '
           'what lies there is the same.')
  reference, whole = whole_pool.is_asked_for(experiment), []
  total = len(config.seeds) * (
      len(config.strategies) * config.rounds + reference)
  with tqdm.tqdm(total=total, unit='round', dynamic_ncols=True,
                 disable=quiet) as bar:
    def beside(line):
      with bar.external_write_mode():
        notify(line)

    trace = None if profile is None else profiles.Profile(
        profile, folder / workdir_lib.PROFILE, beside)
    for seed in config.seeds:
      first = {}  # The round that all strategies of a seed have in common.
      try:
        for strategy in config.strategies:
          one_run.run_one(
              experiment, strategy, seed, folder, bar, counter, notice, first,
              mirror, trace, live)
        if reference:
          found = whole_pool.of_seed(experiment, seed, folder)
          whole += [found] if found else []
          bar.update()
          notice.raise_if_given()
      except oracle_lib.Waiting as e:
        waiting = {'seed': seed, 'queries': e.queries}
        processes.from_primary(lambda: _wait(folder, waiting, mirror))
        raise
      except OSError as e:  # A full disk, for one.
        raise buckets.retold(
            e, f'{e}\nOnce that is put right, --resume goes on where it was.',
            folder) from e
    if trace is not None:
      trace.close()

  def end():
    tables = finish.finish(
        experiment, folder, whole, started, records.axis([config]))
    if mirror is not None:
      mirror.copy()
    return tables

  return processes.from_primary(end)


def _wait(folder, waiting, mirror) -> None:
  """Leaves behind for what a run waits."""
  workdir_lib.write(folder / workdir_lib.WAITING, waiting)
  if mirror is not None:
    mirror.copy()


def _hold_people(config, annotators, held, looks) -> None:
  """Keeps other programs from asking the same people at the same time."""
  for seed in config.seeds:
    folder = annotators.folder_of(seed)
    folder.mkdir(parents=True, exist_ok=True)
    held.enter_context(lock.exclusive(folder, looks=looks))


def _look_at_answers(config, annotators, folder, held, looks) -> None:
  """Ends at once where a run goes on waiting, and there is no more to do."""
  path = folder / workdir_lib.WAITING
  waiting = workdir_lib.waiting(folder)
  for seed in config.seeds:
    # Before a folder is made where there should be one with questions.
    if waiting.get('seed') == seed or workdir_lib.has_begun(folder, seed):
      annotators.check_asked(seed)
  _hold_people(config, annotators, held, looks)
  # New labels, for one, have to be shown first.
  if waiting.get('seed') in config.seeds and isinstance(
      waiting.get('queries'), list) and workdir_lib.is_same(
          folder, config.to_dict()):
    annotators.look(waiting['seed'], waiting['queries'])
  path.unlink(missing_ok=True)


def _begin(experiment, config, folder, begun, mirror) -> None:
  """Writes what does not change."""
  items = identity.digests(experiment.encoded, experiment.pretrained)
  if begun is not None:
    items = identity.check(
        folder, items, lambda: pretrained_lib.load(config).params, begun.moved)
  else:
    states = workdir_lib.states_of(config.states, config.mirror)
    if mirror is not None:
      mirror.make_room(states)
    if states is not None:
      workdir_lib.claim_states(states, folder)
    if mirror is not None:
      mirror.clear()
    workdir_lib.claim(folder)
    workdir_lib.write(folder / workdir_lib.PROVENANCE, provenance.begin())
    states_lib.enter(states, folder)
  workdir_lib.write(folder / workdir_lib.ITEMS, items)
  if experiment.data.tokenizer is not None:
    _write_tokenizer(experiment, folder)
  # The last: with it, the experiment is begun.
  workdir_lib.write(folder / workdir_lib.CONFIG, config.to_dict())
  if mirror is not None:
    mirror.copy()


def _write_tokenizer(experiment, folder) -> None:
  """Writes what texts are read by, never to where a link leads."""
  tokenizer = experiment.data.tokenizer
  if not experiment.pretrained:
    durable.write(folder / workdir_lib.TOKENIZER, tokenizer.to_str(pretty=True))
    return
  path = folder / workdir_lib.PRETRAINED
  if path.is_symlink():
    path.unlink()
  tokenizer.save(path)
