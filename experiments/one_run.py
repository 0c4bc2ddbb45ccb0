"""One strategy with one seed, from where it was stopped on."""

import pathlib
import time
from typing import Any

import numpy as np
import tqdm

from experiments import build as build_lib
from experiments import compilations
from experiments import preemption
from experiments import workdir as workdir_lib
from mmal_jax import checkpoint
from mmal_jax import checkpoints
from mmal_jax import state as state_lib
from mmal_jax.align import journal as journal_lib
from mmal_jax.evaluate import evaluate
from mmal_jax.train import average


def run_one(
    experiment: build_lib.Experiment,
    strategy: str,
    seed: int,
    folder: pathlib.Path,
    bar: tqdm.tqdm,
    counter: compilations.CompilationCounter,
    notice: preemption.Notice,
    x: str = 'annotations',
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """Runs one strategy with one seed, and leaves behind how to go on.

  A round's answers are in its journal before they are used, its records in
  their files before its state is a checkpoint: so what is computed again after
  a crash is told the same, and records what is not there yet.

  Args:
    experiment: from `build.build`.
    strategy: its name.
    seed: of the run.
    folder: of the experiment, where a part of the run may lie.
    bar: of progress, a step a round.
    counter: of compiled programs.
    notice: of the end of the machine, heeded after every round.
    x: what to return: `annotations` or `cost`.

  Returns:
    Annotations (or cost) after each round, and by metric the scores there.

  Raises:
    preemption.Preempted: if the program was told to end.
  """
  pools, _, oracle = build_lib.annotators_of(experiment, seed, strategy)
  # In their order: what comes from a checkpoint is in another.
  metrics = evaluate.metric_names(experiment.data.test)
  headline = evaluate.headline(metrics)
  run = {'strategy': strategy, 'seed': seed}
  kept = checkpoints.Checkpoints(
      workdir_lib.state_path(folder, strategy, seed))
  state = build_lib.initial_state(experiment, pools.sizes, seed)
  found = kept.newest(state)
  if found is not None:
    _, state = found
  bar.update(int(state.round))
  points = [line[x] for line in workdir_lib.keep_until(
      folder, run, -1 if found is None else int(state.round))]
  path = workdir_lib.journal_path(folder, strategy, seed)
  path.parent.mkdir(exist_ok=True)
  journal = journal_lib.Journal(path, oracle, tuple(pools.sizes))
  journal.begin(int(state.round))
  rates = {}  # of the round's embedding, items a second by modality

  def report(modality, items, seconds):
    rates[modality] = items / seconds

  undone = []  # Why, of a round whose training was.
  compiled, started = counter.count, time.perf_counter()
  try:
    for state in build_lib.rounds(
        experiment, strategy, pools, journal, state, report, undone.append):
      t = int(state.round)
      scores = {name: float(state.scores[name][t]) for name in metrics}
      record = run | {
          'round': t, 'annotations': state.annotations, 'cost': state.spent,
          'aligned': state.num_aligned, 'scores': scores}
      points.append(record[x])
      if t:
        workdir_lib.append(
            folder / workdir_lib.QUERIES, run | _asked(state, t - 1))
        record['loss'] = state.losses[t - 1]
        record['embedded_per_second'] = dict(rates)
        rates.clear()
        if undone:
          record['diverged'] = undone.pop()
        bar.update()
      workdir_lib.append(folder / workdir_lib.METRICS, record | {
          'seconds': time.perf_counter() - started,
          'compilations': counter.count - compiled})
      kept.save(t, state)
      journal.begin(t)
      bar.set_postfix_str(
          f'{strategy}, seed {seed}, round {t}, {state.annotations} '
          f'annotations, {headline} {scores[headline]:.1f} %')
      compiled, started = counter.count, time.perf_counter()
      notice.heed()
  finally:
    kept.wait()
  model = workdir_lib.model_path(folder, strategy, seed)
  if experiment.pretrained is not None and not model.exists():
    # For `experiments.export`.
    checkpoint.save(model, average.averaged(state.params, state.opt_state))
  return np.array(points), {name: state.scores[name] for name in metrics}


def _asked(state: state_lib.RunState, t: int) -> dict[str, Any]:
  """A record of what was asked in a round, and answered by its end."""
  there = state.queries[t] >= 0
  columns, numbers = state.query_modalities[t, there], state.queries[t, there]
  return {
      'round': t + 1,
      'asked': [[state.modalities[c], n] for c, n in zip(columns, numbers)],
      'answers': state.answers[t, there]}
