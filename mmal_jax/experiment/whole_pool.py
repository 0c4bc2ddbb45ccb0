"""The reference row: the same learner where all of the pool is aligned."""

import pathlib
from typing import Any

from absl import logging
import numpy as np

from mmal_jax import loop
from mmal_jax.data import encode
from mmal_jax.experiment import build as build_lib
from mmal_jax.learn.gradient import divergence
from mmal_jax.parallel import processes
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import records_file


def is_asked_for(experiment: build_lib.Experiment) -> bool:
  """Whether the config wants the row, and all pairs are at hand to give it.

  They are not in a stream, in loose pools, or where people are asked.
  """
  settings = experiment.settings
  return bool(
      settings.whole_pool and not settings.annotators.are_people
      and settings.annotators.buffer is None
      and isinstance(experiment.data.pool, encode.EncodedPairs))


def of_seed(
    experiment: build_lib.Experiment, seed: int, folder: pathlib.Path
) -> dict[str, Any] | None:
  """Trains on all true pairs of a seed's pool, unless that was done.

  It reads what is hidden from every run, and writes nothing but its scores.

  Args:
    experiment: from `build.build`.
    seed: of the runs that it is compared with.
    folder: of the experiment.

  Returns:
    `seed`, `aligned` (how many pairs) and `scores`, percentages by metric; None
    where training diverged in a run that goes on all the same.
  """
  path = folder / workdir_lib.WHOLE_POOL
  known = processes.from_primary(lambda: {
      record['seed']: record for record in records_file.whole_pool(path)})
  if seed in known:
    return known[seed]
  settings = experiment.settings
  pools, hidden = settings.annotators.hide(experiment.data.pool, seed)
  try:
    scores = build_lib.align_whole_pool(experiment, pools, hidden, seed)
  except divergence.Diverged as e:
    if settings.divergence != loop.ROLL_BACK:
      raise
    logging.warning('No row of the whole pool, seed %d: %s', seed, e)
    return None
  aligned = int(np.sum((hidden.tuples >= 0).sum(axis=1) > 1))
  record = {'seed': seed, 'aligned': aligned, 'scores': scores}
  processes.from_primary(lambda: workdir_lib.append(path, record))
  return record
