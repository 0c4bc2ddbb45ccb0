"""The scores at each point of the curves, as cells of one table a point."""

from typing import Any, NamedTuple

import numpy as np

from mmal_jax.analysis import significance
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis import tables


class ScoresAt(NamedTuple):
  """Tables of t points, whose rows and columns are the same.

  Attributes:
    header: of the columns; the first is the strategy.
    labels: of the rows.
    cells: `[t][labels][columns - 1]` texts.
    fixed: rows that are the same at every point: zero-shot, the whole pool.
  """

  header: list[str]
  labels: list[str]
  cells: list[list[list[str]]]
  fixed: list[list[str]]


def scores_at(summary: dict[str, Any]) -> ScoresAt:
  """Means, with half their 95 % intervals, and differences to the baseline.

  Args:
    summary: from `summary.summarise`.
  """
  entries, m = summary['strategies'], summary['headline']
  others = [name for name in tables.shown_metrics(summary) if name != m]
  by_cost = summary['x'] == summary_lib.COST
  compared = any('baseline' in entry for entry in entries.values())
  header = ['strategy', *([summary_lib.ANNOTATIONS] if by_cost else []), m,
            *([f'{m} - baseline\'s'] if compared else []), *others]

  def row(entry, t):
    curves = entry['curves']
    found = [f'{entry["answers"][:, t].mean():.0f}'] if by_cost else []
    found.append(summary_lib.pm(summary_lib.cell(curves[m][:, t])))
    if compared:
      found.append(_difference(entry, entries, m, t))
    return found + [summary_lib.pm(summary_lib.cell(curves[name][:, t]))
                    for name in others]

  def fixed(name, of, answers):
    found = [name, *([answers] if by_cost else []), _score(of, m),
             *(['-'] if compared else [])]
    return found + [_score(of, other) for other in others]

  rows = [fixed('zero-shot', next(iter(entries.values()))['zero_shot'], '0')]
  if len({str(entry['zero_shot']) for entry in entries.values()}) > 1:
    rows = []  # Each strategy has its own, at the first point.
  if 'whole_pool' in summary:
    whole = summary['whole_pool']
    rows.append(fixed(f'all {whole["aligned"]} pairs', whole['final'], '-'))
  return ScoresAt(
      header, list(entries),
      [[row(entry, t) for entry in entries.values()]
       for t in range(len(summary['annotations']))], rows)


def _difference(entry, entries, metric, t) -> str:
  baseline = entry.get('baseline')
  if baseline is None or entries[baseline] is entry:
    return '-'
  return summary_lib.pm(summary_lib.cell(
      entry['curves'][metric][:, t] - entries[baseline]['curves'][metric][:, t]
  ), '+')


def _score(of, metric) -> str:
  return summary_lib.pm(of[metric]) if metric in of else '-'


class Bands(NamedTuple):
  """What is drawn of one strategy.

  Attributes:
    mean: `[t]`.
    low: `[t]`, where the 95 % interval of the mean begins; `mean` of one seed.
    high: `[t]`, where it ends.
  """

  mean: np.ndarray
  low: np.ndarray
  high: np.ndarray


def bands(summary: dict[str, Any]) -> dict[str, Bands]:
  """By strategy, its mean over seeds in the headline score.

  Args:
    summary: from `summary.summarise`.
  """
  found = {}
  for name, entry in summary['strategies'].items():
    scores = np.asarray(entry['curves'][summary['headline']], float)
    mean, width = scores.mean(0), significance.half_width(scores)
    width = np.nan_to_num(width)
    found[name] = Bands(mean, mean - width, mean + width)
  return found
