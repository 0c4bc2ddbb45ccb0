"""Strategies x seeds x settings, cell by cell, each in a folder of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import concurrent.futures
import json
import os
import pathlib
import threading
import time
from typing import Any
import uuid

import ml_collections

from mmal_jax.analysis import records
from mmal_jax.config import config as config_lib
from mmal_jax.config import differences
from mmal_jax.config import paths
from mmal_jax.data.images import image_listing
from mmal_jax.experiment import cells as cells_lib
from mmal_jax.experiment import cells_check
from mmal_jax.experiment import datasets
from mmal_jax.experiment import identity
from mmal_jax.experiment import preemption
from mmal_jax.experiment import pretrained as pretrained_lib
from mmal_jax.experiment import report as report_lib
from mmal_jax.files import durable
from mmal_jax.files import lock
from mmal_jax.oracles import registry as oracles_lib
from mmal_jax.workdir import json_files
from mmal_jax.workdir import layout as workdir_lib

_DRAFT = '.draft'  # of the plan, by any shard
_FAILED = 'failed.jsonl'
_LOCKS = 'locks'  # A file a cell, locked by who runs it.
# What a warm start is made of.
_PREPARED = ('dataset', 'text', 'model', 'warm_start', 'mesh', 'init')
_DATA = ('dataset', 'text', 'model', 'init')  # What items are made of.


class CellsFailed(Exception):
  """Some cells of a sweep have failed; the others are there."""


def sweep(
    config: ml_collections.ConfigDict,
    settings: dict[str, list[str]],
    folder: pathlib.Path,
    cache_dir: str,
    processes: int = 1,
    shard: tuple[int, int] = (0, 1),
    notice: preemption.Notice | None = None,
    notify: Callable[[str], None] | None = None,
    of_report: Mapping[str, Any] | None = None,
) -> str:
  """Runs all cells of a shard that are not finished.

  Args:
    config: with all strategies and seeds, checked.
    settings: values by config key, as written.
    folder: of the sweep.
    cache_dir: of rendered datasets and warm starts.
    processes: cells to run at a time.
    shard: `(i, n)`.
    notice: of the end of the machine, if its signal is caught.
    notify: takes lines for the user, about what is being done.
    of_report: options of `report.write`.

  Returns:
    The report's tables, or how many cells are still to come from other shards
    or programs.

  Raises:
    ValueError: if the folder holds another sweep, or a config is refused.
    CellsFailed: if cells have failed, after all others were run.
    preemption.Preempted: if SIGTERM asked the program to end.
  """
  if config.oracle.name in oracles_lib.ASK_PEOPLE:
    raise ValueError(f'oracle={config.oracle.name!r} is not for sweeps: people '
                     'are asked one run after the other (experiments.run).')
  notify = notify or (lambda line: None)
  cells = cells_lib.product(config, settings)
  mine = cells[shard[0]::shard[1]]
  todo = [cell for cell in mine
          if not cells_lib.is_finished(_home(folder, cell))]
  for cell in todo:
    try:
      paths.check_exist(cell.config)
    except ValueError as e:
      raise ValueError(
          f'{cell.name}: {e} Where data have moved, give the new paths in the '
          'same command, --config.dataset...=PATH.') from e
  if not (folder / records.PLAN).exists():
    cells_check.check_read(cells, settings)
    cells_check.check_pools(todo, cache_dir)
  moved = _claim(folder, config, settings)
  if todo:
    _check_same(cells, folder, cache_dir, moved)
  failed, done = [], 0
  for cell, seconds, error in _run_all(
      mine, folder, cache_dir, processes, notice, notify):
    done += 1
    outcome = 'was finished' if seconds is None else f'{seconds:.1f} s'
    if isinstance(error, lock.InUse):
      outcome = 'another program runs it'
    elif error is not None:
      failed.append(cell.name)
      text = f'{type(error).__name__}: {error}'
      workdir_lib.append(
          folder / _FAILED, {
              'cell': cell.name, 'error': text,
              'time': time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())})
      outcome = f'failed: {text.splitlines()[0]}'
    notify(f'[{done}/{len(mine)}] {cell.name}: {outcome}')
  finished = sum(cells_lib.is_finished(_home(folder, cell)) for cell in cells)
  if failed:
    raise CellsFailed(
        f'{len(failed)} of {len(mine)} cells failed, the first is {failed[0]}: '
        f'{folder / _FAILED} says why. The same command tries them again; '
        '--report shows the others.')
  if finished < len(cells):
    return (f'{finished} of {len(cells)} cells are finished; --report shows '
            'these.')
  return report(folder, cache_dir, notify, **(of_report or {}))


def report(
    folder: pathlib.Path,
    cache_dir: str,
    notify: Callable[[str], None] | None = None,
    **options: Any,
) -> str:
  """Reports the cells that are finished, in the sweep's own folder.

  Args:
    folder: of the sweep.
    cache_dir: of rendered datasets.
    notify: takes lines for the user.
    **options: of `report.write`.

  Returns:
    The tables, and where they were written to.
  """
  out = folder / 'report'
  if out.is_symlink():  # Where it leads to, there may be another's report.
    out.unlink()
  tables = report_lib.write([folder], out, cache_dir, notify=notify, **options)
  return f'{tables}\nWritten to {out}.'


def _home(folder: pathlib.Path, cell: cells_lib.Cell) -> pathlib.Path:
  return folder / records.CELLS / cell.name


def _run_all(
    cells: Sequence[cells_lib.Cell], folder: pathlib.Path, cache_dir: str,
    processes: int, notice: preemption.Notice | None,
    notify: Callable[[str], None],
) -> Iterator[tuple[cells_lib.Cell, float | None, Exception | None]]:
  """Each cell, its seconds (None if it was finished), and its error."""
  todo = []
  for cell in cells:
    if cells_lib.is_finished(_home(folder, cell)):
      yield cell, None, None
    else:
      todo.append(cell)
  if processes == 1:
    before = None

    def here(cell, home):
      nonlocal before
      notify(f'{cell.name} ...')
      before = cells_lib.run_here(cell, home, cache_dir, before, notice)

    for cell in todo:
      yield _timed(folder, cell, here)
    return

  stopped = threading.Event()

  def run(cell):
    return _timed(folder, cell, lambda cell, home: cells_lib.run_apart(
        cell, home, cache_dir, stopped))

  firsts = {}  # They render data and train warm starts, for the others to find.
  for cell in todo:
    firsts.setdefault(cells_lib.shared(cell.config, _PREPARED), cell)
  with concurrent.futures.ThreadPoolExecutor(processes) as pool:
    try:
      for cell in firsts.values():
        yield pool.submit(run, cell).result()
      names = {cell.name for cell in firsts.values()}
      futures = [pool.submit(run, c) for c in todo if c.name not in names]
      for future in concurrent.futures.as_completed(futures):
        yield future.result()
    except BaseException:
      stopped.set()
      pool.shutdown(wait=False, cancel_futures=True)
      cells_lib.stop()
      raise


def _timed(
    folder: pathlib.Path, cell: cells_lib.Cell,
    run: Callable[[cells_lib.Cell, pathlib.Path], None],
) -> tuple[cells_lib.Cell, float | None, Exception | None]:
  """Runs a cell in its folder; as `_run_all` yields it."""
  started, home = time.perf_counter(), _home(folder, cell)
  locks = folder / _LOCKS
  locks.mkdir(exist_ok=True)
  try:
    with lock.exclusive(locks, cell.name):
      if cells_lib.is_finished(home):  # By another program, just now.
        return cell, None, None
      home.parent.mkdir(exist_ok=True)
      run(cell, home)
  except Exception as e:  # pylint: disable=broad-exception-caught
    return cell, time.perf_counter() - started, e
  return cell, time.perf_counter() - started, None


def _check_same(cells, folder, cache_dir, moved) -> None:
  """Refuses data that are others than those of the cells that were begun.

  They may have moved, or have been changed where they are.
  """
  seen = {}
  for cell in cells:
    home = _home(folder, cell)
    if (home / workdir_lib.ITEMS).exists():
      of = cells_lib.shared(cell.config, _DATA)
      if of not in seen:
        seen[of] = _digests(cell.config, cache_dir)
      identity.check(
          home, seen[of],
          lambda config=cell.config: pretrained_lib.load(config).params, moved)


def _digests(config, cache_dir) -> dict[str, str]:
  """The digests of what a config names; it is read for that."""
  pretrained = None if config.init is None else pretrained_lib.load(config)
  return identity.digests(
      datasets.load(config, cache_dir, pretrained), pretrained)


def _claim(folder: pathlib.Path, config, settings) -> list[str]:
  """Makes the folder this sweep's, or sees that it is.

  Returns:
    Dotted keys of the paths to data and checkpoint that are others than when it
    was begun.

  Raises:
    ValueError: if it holds another sweep, line by line, or anything else.
  """
  common = config_lib.complete(config).to_dict()
  plan = {'strategies': common.pop('strategies'), 'seeds': common.pop('seeds'),
          'set': settings, 'config': common}
  plan = json.loads(json.dumps(plan))  # As it will be read: no tuples.
  path = folder / records.PLAN
  if not path.exists():
    if folder.exists() and any(
        entry.suffix != _DRAFT and not image_listing.is_of_a_system(entry.name)
        for entry in folder.iterdir()) and not path.exists():
      raise ValueError(f'workdir={str(folder)!r} holds no sweep, but is not '
                       'empty; choose another.')
    folder.mkdir(parents=True, exist_ok=True)
    # Other shards may start at this very moment.
    draft = folder / f'{uuid.uuid4().hex}{_DRAFT}'
    durable.write(draft, json_files.text(path, plan))
    try:
      os.link(draft, path)  # Not in place of a plan that came in between.
    except FileExistsError:
      pass
    except OSError:  # A disk without hard links.
      os.replace(draft, path)
    draft.unlink(missing_ok=True)
    durable.sync_folder(folder)
  there = workdir_lib.read(path)
  if isinstance(there.get('config'), dict):
    # An earlier version's lacks some; seeds stand beside it.
    there['config'] = config_lib.completed(there['config'])
    there['config'].pop('seeds', None)
  of_paths = [f'config.{key}' for key in paths.keys(config.dataset.name)]
  changed = differences.lines(
      there, plan, ('config.train.divergence', *of_paths))
  if changed:
    raise ValueError('\n'.join([
        f'workdir={str(folder)!r} holds another sweep; choose another folder '
        '(experiments.report takes several), or undo:', *changed]))
  return [key.removeprefix('config.') for key in differences.keys(there, plan)
          if differences.within(key, of_paths)]
