"""Markdown tables of what `summary.summarise` found."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments import summary as summary_lib

_WITH_GROUPS = ('group', 'text', 'image', 'mean_r10')


def table(summary: dict[str, Any], x: str = 'annotations') -> str:
  """Final scores with 95 % intervals, and what was saved against random.

  Args:
    summary: from `summarise`.
    x: what the curves are drawn over, `annotations` or `cost`.
  """
  headline, baseline = summary['headline'], summary_lib.BASELINE
  header, zero_shot, rows = _score_rows(summary, 'ci95')
  metrics = header[1:]
  header += [f'{headline} - {baseline}\'s',
             f'{x} to reach {baseline}\'s final {headline}',
             'saving', 'saving seed by seed']
  zero_shot = [row + ['-'] * 4 for row in zero_shot]
  for row, entry in zip(rows, summary['strategies'].values()):
    row += [_difference(entry, 'minus_baseline', headline, 'ci95'),
            *_saving_cells(entry.get('saving'), f'no {baseline} run', 'ci95')]
  whole = summary.get('whole_pool')
  whole_pool = [] if whole is None else [[
      f'all {whole["aligned"]} pairs',
      *(_pm(whole['final'][m], 'ci95') for m in metrics), *['-'] * 4]]
  return markdown([header, *zero_shot, *rows, *whole_pool])


def in_words(summary: dict[str, Any], x: str = 'annotations') -> str:
  """What every strategy has saved against random, a line each, losses too.

  Args:
    summary: from `summarise`.
    x: what the curves are drawn over, `annotations` or `cost`.

  Returns:
    Lines; none without a run of `BASELINE`.
  """
  m, baseline = summary['headline'], summary_lib.BASELINE
  if baseline not in summary['strategies']:
    return ''
  final = summary['strategies'][baseline]['final'][m]['mean']
  lines = [f'{baseline} ends at {final:.1f} % ({m}) with '
           f'{summary["annotations"][-1]:.7g} {x}.']
  for name, entry in summary['strategies'].items():
    if name != baseline and 'saving' in entry:
      gain = _difference(entry, 'minus_baseline', m, 'ci95')
      lines.append(f'{name} {_got_there(entry["saving"], x)}; it ends at '
                   f'{entry["final"][m]["mean"]:.1f} % ({gain} points).')
  if len(lines) > 1 and len(entry['curves'][m]) > 1:
    lines.append('Intervals are of 95 %, over the differences seed by seed.')
  return '\n'.join(lines)


def _got_there(saving: dict[str, Any], x: str) -> str:
  """When, and what it saved, in words."""
  if np.isnan(saving['needed']):
    return 'does not get there: it saves nothing'
  said = f'gets there with {saving["needed"]:.0f} {x}'
  if not np.isnan(saving['percent']):
    percent = saving['percent']
    said += (f': {percent:.0f} % saved' if percent >= 0
             else f': {-percent:.0f} % more')
  per_seed, reached = saving['per_seed'], saving['reached']
  if not reached.all():
    return said + f' ({reached.sum()} of {len(reached)} seeds get there)'
  if len(per_seed) > 1 and not np.isnan(per_seed).any():
    said += f' ({_pm(summary_lib.cell(per_seed), "ci95")} % seed by seed)'
  return said


def score_table(summary: dict[str, Any]) -> str:
  """Final scores with 95 % confidence intervals, zero-shot on top."""
  header, zero_shot, rows = _score_rows(summary, 'ci95')
  return markdown([header, *zero_shot, *rows])


def comparison_table(summary: dict[str, Any], x: str) -> str:
  """Every strategy against its baseline, in the headline metric.

  Args:
    summary: from `summarise`.
    x: what the curves are drawn over, `annotations` or `cost`.
  """
  m = summary['headline']
  rows = [['strategy', 'baseline', f'{m} - baseline\'s', 'p (paired t)',
           'p (sign flips)', f'mean {m}', 'mean - baseline\'s', 'p (paired t)',
           'p (sign flips)', f'{x} to reach baseline\'s final', 'saving',
           'saving seed by seed']]
  for name, entry in summary['strategies'].items():
    row = [name, entry.get('baseline', 'none')]
    if row[1] == name:  # Nothing is learnt from itself.
      rows.append([*row, '-', '-', '-', _pm(entry['mean_score'][m], 'ci95'),
                   '-', '-', '-',
                   *_saving_cells(entry['saving'], '-', 'ci95')])
      continue
    for key in ('minus_baseline', 'mean_score_minus_baseline'):
      if key == 'mean_score_minus_baseline':
        row.append(_pm(entry['mean_score'][m], 'ci95'))
      row.append(_difference(entry, key, m, 'ci95'))
      row += [_p_value(entry[key][m][p]) if key in entry else '-'
              for p in ('p_paired_t', 'p_sign_flips')]
    rows.append(row + _saving_cells(entry.get('saving'), '-', 'ci95'))
  return markdown(rows)


def curve_table(
    summary: dict[str, Any], spread: str = 'std', most: int | None = None
) -> str:
  """The headline score at every number of annotations.

  Args:
    summary: from `summarise`.
    spread: `std` or `ci95`, what follows the mean.
    most: columns to show where there are more points, as evenly as may be.
  """
  headline, points = summary['headline'], summary['annotations']
  shown = np.arange(len(points))
  if most is not None and len(points) > most:
    shown = np.unique(np.searchsorted(
        points, np.linspace(points[0], points[-1], most)))
  rows = [[f'{headline} after'] + [f'{a:.7g}' for a in points[shown]]]
  for name, entry in summary['strategies'].items():
    curves = entry['curves'][headline]  # [seeds, t]
    rows.append([name] + [_pm(summary_lib.cell(scores), spread)
                          for scores in curves.T[shown]])
  return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
  """A Markdown table, padded to be read as it is; the first row is the header.
  """
  widths = [max(map(len, column)) for column in zip(*rows)]
  lines = [' | '.join(cell.ljust(width) for cell, width in zip(row, widths))
           for row in rows]
  lines.insert(1, ' | '.join('-' * width for width in widths))
  return '\n'.join(f'| {line} |' for line in lines)


def mean_pm_std(values: Sequence[float]) -> str:
  """`12.3 ± 0.4`; of a single value there is no spread."""
  return _pm(summary_lib.cell(np.asarray(values)), 'std')


def _score_rows(summary, spread: str):
  """The header, the rows of zero-shot, and those of the strategies."""
  strategies = summary['strategies']
  metrics = list(next(iter(strategies.values()))['final'])
  shown = metrics
  if 'group' in metrics:  # All recalls beside them would be too wide to read.
    shown = [m for m in dict.fromkeys((*_WITH_GROUPS, summary['headline']))
             if m in metrics]
  rows = {key: [[name] + [_pm(entry[key][m], spread) for m in shown]
                for name, entry in strategies.items()]
          for key in ('zero_shot', 'final')}
  zero_shot = [['zero-shot', *rows['zero_shot'][0][1:]]]
  if any(row[1:] != zero_shot[0][1:] for row in rows['zero_shot']):
    # Settings of the model or the warm start tell them apart.
    zero_shot = [[f'zero-shot of {row[0]}', *row[1:]]
                 for row in rows['zero_shot']]
  return ['strategy', *shown], zero_shot, rows['final']


def _pm(cell: dict[str, float], spread: str) -> str:
  mean, width = cell['mean'], cell[spread]
  return f'{mean:.1f}' if np.isnan(width) else f'{mean:.1f} ± {width:.1f}'


def _difference(entry, key: str, metric: str, spread: str) -> str:
  if key not in entry:
    return '-'
  cell = entry[key][metric]
  return ('+' if cell['mean'] > 0 else '') + _pm(cell, spread)


def _p_value(p: float) -> str:
  if np.isnan(p):
    return '-'
  return f'{p:.3f}' if p >= 0.001 else '< 0.001'


def _saving_cells(
    saving: dict[str, Any] | None, without: str, spread: str
) -> list[str]:
  if saving is None:
    return [without] + ['-'] * 2
  per_seed, reached = saving['per_seed'], saving['reached']
  if np.isnan(saving['needed']):
    cells = ['not reached', '-']
  elif np.isnan(saving['percent']):
    cells = [f'{saving["needed"]:.0f}', 'undefined: no rise of the baseline']
  else:
    cells = [f'{saving["needed"]:.0f}', f'{saving["percent"]:.0f} %']
  if not reached.all():
    # A mean over the seeds that got there alone would flatter.
    of_seeds = f'reached by {reached.sum()} of {len(reached)} seeds'
  else:
    of_seeds = ('undefined' if np.isnan(per_seed).any()
                else _pm(summary_lib.cell(per_seed), spread) + ' %')
  return cells + [of_seeds]
