"""An experiment from Python, as `mmal_jax.run`."""

from collections.abc import Callable
import copy
import os

import ml_collections

from mmal_jax.config import config as config_lib
from mmal_jax.config import paths
from mmal_jax.experiment import check
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
) -> str:
  """Runs an experiment: every strategy with every seed.

  Args:
    config: as the files in `experiments/configs` give it; it is not changed.
    workdir: folder of all that is written: metrics, queries, models, summary.
    cache_dir: of rendered datasets and warm starts; None for this user's.
    overwrite: replace the experiment that lies in `workdir`.
    resume: go on with the experiment in `workdir`, or begin it there.
    notify: takes lines about what is being done, as `print`; with one, a bar
      shows the rounds, too.

  Returns:
    The closing tables.

  Raises:
    ValueError: naming the value of the config that is refused, or if `workdir`
      holds anything else.
  """
  config = config_lib.complete(copy.deepcopy(config))
  check.check(config)
  paths.make_absolute(config)
  return run_lib.run(
      config, workdir,
      cache_folder.default() if cache_dir is None else os.fspath(cache_dir),
      overwrite=overwrite, resume=resume, notify=notify)
