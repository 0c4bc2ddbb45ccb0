"""The page of a report: what is read and computed for it, of one run."""

from collections.abc import Callable, Mapping, Sequence
import pathlib
from typing import Any

import jax
import numpy as np

from mmal_jax.analysis import map_2d
from mmal_jax.analysis import records as records_lib
from mmal_jax.analysis import tables
from mmal_jax.analysis.report_page import asked
from mmal_jax.analysis.report_page import document
from mmal_jax.analysis.report_page import matched
from mmal_jax.analysis.report_page import pool_map
from mmal_jax.experiment import matches as matches_lib
from mmal_jax.experiment import pool_rows
from mmal_jax.experiment import report_items
from mmal_jax.experiment import shown_run
from mmal_jax.files import durable
from mmal_jax.files import json_lines
from mmal_jax.files import problems as problems_lib
from mmal_jax.workdir import layout as workdir_lib

_MOST_ITEMS = 2000  # of a modality on the map


def render(
    records: records_lib.Records,
    run: records_lib.Run,
    summary: dict[str, Any],
    notes: Sequence[str],
    shown: shown_run.ShownRun | None,
    why_not: str,
    map_by: str | None,
    cache_dir: str,
    notify: Callable[[str], None] | None = None,
) -> str:
  """The text of the page.

  Args:
    records: of all runs.
    run: the one whose items are shown.
    summary: of all runs.
    notes: about all of it, in sentences.
    shown: the data of `run`; None where they are not at hand.
    why_not: in that case, why not.
    map_by: `map_2d.PCA` or `map_2d.UMAP`; None for no map.
    cache_dir: of rendered datasets.
    notify: takes lines for the user.
  """
  modalities = _modalities(run, shown)
  reached = _reached(run, summary)
  matches, about_matches = _matches(run)
  wanted = asked.items(run.queries, modalities)
  if matches is not None:
    wanted += matched.items(matches[0])
  items = None if shown is None else shown.items
  panels, about_map = {}, why_not
  if shown is not None and map_by is None:
    about_map = 'It was left out by --map=none.'
  elif shown is not None:
    panels, about_map = _panels(
        run, shown, modalities, map_by, cache_dir, notify)
  late = run.metrics[-1]['round'] - reached[-1]
  note = why_not if shown is None else ''
  if late:
    note += (f' The last {late} rounds lie beyond the end of the curves, and '
             'stand below where no script runs.')
  seen = document.Seen(
      f'{run.label} (seed {run.seed})', run.queries, reached, modalities,
      report_items.see(items, wanted), note.strip(), matches, about_matches,
      panels, about_map)
  return document.render(
      summary, [f'Means over the seeds {", ".join(map(str, records.seeds))}.',
                *notes], tables.legend(len(records.seeds)),
      records_lib.setting_rows(records), seen)


def _modalities(run, shown) -> tuple[str, ...]:
  """Names of the columns of the answers."""
  if shown is not None:
    return tuple(shown.items.items)
  columns = max((len(row) for record in run.queries
                 for row in record['answers']), default=0)
  # What is asked about stands in its own column.
  names = {}
  for record in run.queries:
    for (modality, number), row in zip(record['asked'], record['answers']):
      fitting = {c for c, n in enumerate(row) if n == number}
      if fitting:
        names[modality] = names.get(modality, fitting) & fitting or fitting
  found = [f'column {c + 1}' for c in range(columns)]
  for modality, fitting in names.items():
    if len(fitting) == 1:
      found[fitting.pop()] = modality
  return tuple(found)


def _reached(run, summary) -> list[int]:
  """The last round that was over at each point of the curves."""
  points = np.array([record[summary['x']] for record in run.metrics])
  return [int(t) for t in np.searchsorted(
      points, summary['annotations'], 'right') - 1]


def _matches(run) -> tuple[tuple[list[matched.Match], int] | None, str]:
  """The matches that lie in the folder of a run's experiment."""
  folder = workdir_lib.matches_path(run.folder, run.strategy, run.seed)
  path = folder / matches_lib.MATCHES
  if not path.exists():
    return None, ('There are no matches: the experiment wrote none for this '
                  'run. Of learners in closed form (train.learner='
                  'closed_form), runs write them when they end.')
  try:
    wrong = matches_lib.wrong_with(run.folder, run.strategy, run.seed)
    if wrong is not None:
      raise ValueError(wrong)
    return matched.likeliest(_records(path)), (
        'What no answer names, after the last round. How true the '
        'probabilities are is in report.md.')
  except (ValueError, KeyError, IndexError, TypeError, OSError) as e:
    return None, f'The matches in {str(folder)!r} are damaged: {e}.'


def _records(path: pathlib.Path) -> list[dict[str, Any]]:
  problems: list[str] = []
  found = [record for _, record in json_lines.read(
      durable.read(path), path.name, problems)]
  problems_lib.report(path, problems)
  return found


def _panels(
    run, shown, modalities, map_by, cache_dir, notify
) -> tuple[dict[str, pool_map.Panel], str]:
  """The maps, and a note on them; none of them, and why not."""
  if shown.encoded is None:
    return {}, ('There is no map: that the data are those of the run could not '
                'be checked.')
  when = pool_map.when(run.queries, modalities)
  sizes = {m: len(rows) for m, rows in shown.items.rows.items()}
  some = {m: map_2d.some_items(sizes[m], list(when[m]), _MOST_ITEMS)
          for m in modalities}
  if notify is not None:
    notify('Making the map of the pool (--map=none leaves that out) ...')
  try:
    found = pool_rows.of_run(
        run, shown.before, cache_dir, shown.encoded,
        {m: shown.items.rows[m][numbers] for m, numbers in some.items()})
    return {m: _panel(shown, m, some[m], sizes[m], when[m], found, map_by)
            for m in modalities}, ''
  except (ValueError, OSError, jax.errors.JaxRuntimeError) as e:
    return {}, f'There is no map: {durable.reason(e)}.'


def _panel(
    shown, modality: str, numbers: np.ndarray, size: int,
    when: Mapping[int, tuple[int, int]], found: pool_rows.PoolRows, map_by: str,
) -> pool_map.Panel:
  rows = found.rows[modality]
  if map_by == map_2d.UMAP:
    places, axes = map_2d.umap(rows), f'UMAP {found.about}.'
  else:
    places, shares = map_2d.pca(rows)
    percent = ' and '.join(f'{100 * share:.0f} %' for share in shares)
    axes = (f'Two principal components {found.about}, with {percent} of the '
            'variance.')
  times = np.array([when.get(number, (0, pool_map.REST))
                    for number in numbers.tolist()])
  return pool_map.Panel(
      numbers, places, size,
      [report_items.text(shown.items, modality, n) for n in numbers.tolist()],
      times[:, 0], times[:, 1], axes)
