"""The cells of a sweep: what they are, and one run of each."""

import ast
from collections.abc import Mapping, Sequence
import copy
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any, NamedTuple
import urllib.parse

import ml_collections

from experiments import check as check_lib
from experiments import datasets
from experiments import records
from experiments import run as run_lib
from experiments import workdir as workdir_lib
from experiments.configs import saved
from mmal_jax.data import encode


class Cell(NamedTuple):
  """An experiment of one strategy and one seed.

  Attributes:
    name: of its folder.
    config: of its run.
  """

  name: str
  config: ml_collections.ConfigDict


class Data(NamedTuple):
  """A dataset in memory, and the sections of the config that it came from."""

  sections: str
  encoded: encode.EncodedDataset


def parse(values: Sequence[str]) -> dict[str, list[str]]:
  """Values by config key, of `KEY=VALUE,VALUE` each.

  >>> parse(['train.shift=0,2'])
  {'train.shift': ['0', '2']}

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


def product(
    config: ml_collections.ConfigDict, settings: Mapping[str, Sequence[str]]
) -> list[Cell]:
  """All cells: settings, then seeds, then strategies.

  Args:
    config: with all strategies and seeds.
    settings: values by config key, as written.

  Raises:
    ValueError: if a key is not in the config, a value is of another kind or
      refused, or two cells are the same.
  """
  cells = {}
  for values in itertools.product(*settings.values()):
    changed = copy.deepcopy(config)  # The constructor shares sections.
    texts = [f'{key}={records.as_text(_put(changed, key, value))}'
             for key, value in zip(settings, values)]
    for seed, strategy in itertools.product(config.seeds, config.strategies):
      name = urllib.parse.quote(
          '-'.join([strategy, *texts, f'seed{seed}']), safe='@=+')
      if name in cells:
        raise ValueError(f'the sweep has {name} twice.')
      one = copy.deepcopy(changed)
      one.strategies, one.seeds = (strategy,), (seed,)
      check_lib.check(one)
      cells[name] = Cell(name, one)
  return list(cells.values())


def is_finished(folder: pathlib.Path) -> bool:
  """Whether a cell's folder holds all that it will ever hold."""
  return (folder / workdir_lib.SUMMARY).exists()


def run_here(
    cell: Cell, folder: pathlib.Path, cache_dir: str, data: Data | None
) -> Data | None:
  """Runs a cell in this process.

  Args:
    cell: to run.
    folder: to write to; empty, or not there.
    cache_dir: of rendered datasets and warm starts.
    data: of the cell before, to be used again if it is the same.

  Returns:
    This cell's data; None with a checkpoint, whose tokenizer it depends on.
  """
  config = cell.config
  if config.get('init') is not None:
    data = None
  else:
    sections = shared(config, ('dataset', 'text'))
    if data is None or data.sections != sections:
      data = Data(sections, datasets.load(config, cache_dir))
  run_lib.run(config, folder, cache_dir, quiet=True,
              data=None if data is None else data.encoded)
  return data


def run_apart(cell: Cell, folder: pathlib.Path, cache_dir: str) -> None:
  """Runs a cell in a process of its own, which ends if this one is stopped.

  Raises:
    RuntimeError: if it fails, with the last it said.
  """
  with tempfile.TemporaryDirectory() as scratch:
    path = pathlib.Path(scratch) / workdir_lib.CONFIG
    workdir_lib.write(path, cell.config.to_dict())
    process = subprocess.Popen(
        [sys.executable, '-m', run_lib.__name__,
         f'--config={saved.__file__}:{path}', f'--workdir={folder}',
         f'--cache_dir={cache_dir}'],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _RUNNING.add(process)
    try:
      _, said = process.communicate()
    finally:
      _RUNNING.discard(process)
  if process.returncode:
    last = said.strip().splitlines()[-1:] or ['it said nothing']
    raise RuntimeError(
        f'ended with {process.returncode}: {last[0].removeprefix("error: ")}')


_RUNNING: set[subprocess.Popen] = set()


def stop() -> None:
  """Ends all processes of `run_apart`."""
  for process in list(_RUNNING):
    process.terminate()


def shared(
    config: ml_collections.ConfigDict, sections: Sequence[str]
) -> str:
  """The sections as text, to tell whether two configs agree in them."""
  whole = config.to_dict()
  return json.dumps([whole.get(section) for section in sections])


def _put(config: ml_collections.ConfigDict, key: str, text: str) -> Any:
  """Sets one value, and returns what it has become."""
  *sections, name = key.split('.')
  part = config
  for section in sections:
    part = part.get(section) if isinstance(
        part, ml_collections.ConfigDict) else None
  if not isinstance(part, ml_collections.ConfigDict) or name not in part:
    raise ValueError(f'set={key} is not in the config.')
  try:
    value = ast.literal_eval(text)
  except (ValueError, SyntaxError):
    value = text
  try:
    part[name] = value
  except TypeError as e:
    raise ValueError(f'set={key}={text}: {e}') from e
  if isinstance(part[name], ml_collections.ConfigDict):
    raise ValueError(f'set={key} is a section of the config, not a value.')
  return part[name]
