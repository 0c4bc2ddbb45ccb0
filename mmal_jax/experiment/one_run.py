"""One strategy with one seed, from where it was stopped on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import functools
import pathlib
import time
from typing import Any

from absl import logging
from etils import epath
import jax
import numpy as np
import tqdm

from mmal_jax import state as state_lib
from mmal_jax.checkpoint import newest
from mmal_jax.checkpoint import pytrees
from mmal_jax.evaluate import evaluate
from mmal_jax.experiment import build as build_lib
from mmal_jax.experiment import compilations
from mmal_jax.experiment import live_logs
from mmal_jax.experiment import matches as matches_lib
from mmal_jax.experiment import preemption
from mmal_jax.experiment import profiles
from mmal_jax.experiment import within_round
from mmal_jax.files import seals
from mmal_jax.oracles import journal as journal_lib
from mmal_jax.oracles import oracle as oracle_lib
from mmal_jax.oracles import shared
from mmal_jax.parallel import processes
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import mirror as mirror_lib
from mmal_jax.workdir import provenance

# Of the answers that name counterparts, and of how well they are predicted
# (1 is chance), from which on no warning is due.
_LEAST_ALIGNED, _LEAST_SKILL = 20, 1.5
# What is to be looked at then, of features.
_ROWS = ('Is row i of each modality of one item, and are the answers right? '
         '(Rows of experiments.embed go by image.txt.)')


def run_one(
    experiment: build_lib.Experiment,
    strategy: str,
    seed: int,
    folder: pathlib.Path,
    bar: tqdm.tqdm,
    counter: compilations.CompilationCounter,
    notice: preemption.Notice,
    first: dict[int, state_lib.RunState] | None = None,
    mirror: mirror_lib.Mirror | None = None,
    profile: profiles.Profile | None = None,
    live: live_logs.LiveLogs | None = None,
) -> None:
  """Runs one strategy with one seed, and leaves behind how to go on.

  A round's answers are in its journal before they are used, its records in
  their files before its state is a checkpoint: so what is computed again after
  a crash gets the same answers, and records what is not there yet.

  Of several processes all call it; the first keeps journal and records.

  Args:
    experiment: from `build.build`.
    strategy: its name.
    seed: of the run.
    folder: of the experiment, where a part of the run may lie.
    bar: of progress, a step a round.
    counter: of compiled programs.
    notice: of the end of the machine, checked after every round.
    first: by round, the states up to the first answers of another strategy with
      this seed. They are the same for all; if it is empty, they are put there.
    mirror: of the folder, where there is one; None but in the first process.
    profile: of a round, if one is to be traced.
    live: logs of the experiment, where there are any; None but there, too.

  Raises:
    preemption.Preempted: if SIGTERM asked the program to end.
  """
  settings = experiment.settings
  pools, hidden = settings.annotators.hide(experiment.data.pool, seed)
  # In their order: what comes from a checkpoint is in another.
  metrics = evaluate.metric_names(experiment.data.test)
  headline = evaluate.headline(metrics)
  run = {'strategy': strategy, 'seed': seed}
  names = processes.from_primary(
      lambda: provenance.of_run(folder, strategy, seed))
  states = workdir_lib.state_path(folder, strategy, seed, settings.states)
  kept = newest.Checkpoints(
      states, run=names, before_seal=mirror and mirror.copy)
  state = build_lib.initial_state(experiment, pools.sizes, seed)
  with preemption.deferred():
    found = kept.newest(state, build_lib.round_of)
  last = -1
  if found is not None:
    last, state = found
    kept.drop_within(last)
  bar.update(int(state.round))
  if found is None and processes.from_primary(
      lambda: workdir_lib.has_rounds(folder, run)):
    logging.warning(
        '%s, seed %d: there is no state in %s of the rounds that are recorded: '
        'they are computed again, with the answers in the journal.', strategy,
        seed, states)
  processes.from_primary(lambda: _check_records(
      state, workdir_lib.keep_until(folder, run, last),
      folder / workdir_lib.METRICS))

  def open_journal():
    if live is not None:
      live.begin(run)
    path = workdir_lib.journal_path(folder, strategy, seed)
    path.parent.mkdir(exist_ok=True)
    oracle = settings.annotators.oracle(
        pools, hidden, seed, experiment.load_seen)
    opened = journal_lib.Journal(
        path, oracle, tuple(pools.sizes), names,
        mirror and functools.partial(mirror.copy_journal, path))
    journal_lib.check_used(path, journal_lib.read(path), _used(state))
    return opened

  journal = processes.at_primary(open_journal)

  def begin(t):
    if journal is not None:
      journal.begin(t)

  begin(int(state.round))
  rates = {}  # of the round's embedding, items a second by modality

  def report(modality, items, seconds):
    rates[modality] = items / seconds

  def write(t, record):
    if t:
      workdir_lib.append(
          folder / workdir_lib.QUERIES, run | _asked(state, t - 1))
    workdir_lib.append(folder / workdir_lib.METRICS, record)
    if live is not None:
      live.write(record)

  def checkpointer(t):
    return within_round.Checkpointer(
        kept.within(t), settings.save_every, notice)

  def compute(state):
    states = build_lib.rounds(
        experiment, strategy, pools, oracle, state, report, undone.append,
        checkpointer)
    return states if profile is None else profile.watched(
        states, f'{strategy}-seed{seed}',
        0 if _is_fresh(state) else int(state.round) + 1)

  undone = []  # Why, of a round whose training was.
  compiled, started = counter.count, time.perf_counter()
  try:
    oracle = shared.shared(journal, notice.raise_if_given)
    for state in _from_first(
        first if _may_share(experiment) else None, oracle, state, compute):
      t = int(state.round)
      scores = {name: float(state.scores[name][t]) for name in metrics}
      record = run | {
          'round': t, 'annotations': state.annotations, 'cost': state.spent,
          'aligned': state.num_aligned, 'scores': scores}
      if t:
        record['loss'] = state.losses[t - 1]
        record['skill'] = state.skills[t - 1]
        record['embedded_per_second'] = dict(rates)
        rates.clear()
        if undone:
          record['diverged'] = undone.pop()
        bar.update()
      record |= {'seconds': time.perf_counter() - started,
                 'compilations': counter.count - compiled}
      processes.from_primary(lambda: write(t, record))
      with preemption.deferred():
        kept.save(t, state)
      begin(t)
      bar.set_postfix_str(
          f'{strategy}, seed {seed}, round {t}, {state.annotations} '
          f'annotations, {headline} {scores[headline]:.1f} %')
      compiled, started = counter.count, time.perf_counter()
      notice.raise_if_given()
  except jax.errors.JaxRuntimeError:
    # Another process may have gone: the checkpoint would wait for its part.
    raise
  except BaseException as e:
    # What is not raised in all processes would wait for the others for ever.
    if processes.are_several() and not isinstance(
        e, (preemption.Preempted, oracle_lib.Waiting)):
      raise
    kept.wait()
    raise
  with preemption.deferred():
    kept.wait()
  if processes.is_primary():
    _warn_of_chance(state, strategy, seed, settings.dataset)
  matches_lib.write(
      experiment, state, pools, hidden, strategy, seed, folder)
  if experiment.pretrained is not None:
    # For `experiments.export`.
    model = workdir_lib.model_path(folder, strategy, seed, settings.mirror)
    with preemption.deferred():
      if not processes.from_primary(lambda: _is_saved(model, names)):
        pytrees.save(model, experiment.learner.encoder(
            state.params, state.learner_state))
        processes.from_primary(lambda: seals.write(model, names))


def _is_saved(model: epath.Path, run: Mapping[str, str | int]) -> bool:
  """Whether a run's last parameters are there as they were saved."""
  if not model.exists():
    return False
  wrong = seals.wrong_with(
      model, run, what='parameters', remedy='Put those of this very run there, '
      'or move them away: --resume writes them again.')
  if wrong is not None:
    seals.quarantine(model, f'The model of {model.name}', wrong)
  return wrong is None


def _warn_of_chance(
    state: state_lib.RunState, strategy: str, seed: int, dataset: str
) -> None:
  """Says where answers that were held out are not predicted by the others."""
  skill = float(state.skills[-1]) if len(state.skills) else np.nan
  if state.num_aligned >= _LEAST_ALIGNED and skill < _LEAST_SKILL:
    logging.warning(
        '%s, seed %d: after %d answers, those held out are predicted hardly '
        'better than by chance. %s', strategy, seed, state.num_aligned,
        _ROWS if dataset == 'features' else
        'Are the pairs, or the answers, right?')


def _may_share(experiment) -> bool:
  """Whether a first round can serve several strategies.

  People and annotators that err answer each by itself, and the states of a
  published model would fill the device.
  """
  return experiment.settings.annotators.repeat and (
      experiment.pretrained is None)


def _from_first(
    first: dict[int, state_lib.RunState] | None,
    oracle: oracle_lib.Oracle,
    state: state_lib.RunState,
    rounds: Callable[[state_lib.RunState], Iterator[state_lib.RunState]],
) -> Iterator[state_lib.RunState]:
  """All states of a run, the first ones of another strategy if they are there.

  The first batch is drawn at random, by the seed alone. The oracle answers it
  again: it keeps a journal for every run.
  """
  if first and _is_fresh(state) and first.keys() == {0, 1}:
    yield first[0]
    state = first[1]
    for column, modality in enumerate(state.modalities):
      mine = state.query_modalities[0] == column
      if mine.any():
        oracle(modality, state.queries[0, mine], None)
    yield state
  for state in rounds(state):
    # Where training was undone, the record says so: of its own run.
    if first is not None and (
        not state.round or state.round == 1 and np.isfinite(state.losses[0])):
      first.setdefault(int(state.round), state)
    yield state


def _is_fresh(state: state_lib.RunState) -> bool:
  """Whether nothing has been evaluated yet."""
  return all(np.isnan(curve[0]) for curve in state.scores.values())


def _used(
    state: state_lib.RunState
) -> dict[tuple[str, int], tuple[int, ...]]:
  """By modality and number of the item, the answers that a state has used."""
  return {(state.modalities[state.query_modalities[where]],
           int(state.queries[where])): tuple(state.answers[where].tolist())
          for where in zip(*np.nonzero(state.answered))}


def _check_records(
    state: state_lib.RunState, metrics: Sequence[Mapping[str, Any]],
    path: pathlib.Path,
) -> None:
  """Refuses records that say something else than the state of their run.

  Raises:
    ValueError: naming the first round that does.
  """
  for record in metrics:
    t = record['round']
    if record['scores'] != {name: float(curve[t])
                            for name, curve in state.scores.items()}:
      raise ValueError(
          f'{path} has other scores of round {t} than the last state of the '
          'run: one of the two is of another run, or was changed.')


def _asked(state: state_lib.RunState, t: int) -> dict[str, Any]:
  """A record of what was asked in a round, and answered by its end."""
  there = state.queries[t] >= 0
  columns, numbers = state.query_modalities[t, there], state.queries[t, there]
  return {
      'round': t + 1,
      'asked': [[state.modalities[c], n] for c, n in zip(columns, numbers)],
      'answers': state.answers[t, there]}
