"""An experiment that was run before: its values, and where its data lie now."""

from collections.abc import Mapping, Sequence
import copy
import dataclasses
import functools
import os
import pathlib
from typing import Any

import ml_collections

from mmal_jax.config import paths
from mmal_jax.data import encode
from mmal_jax.data import schema
from mmal_jax.experiment import build as build_lib
from mmal_jax.experiment import check as check_lib
from mmal_jax.experiment import datasets
from mmal_jax.experiment import identity
from mmal_jax.experiment import pretrained as pretrained_lib
from mmal_jax.experiment import settings as settings_lib
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import saved_config


@dataclasses.dataclass(frozen=True)
class Earlier:
  """What an experiment was made of.

  Attributes:
    config: checked, with paths where they lie now.
    moved: dotted keys of the paths that are others than before.
  """

  config: ml_collections.ConfigDict
  moved: tuple[str, ...] = ()

  @functools.cached_property
  def settings(self) -> settings_lib.Settings:
    return settings_lib.of(self.config)

  def check_data(self) -> None:
    """Refuses data that are where they were no more, before they are read.

    Raises:
      ValueError: naming them, and the flag that says where they are.
    """
    try:
      paths.check_exist(self.config)
    except ValueError as e:
      raise ValueError(f'{e} Say where they lie now: --moved=KEY=PATH.') from e
    init = self.settings.init
    if init is not None and os.path.isabs(init) and not os.path.exists(init):
      raise ValueError(f'init={init!r} does not exist. Say where it lies now: '
                       '--moved=init=PATH.')

  def build(
      self, folder: pathlib.Path, cache_dir: str
  ) -> build_lib.Experiment:
    """The experiment, of the very data and checkpoint that it began with.

    Args:
      folder: of the experiment.
      cache_dir: of rendered datasets and warm starts.

    Raises:
      ValueError: as `build.build`, and if data or checkpoint are others now.
    """
    experiment = build_lib.build(self.config, cache_dir)
    identity.check(
        folder, identity.digests(experiment.encoded, experiment.pretrained),
        lambda: self.load_pretrained().params, self.moved)
    return experiment

  def load_pretrained(self, init: str | None = None) -> (
      pretrained_lib.Pretrained):
    """The checkpoint that runs started from.

    Args:
      init: where it lies, if not where it did.
    """
    config = self.config
    if init is not None:
      config = copy.deepcopy(config)
      config.init = init
    return pretrained_lib.load(config)

  def load(
      self, cache_dir: str, pretrained: pretrained_lib.Pretrained | None
  ) -> encode.EncodedDataset:
    """The data as the model takes them; see `datasets.load`."""
    return datasets.load(self.config, cache_dir, pretrained)

  def load_seen(self, cache_dir: str) -> schema.Dataset:
    """The data as people see them; see `datasets.load_seen`."""
    return datasets.load_seen(self.config, cache_dir)


def of_folder(
    folder: str | os.PathLike[str], moved: Sequence[str] = ()
) -> Earlier:
  """The experiment of a folder.

  Args:
    folder: of the experiment.
    moved: `KEY=PATH` each: where its data or checkpoint lie now.

  Raises:
    ValueError: if there is none, or it cannot be run.
  """
  path = pathlib.Path(folder) / workdir_lib.CONFIG
  if not path.exists():
    raise ValueError(
        f'workdir={str(folder)!r} holds no experiment: there is no '
        f'{workdir_lib.CONFIG}.')
  config = saved_config.read(path)
  try:
    return _prepared(config, moved)
  except ValueError as e:
    raise ValueError(f'{path}: {e}') from e


def of_fields(fields: Mapping[str, Any], moved: Sequence[str] = ()) -> Earlier:
  """As `of_folder`, of what its config's file holds."""
  return _prepared(saved_config.of_fields(fields), moved)


def _prepared(config, moved) -> Earlier:
  paths.move(config, moved)
  check_lib.check(config)
  return Earlier(config, tuple(paths.keys_of(moved)))
