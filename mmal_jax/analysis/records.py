"""Finished experiments, read back for a report.

A label is a strategy, followed by settings that distinguish the experiments:
`mmal, train.pseudo_pairs=1` (`labels`).
"""

from collections.abc import Iterable, Mapping, Sequence
import pathlib
from typing import Any, NamedTuple

from absl import logging
import numpy as np

from mmal_jax.analysis import curves as curves_lib
from mmal_jax.analysis import run_labels
from mmal_jax.analysis import settings as settings_lib
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.config import config as config_lib
from mmal_jax.config import differences
from mmal_jax.files import json_object
from mmal_jax.files import plain_text
from mmal_jax.workdir import checksums
from mmal_jax.workdir import finished as finished_lib
from mmal_jax.workdir import layout as workdir_lib
from mmal_jax.workdir import provenance
from mmal_jax.workdir import records_file

PLAN, CELLS = finished_lib.PLAN, finished_lib.CELLS


class Run(NamedTuple):
  """One strategy with one seed.

  Attributes:
    strategy: its name.
    settings: what distinguishes its experiment from the others; mostly empty.
    seed: of the run.
    config: of its experiment.
    items: digests of what its experiment was made of (`identity.digests`).
    metrics: a record a round, from zero-shot on.
    queries: a record a round.
    calibration: a record for any two modalities that were matched
      (`matches.calibration_records`); none where nothing was.
    whole_pool: the record of its seed (`whole_pool.of_seed`), if there is one.
    folder: of its experiment.
  """

  strategy: str
  settings: str
  seed: int
  config: dict[str, Any]
  items: dict[str, str]
  metrics: list[dict[str, Any]]
  queries: list[dict[str, Any]]
  calibration: list[dict[str, Any]]
  whole_pool: dict[str, Any] | None = None
  folder: pathlib.Path = pathlib.Path()

  @property
  def label(self) -> str:
    return self.strategy + self.settings


class Records(NamedTuple):
  """Runs of the same seeds for every label.

  Attributes:
    runs: by label, a run a seed, in the order of `seeds`.
    seeds: that all labels have.
    notes: what was left out, in sentences.
    settings: by the end of a label, all values in which experiments differ.
  """

  runs: dict[str, list[Run]]
  seeds: list[int]
  notes: list[str]
  settings: Mapping[str, Mapping[str, str]] = {}


def read(paths: Sequence[pathlib.Path]) -> Records:
  """Reads experiments, and sweeps of them.

  Args:
    paths: folders of finished experiments, or of sweeps. A sweep's cells that
      are not finished are left out.

  Raises:
    FileNotFoundError: if a file is gone.
    ValueError: if a folder holds nothing that is finished, or files that are
      damaged, two of them hold the same run, or no seed was run with all
      strategies and settings.
  """
  notes, folders = [], []
  for path in paths:
    found, unfinished = finished_lib.experiments(path)
    folders += found
    if unfinished:
      notes.append(f'{unfinished} of the cells of {path} are not finished and '
                   'left out.')
  for folder in folders:
    finished_lib.check_records(folder)
  return _together(folders, notes)


def of_folder(folder: pathlib.Path) -> Records:
  """The runs of one experiment, whose summary need not be written yet.

  Raises:
    FileNotFoundError: if a file is gone.
    ValueError: as `read`.
  """
  return _together([folder], [])


def _together(folders: Sequence[pathlib.Path], notes: list[str]) -> Records:
  """The runs of all folders, of the seeds that all labels have."""
  runs, origins = {}, {}
  # What an earlier version did not save was as it is by default.
  configs = {folder: config_lib.completed(
      workdir_lib.read(folder / workdir_lib.CONFIG)) for folder in folders}
  items = {folder: _items(folder, notes) for folder in folders}
  notes += provenance.differing(folders)
  flats = settings_lib.values(list(configs.values()), list(items.values()))
  suffixes, keys = run_labels.suffixes(flats), run_labels.varying(flats)
  settings = {suffix: {key: differences.as_text(flat.get(key)) for key in keys}
              for suffix, flat in zip(suffixes, flats)} if keys else {}
  for (folder, config), suffix in zip(configs.items(), suffixes):
    for run in _runs(folder, config, items[folder], suffix):
      key = run.label, run.seed
      if key in origins:
        raise ValueError(
            f'{plain_text.for_terminal(run.label)} with seed {run.seed} is '
            f'both in {origins[key]} and in {folder}.')
      origins[key] = folder
      runs.setdefault(run.label, {})[run.seed] = run
  if not runs:
    raise ValueError(f'{", ".join(map(str, folders))}: there is no run in '
                     f'{workdir_lib.METRICS}.')
  seeds = sorted(set.intersection(*map(set, runs.values())))
  if not seeds:
    raise ValueError('no seed was run with all of: '
                     f'{"; ".join(map(plain_text.for_terminal, runs))}.')
  others = sorted({seed for label, seed in origins} - set(seeds))
  if others:
    notes.append(f'Not all strategies were run with the seeds {others}: they '
                 'are left out.')
  return Records({label: [by_seed[seed] for seed in seeds]
                  for label, by_seed in runs.items()}, seeds, notes, settings)


def _items(folder: pathlib.Path, notes: list[str]) -> dict[str, str]:
  """Digests of an experiment's items; `notes` takes that they are missing."""
  path = folder / workdir_lib.ITEMS
  if path.exists():
    return workdir_lib.read(path)
  if checksums.version(folder) != checksums.Version.WITHOUT_ID:
    notes.append(f'{path} is missing, which was there when the experiment '
                 'began: its data are known by their paths alone, and are not '
                 'checked.')
    logging.warning('%s', notes[-1])
  return {}


def baselines(records: Records, name: str) -> dict[str, str]:
  """By label, the one it is compared with.

  Args:
    records: of `read`.
    name: a label; or a strategy, which stands for its run in the settings of
      the one that is compared.
  """
  if name in records.runs:
    return dict.fromkeys(records.runs, name)
  of = {label: name + runs[0].settings for label, runs in records.runs.items()}
  return {label: other for label, other in of.items() if other in records.runs}


def common_points(points: Sequence[np.ndarray]) -> np.ndarray:
  """All points at which any run was measured, up to where the shortest ends.

  >>> common_points([np.array([0, 2, 4]), np.array([0, 3])])
  array([0, 2, 3])
  """
  end = min(of_run[-1] for of_run in points)
  every = np.unique(np.concatenate(list(points)))
  return every[every <= end]


def axis(configs: Iterable[Mapping[str, Any]]) -> str:
  """What curves are drawn over: `cost` where answers of a run had costs."""
  costs = [config.get('costs') for config in configs]
  has_costs = any(value for of in costs if hasattr(of, 'items')
                  for value in dict(of.items()).values())
  return summary_lib.COST if has_costs else summary_lib.ANNOTATIONS


def read_off(
    grid: np.ndarray, points: Iterable[np.ndarray], x: str
) -> str | None:
  """Says that curves are not as they were measured; None if they are.

  Args:
    grid: `common_points` of `points`.
    points: of each run.
    x: what they are of, `annotations` or `cost`.
  """
  if all(np.array_equal(of_run, grid) for of_run in points):
    return None
  return (f'The runs were not measured at the same {x}: their curves are read '
          f'off, on straight lines between the points, and end at '
          f'{grid[-1]:.7g}, the most that all of them reached.')


def curves(
    records: Records, x: str
) -> tuple[np.ndarray, dict[str, dict[str, np.ndarray]], str | None]:
  """All curves over the same points.

  These are all points at which any run was measured, up to where the shortest
  run ends. In between, a run's curve is taken for a straight line.

  Args:
    records: of `read`.
    x: `annotations` or `cost`.

  Returns:
    `[t]` the points, a single one if a run has no annotation at all; by label
    and metric, `[seeds, t]` percentages; and remarks on points at
    which not every run was measured.

  Raises:
    ValueError: if no score is common.
  """
  points = {(label, run.seed): np.array([record[x] for record in run.metrics])
            for label, runs in records.runs.items() for run in runs}
  grid = common_points(list(points.values()))
  first = next(iter(records.runs.values()))[0].metrics[0]['scores']
  metrics = [m for m in first if all(
      m in run.metrics[0]['scores'] for runs in records.runs.values()
      for run in runs)]
  if not metrics:
    raise ValueError('there is no score that all runs have.')
  scores = {
      label: {m: np.stack([
          curves_lib.on_grid(grid, points[label, run.seed], np.array(
              [record['scores'][m] for record in run.metrics]))
          for run in runs]) for m in metrics}
      for label, runs in records.runs.items()}
  return grid, scores, read_off(grid, points.values(), x)


def answers(
    records: Records, grid: np.ndarray, x: str
) -> dict[str, np.ndarray] | None:
  """How many annotations a cost has bought; None over annotations themselves.

  Args:
    records: of `read`.
    grid: `[t]` of `curves`.
    x: `annotations` or `cost`.

  Returns:
    By label, `[seeds, t]` annotations at each point of the grid.
  """
  if x != summary_lib.COST:
    return None
  return {label: np.stack([
      curves_lib.on_grid(grid, *(
          np.array([record[name] for record in run.metrics])
          for name in (summary_lib.COST, summary_lib.ANNOTATIONS)))
      for run in runs]) for label, runs in records.runs.items()}


def setting_rows(records: Records) -> list[list[str]]:
  """All values that differ, of which labels show as many as needed.

  Returns:
    Rows of a table, the first its header; none where nothing differs.
  """
  if not records.settings:
    return []
  keys = list(next(iter(records.settings.values())))
  return [['in the labels', *keys]] + [
      [suffix.removeprefix(', '), *values.values()]
      for suffix, values in records.settings.items()]


def shares(records: Records) -> dict[str, dict[str, np.ndarray]]:
  """By label and modality, `[rounds]` percentages of each round's queries.

  All seeds together; NaN in a round without a query.
  """
  modalities = sorted({
      modality for runs in records.runs.values() for run in runs
      for record in run.queries for modality, _ in record['asked']})
  found = {}
  for label, runs in records.runs.items():
    counts = np.zeros((len(modalities), max(len(r.queries) for r in runs)))
    for run in runs:
      for t, record in enumerate(run.queries):
        for modality, _ in record['asked']:
          counts[modalities.index(modality), t] += 1
    total = counts.sum(0, keepdims=True)
    percent = np.full_like(counts, np.nan)
    np.divide(100 * counts, total, out=percent, where=total > 0)
    found[label] = dict(zip(modalities, percent))
  return found


def whole_pool(
    records: Records, metric: str
) -> tuple[list[dict[str, Any]], str | None]:
  """What the whole pool aligned gives, where that is one thing for all.

  Args:
    records: of `read`.
    metric: that it must have been scored by.

  Returns:
    A record a seed, none if not all settings have the same; and in that case
    what each has, in a sentence.
  """
  of: dict[str, list[dict[str, Any]] | None] = {}
  for settings in {run[0].settings: 0 for run in records.runs.values()}:
    found = [[run.whole_pool for run in seeds] for seeds in zip(*(
        runs for runs in records.runs.values()
        if runs[0].settings == settings))]
    there = [[record for record in of_seed if record is not None
              and metric in record['scores']] for of_seed in found]
    of[settings] = None if not all(there) else [
        of_seed[0] for of_seed in there]
    if any(record != of_seed[0] for of_seed in there for record in of_seed):
      return [], ('The runs were made with different whole pools: no row "all '
                  'pairs" is shown.')
  known = {settings: found for settings, found in of.items() if found}
  first = next(iter(known.values()), [])
  if not known or all(found == first for found in of.values()):
    return first, None
  scores = '; '.join(
      f'{settings.removeprefix(", ") or "the others"}: '
      f'{np.mean([record["scores"][metric] for record in found]):.1f} % with '
      f'all {np.mean([record["aligned"] for record in found]):.0f} pairs'
      for settings, found in known.items())
  return [], (f'The whole pool is not the same in all settings, and has no row '
              f'and no line. {metric} was: {scores}.')


def _runs(folder, config, items, settings) -> list[Run]:
  by_key: dict[tuple[str, int], tuple[list, list]] = {}
  for i, records in enumerate((
      records_file.metrics(folder / workdir_lib.METRICS),
      records_file.queries(folder / workdir_lib.QUERIES))):
    for record in records:
      key = record['strategy'], record['seed']
      by_key.setdefault(key, ([], []))[i].append(record)
  for (strategy, seed), parts in by_key.items():
    of = f'{plain_text.for_terminal(strategy)}, seed {seed}'
    for first, part in enumerate(parts):
      rounds = sorted(record['round'] for record in part)
      if not parts[0] or rounds != list(range(first, len(parts[0]))):
        raise ValueError(
            f'{folder} has records of {of}, of the rounds '
            f'{json_object.quote(rounds)}: each of {first} to '
            f'{len(parts[0]) - 1} once is needed.')
    if len({frozenset(record['scores']) for record in parts[0]}) > 1:
      raise ValueError(f'{folder / workdir_lib.METRICS} has other scores in '
                       f'some rounds of {of}.')
  calibrations = {}  # A run that was stopped may have recorded it twice.
  for record in records_file.calibration(folder / workdir_lib.CALIBRATION):
    key = record['strategy'], record['seed']
    calibrations.setdefault(key, {})[tuple(record['of'])] = record
  whole = {record['seed']: record for record in records_file.whole_pool(
      folder / workdir_lib.WHOLE_POOL)}
  runs = [
      Run(strategy, settings, seed, config, items, *(
          sorted(part, key=lambda record: record['round']) for part in parts),
          list(calibrations.get((strategy, seed), {}).values()),
          whole.get(seed), folder)
      for (strategy, seed), parts in by_key.items()]
  for run in runs:
    for x in ('annotations', 'cost'):
      points = [record[x] for record in run.metrics]
      if points[0] or points != sorted(points):
        raise ValueError(
            f'{folder / workdir_lib.METRICS} has {x} '
            f'{json_object.quote(points)} of '
            f'{plain_text.for_terminal(run.strategy)}, seed {run.seed}: '
            'they start at 0, and never fall.')
  return runs
