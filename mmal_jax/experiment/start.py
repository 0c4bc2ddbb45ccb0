"""The start of an experiment: its config made ready, and its run."""

from collections.abc import Callable, Mapping, Sequence
import os
from typing import Any

import ml_collections

from mmal_jax.config import create
from mmal_jax.config import paths
from mmal_jax.experiment import budget as budget_lib
from mmal_jax.experiment import check as check_lib
from mmal_jax.experiment import run as run_lib
from mmal_jax.files import cache_folder


def run(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike[str],
    cache_dir: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    notify: Callable[[str], None] | None = None,
    log: Sequence[str] = (),
) -> str:
  """Runs an experiment from Python: every strategy with every seed.

  Args:
    config: as the files in `experiments/configs` give it; it is not changed.
    workdir: folder of all that is written: metrics, queries, models, summary.
    cache_dir: of rendered datasets and warm starts; None for this user's.
    overwrite: replace the experiment that lies in `workdir`.
    resume: go on with the experiment in `workdir`, or begin it there.
    notify: takes lines about what is being done, as `print`; with one, a bar
      shows the rounds, too.
    log: `tensorboard`, `wandb` or both: each round's results are written there,
      too, in the folder `logs` of `workdir`.

  Returns:
    The closing tables.

  Raises:
    ImportError: without the package of a log, naming the extra that brings it.
    ValueError: naming the value of the config that is refused, or if `workdir`
      holds anything else.
  """
  return run_lib.run(
      override(config, {}), workdir,
      cache_folder.default() if cache_dir is None else os.fspath(cache_dir),
      overwrite=overwrite, resume=resume, notify=notify, log=log)


def override(
    config: ml_collections.ConfigDict,
    values: Mapping[str, Any],
    budget: int | None = None,
) -> ml_collections.ConfigDict:
  """Replaces values of a config.

  Args:
    config: complete or not; it is not changed.
    values: by dotted key; None leaves what the config says. Paths are not
      expanded any more.
    budget: annotations in all, in place of rounds.

  Returns:
    The config, complete, checked, and with absolute paths.

  Raises:
    ValueError: if a value is refused, or two contradict one another.
  """
  given = {key: value for key, value in values.items() if value is not None}
  config = create.config_of(config, **{
      key: paths.escape(value) if key in paths.OTHERS else value
      for key, value in given.items()})
  check_lib.check(config)
  if budget is not None:
    config.rounds = budget_lib.rounds(
        budget, config.batch, given.get('rounds'))
  paths.make_absolute(config)
  return config


def seeds(texts: Sequence[str] | None) -> tuple[int, ...] | None:
  """Seeds as a user wrote them; None where none are given.

  >>> seeds(['0', '7'])
  (0, 7)

  Raises:
    ValueError: if one is no integer from 0 on.
  """
  if texts is None:
    return None
  if not all(text.strip().isdecimal() for text in texts):
    raise ValueError(f'seeds={",".join(texts)!r} must be integers from 0 on, '
                     'with commas between them.')
  return tuple(map(int, texts))
