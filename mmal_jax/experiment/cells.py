"""The cells of a sweep: what they are, and one run of each."""

from collections.abc import Mapping, Sequence
import copy
import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
from typing import Any, NamedTuple

import ml_collections

from mmal_jax.config import config as config_lib
from mmal_jax.config import differences
from mmal_jax.config import explain
from mmal_jax.config import keys
from mmal_jax.config import paths
from mmal_jax.experiment import build as build_lib
from mmal_jax.experiment import check as check_lib
from mmal_jax.experiment import preemption
from mmal_jax.experiment import run as run_lib
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import plan
from mmal_jax.workdir import saved_config

_PROGRAM = 'experiments.run'  # runs a cell in a process of its own


class Cell(NamedTuple):
  """An experiment of one strategy and one seed.

  Attributes:
    name: of its folder.
    config: of its run.
  """

  name: str
  config: ml_collections.ConfigDict


def parse(values: Sequence[str]) -> dict[str, list[str]]:
  """Values by config key, of `KEY=VALUE,VALUE` each.

  >>> parse(['train.shift=0,2', 'rounds+batch=2+10,4+5'])
  {'train.shift': ['0', '2'], 'rounds+batch': ['2+10', '4+5']}

  Raises:
    ValueError: if one is written otherwise, or a key is there twice.
  """
  settings = {}
  for value in values:
    key, _, options = value.partition('=')
    if not key or not options or key in settings:
      raise ValueError(f'set={value!r} must be written as KEY=VALUE,VALUE, and '
                       'no key twice.')
    if key in ('strategies', 'seeds'):
      raise ValueError(f'set={value!r}: use --{key}.')
    settings[key] = options.split(',')
  return settings


def shard(text: str) -> tuple[int, int]:
  """Which cells are run, of `I/N`.

  >>> shard('0/2')
  (0, 2)

  Raises:
    ValueError: if it is written otherwise.
  """
  first, slash, count = text.partition('/')
  if not (slash and first.isdecimal() and count.isdecimal()
          and int(first) < int(count)):
    raise ValueError(f'shard={text!r} must be I/N with 0 <= I < N.')
  return int(first), int(count)


def product(
    config: ml_collections.ConfigDict, settings: Mapping[str, Sequence[str]]
) -> list[Cell]:
  """All cells: settings, then seeds, then strategies.

  Args:
    config: with all strategies and seeds; its paths are absolute.
    settings: values by config key, as written; of several keys that change
      together, with + between them, several values with + between them.

  Raises:
    ValueError: if a key is not in the config, a value is of another kind or
      refused, or two cells are the same.
  """
  cells, config = {}, config_lib.complete(config)
  for values in itertools.product(*settings.values()):
    changed = copy.deepcopy(config)  # The constructor shares sections.
    with changed.unlocked():
      changed.sweep = ()
      changed.whole_pool = False  # Every cell would train it again.
    paths.escape_all(changed)  # The paths in settings are as a user wrote them.
    texts = [f'{key}={differences.as_text(_put(changed, key, value))}'
             for keys, together in zip(settings, values)
             for key, value in plan.apart(keys, together)]
    for seed, strategy in itertools.product(config.seeds, config.strategies):
      name = plan.name(strategy, texts, seed)
      if name in cells:
        raise ValueError(f'the sweep has {name} twice.')
      one = copy.deepcopy(changed)
      one.strategies, one.seeds = (strategy,), (seed,)
      one = config_lib.complete(one)  # Of another dataset, for one.
      check_lib.check(one)
      paths.make_absolute(one)
      cells[name] = Cell(name, one)
  return list(cells.values())


def is_finished(folder: pathlib.Path) -> bool:
  """Whether a cell's folder holds all that it will ever hold."""
  return (folder / workdir_lib.SUMMARY).exists()


def run_here(
    cell: Cell,
    folder: pathlib.Path,
    cache_dir: str,
    before: build_lib.Experiment | None,
    notice: preemption.Notice | None = None,
) -> build_lib.Experiment:
  """Runs a cell in this process.

  Args:
    cell: to run.
    folder: to write to; a run that was stopped there is resumed.
    cache_dir: of rendered datasets and warm starts.
    before: of the cell before; what is the same is used again.
    notice: as for `run.run`.

  Returns:
    This cell's experiment.
  """
  experiment = build_lib.build(cell.config, cache_dir, before, notice)
  run_lib.run(
      cell.config, folder, cache_dir, resume=True, experiment=experiment,
      notice=notice)
  return experiment


def run_apart(
    cell: Cell, folder: pathlib.Path, cache_dir: str, stopped: threading.Event
) -> None:
  """Runs a cell in a process of its own, which ends if this one is stopped.

  Args:
    cell: to run.
    folder: to write to.
    cache_dir: of rendered datasets and warm starts.
    stopped: set before `stop` is called.

  Raises:
    RuntimeError: if it fails, with its message.
  """
  with tempfile.TemporaryDirectory() as scratch:
    path = pathlib.Path(scratch) / workdir_lib.CONFIG
    workdir_lib.write(path, cell.config.to_dict())
    process = subprocess.Popen(
        [sys.executable, '-m', _PROGRAM,
         *(f'--{name}={paths.escape(str(given))}' for name, given in (
             ('config', f'{saved_config.__file__}:{path}'), ('workdir', folder),
             ('cache_dir', cache_dir))), '--resume'],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _RUNNING.add(process)
    if stopped.is_set():  # `stop` may have come before it was one of them.
      process.terminate()
    try:
      _, message = process.communicate()
    finally:
      _RUNNING.discard(process)
  if process.returncode:
    # A refusal may list many problems; a stack ends with what went wrong.
    refusal = re.search(r'^error: (.*)', message.strip(), re.M | re.S)
    last = message.strip().splitlines()[-1:] or ['it said nothing']
    raise RuntimeError(f'ended with {process.returncode}: '
                       f'{refusal[1] if refusal else last[0]}')


_RUNNING: set[subprocess.Popen] = set()


def stop() -> None:
  """Ends all processes of `run_apart`."""
  for process in list(_RUNNING):
    process.terminate()


def shared(
    config: ml_collections.ConfigDict, sections: Sequence[str]
) -> str:
  """The sections as text, to check whether two configs agree in them."""
  whole = config.to_dict()
  return json.dumps([whole.get(section) for section in sections])


def _put(config: ml_collections.ConfigDict, key: str, text: str) -> Any:
  """Sets one value, and returns what it has become."""
  try:
    keys.check(config, key)
  except ValueError as e:
    raise ValueError(f'set={key}={text}: {e}') from e
  *sections, name = key.split('.')
  part = config
  for section in sections:
    part = part[section]
  value = plan.value(text)
  try:
    part[name] = value
  except TypeError as e:
    kind = f'of the type {type(part[name]).__name__}'
    raise ValueError(
        f'set={key}={text}: the value must be '
        f'{explain.allowed(config, key) or kind}; the config says '
        f'{part[name]!r}.') from e
  if isinstance(part[name], ml_collections.ConfigDict):
    raise ValueError(f'set={key} is a section of the config, not a value.')
  return part[name]
