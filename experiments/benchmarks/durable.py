"""What it costs that a run loses nothing: journal, records and checkpoints."""

import pathlib
import tempfile
import time

import tqdm

from experiments import common_flags
from experiments.benchmarks import result
from experiments.benchmarks import timing
from experiments.configs import colorswap
from mmal_jax.experiment import build as build_lib
from mmal_jax.experiment import check
from mmal_jax.experiment import compilations
from mmal_jax.experiment import one_run
from mmal_jax.experiment import preemption
from mmal_jax.workdir import layout
from mmal_jax.workdir import provenance

_CACHE_DIR, = common_flags.take('cache_dir')
_STRATEGY, _SEED = 'mmal', 0
# Runs of each, in turn, after one of each to warm up.
_PAIRS = 3


def run(small: bool) -> result.Result:
  """Seconds of the default experiment's rounds, kept and not kept."""
  config = colorswap.get_config()
  config.seeds, config.rounds = (_SEED,), 3
  if small:
    config.rounds, config.batch, config.train.steps_per_round = 1, 4, 1
    config.dataset.pretrain, config.dataset.pool = 60, 40
    config.dataset.test, config.warm_start.steps = 10, 2
    config.model.width, config.model.depth = 16, 1
  check.check(config)
  with tempfile.TemporaryDirectory() as folder:
    experiment = build_lib.build(
        config, folder if small else _CACHE_DIR.value)
    seconds = {_kept: [], _not_kept: []}
    for pair in range(1 + (1 if small else _PAIRS)):
      for work, of_it in seconds.items():
        started = time.perf_counter()
        work(experiment)
        if pair:  # The first is to warm up.
          of_it.append(time.perf_counter() - started)
  kept, bare = (timing.Seconds(min(s), s) for s in seconds.values())
  rounds = config.rounds
  pairs = [a / b for a, b in zip(kept.all, bare.all)]
  return result.Result(
      'durable',
      [f'{rounds} rounds, kept', 'not kept', 'kept / not kept',
       'lowest of the pairs', 'highest'],
      [[kept, bare, kept.best / bare.best, min(pairs), max(pairs)]], [
          f'The default experiment, strategy {_STRATEGY}, seed {_SEED}, '
          f'{rounds} rounds of {config.batch}, after the warm start.',
          'Kept: every answer in the journal, every round in the records, '
          'every state a sealed checkpoint, all of it on the disk at the end. '
          'Not kept: the same rounds, of which nothing is written.',
          timing.NOTE])


def _kept(experiment) -> None:
  with tempfile.TemporaryDirectory() as folder:
    layout.write(pathlib.Path(folder) / layout.PROVENANCE, provenance.begin())
    with tqdm.tqdm(disable=True) as bar:
      one_run.run_one(
          experiment, _STRATEGY, _SEED, pathlib.Path(folder), bar,
          compilations.CompilationCounter(), preemption.Notice())


def _not_kept(experiment) -> None:
  pools, _, oracle = build_lib.annotators_of(experiment, _SEED)
  state = build_lib.initial_state(experiment, pools.sizes, _SEED)
  for _ in build_lib.rounds(experiment, _STRATEGY, pools, oracle, state):
    pass
