"""Tables of what `summary.summarise` found, for a terminal or for Markdown.

Every ± is half the 95 % confidence interval of a mean over seeds; with one seed
there is none. `legend` says so, for the line under a table.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmal_jax.analysis import curves as curves_lib
from mmal_jax.analysis import saved_answers
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.files import plain_text

_WITH_GROUPS = ('group', 'text', 'image', 'mean_r10')
_MOST_POINTS = 12  # columns of a table of curves
# A table as text, of its rows: `printed` or `markdown`.
Form = Callable[[Sequence[Sequence[str]]], str]


def printed(rows: Sequence[Sequence[str]]) -> str:
  r"""A table for a terminal, with the bars and widths of one in Markdown.

  >>> print(printed([['strategy', 'p'], ['a|\x1b', '< 0.001']]))
  | strategy | p       |
  | -------- | ------- |
  | a\|\x1b  | < 0.001 |

  Args:
    rows: cells as they are, of any origin; the first row is the header.
  """
  return _padded([[plain_text.for_terminal(cell).replace('|', r'\|')
                   for cell in row] for row in rows])


def markdown(rows: Sequence[Sequence[str]]) -> str:
  r"""As `printed`, for a file of Markdown.

  >>> print(markdown([['strategy', 'p'], ['<b>', '< 0.001']]))
  | strategy  | p       |
  | --------- | ------- |
  | &lt;b&gt; | < 0.001 |
  """
  return _padded([list(map(plain_text.for_markdown, row)) for row in rows])


def _padded(rows: Sequence[Sequence[str]]) -> str:
  widths = [max(map(len, column)) for column in zip(*rows)]
  lines = [' | '.join(cell.ljust(width) for cell, width in zip(row, widths))
           for row in rows]
  lines.insert(1, ' | '.join('-' * width for width in widths))
  return '\n'.join(f'| {line} |' for line in lines)


def table(summary: dict[str, Any]) -> str:
  """Final scores, and what was saved against random.

  Args:
    summary: from `summarise`.
  """
  headline, baseline = summary['headline'], summary_lib.BASELINE
  header, zero_shot, rows = _score_rows(summary)
  whole_pool = [row + ['-'] * 4 for row in _whole_pool_rows(summary, header)]
  header += [f'{headline} - {baseline}\'s',
             _to_reach(summary, f'{baseline}\'s') + _target(summary), 'saving',
             'saving seed by seed']
  zero_shot = [row + ['-'] * 4 for row in zero_shot]
  for row, (name, entry) in zip(rows, summary['strategies'].items()):
    row += ['-' if name == baseline else
            _difference(entry, 'minus_baseline', headline),
            *_saving_cells(summary, name, f'no {baseline} run')]
  return printed([header, *zero_shot, *rows, *whole_pool])


def legend(seeds: int) -> str:
  """What ± means in a table of means over seeds."""
  if seeds == 1:
    return ('One seed: there are no intervals, and differences between '
            'strategies may be chance.')
  return (f'± is half the 95 % confidence interval of the mean over {seeds} '
          'seeds (Student\'s t); differences and savings seed by seed are of '
          'the same seeds.')


def score_table(summary: dict[str, Any], form: Form = printed) -> str:
  """Final scores with 95 % confidence intervals, zero-shot on top.

  Those of the whole pool aligned stand last, where they are known.

  Args:
    summary: from `summarise`.
    form: of the table.
  """
  header, zero_shot, rows = _score_rows(summary)
  return form([header, *zero_shot, *rows, *_whole_pool_rows(summary, header)])


def shown_metrics(summary: dict[str, Any]) -> list[str]:
  """The scores that a table has room for.

  Args:
    summary: from `summarise`.
  """
  metrics = list(next(iter(summary['strategies'].values()))['final'])
  if 'group' not in metrics:
    return metrics
  # All recalls beside them would be too wide to read.
  return [m for m in dict.fromkeys((*_WITH_GROUPS, summary['headline']))
          if m in metrics]


def comparison_table(summary: dict[str, Any], form: Form = printed) -> str:
  """Every strategy against its baseline, in the headline metric.

  Args:
    summary: from `summarise`.
    form: of the table.
  """
  m = summary['headline']
  rows = [['strategy', 'baseline', f'{m} - baseline\'s', 'p (paired t)',
           'p (sign flips)', f'mean {m}', 'mean - baseline\'s', 'p (paired t)',
           'p (sign flips)', _to_reach(summary, 'baseline\'s'), 'saving',
           'saving seed by seed']]
  for name, entry in summary['strategies'].items():
    row = [name, entry.get('baseline', 'none')]
    savings = _saving_cells(summary, name, '-')
    if row[1] == name:  # Nothing is learnt from itself.
      rows.append([*row, '-', '-', '-', summary_lib.pm(entry['mean_score'][m]),
                   '-', '-', '-', *savings])
      continue
    for key in ('minus_baseline', 'mean_score_minus_baseline'):
      if key == 'mean_score_minus_baseline':
        row.append(summary_lib.pm(entry['mean_score'][m]))
      row.append(_difference(entry, key, m))
      tested = key in entry and not np.isnan(entry[key][m]['std'])
      row += [p_value(entry[key][m][p]) if tested else '-'
              for p in ('p_paired_t', 'p_sign_flips')]
    rows.append(row + savings)
  return form(rows)


def curve_table(
    summary: dict[str, Any], most: int = _MOST_POINTS, form: Form = printed
) -> str:
  """The headline score at every number of annotations, or cost of them.

  Args:
    summary: from `summarise`.
    most: columns to show where there are more points, as evenly as may be.
    form: of the table.
  """
  headline, points = summary['headline'], summary['annotations']
  by_cost = summary['x'] == summary_lib.COST
  shown = curves_lib.some_points(points, most)
  rows = [[f'{headline} after{" a cost of" if by_cost else ""}']
          + [f'{a:.4g}' if by_cost else f'{a:.7g}' for a in points[shown]]]
  for name, entry in summary['strategies'].items():
    curves = entry['curves'][headline]  # [seeds, t]
    rows.append([name] + [summary_lib.pm(summary_lib.cell(scores))
                          for scores in curves.T[shown]])
    if by_cost:
      rows.append([f'annotations of {name}'] + [
          f'{count:.0f}' for count in entry['answers'].mean(0)[shown]])
  return form(rows)


def mean(values: Sequence[float]) -> str:
  """`12.3 ± 0.4`, with half the 95 % interval; of one value there is none."""
  return summary_lib.pm(summary_lib.cell(np.asarray(values)))


def _whole_pool_rows(summary, header) -> list[list[str]]:
  """The row of the whole pool aligned, if it was."""
  whole = summary.get('whole_pool')
  return [] if whole is None else [[
      f'all {whole["aligned"]} pairs',
      *(summary_lib.pm(whole['final'][m]) if m in whole['final'] else '-'
        for m in header[1:])]]


def _score_rows(summary):
  """The header, the rows of zero-shot, and those of the strategies."""
  strategies = summary['strategies']
  shown = shown_metrics(summary)
  rows = {key: [[name] + [summary_lib.pm(entry[key][m]) for m in shown]
                for name, entry in strategies.items()]
          for key in ('zero_shot', 'final')}
  header = ['strategy', *shown]
  if summary['x'] == summary_lib.COST:
    header.insert(1, summary_lib.ANNOTATIONS)
    for final, entry, before in zip(
        rows['final'], strategies.values(), rows['zero_shot']):
      final.insert(1, f'{entry["answers"][:, -1].mean():.0f}')
      before.insert(1, '0')
  zero_shot = [['zero-shot', *rows['zero_shot'][0][1:]]]
  if any(row[1:] != zero_shot[0][1:] for row in rows['zero_shot']):
    # Settings of the model or the warm start distinguish them.
    zero_shot = [[f'zero-shot of {row[0]}', *row[1:]]
                 for row in rows['zero_shot']]
  return header, zero_shot, rows['final']


def _to_reach(summary, whose) -> str:
  return f'{summary["x"]} to reach {whose} final {summary["headline"]}'


def _target(summary) -> str:
  entry = summary['strategies'].get(summary_lib.BASELINE)
  if entry is None:
    return ''
  return f' of {entry["final"][summary["headline"]]["mean"]:.1f}'


def _difference(entry, key: str, metric: str) -> str:
  return summary_lib.pm(entry[key][metric], '+') if key in entry else '-'


def p_value(p: float) -> str:
  """Three digits; a dash where there is none, as of one seed."""
  if np.isnan(p):
    return '-'
  return f'{p:.3f}' if p >= 0.001 else '< 0.001'


def _saving_cells(summary, name: str, without: str) -> list[str]:
  """Where a strategy gets to its baseline's end, and what that saves."""
  entry = summary['strategies'][name]
  saving = entry.get('saving')
  if saving is None:
    return [without] + ['-'] * 2
  if entry['baseline'] == name:
    return [saved_answers.of_baseline(summary, name), '-', '-']
  per_seed, reached = saving['per_seed'], saving['reached']
  if np.isnan(saving['needed']):
    cells = ['not reached', '-']
  else:
    cells = [saved_answers.needed(summary, name),
             'nothing to save' if np.isnan(saving['percent'])
             else f'{saving["percent"]:.0f} %']
  if not reached.all():
    # A mean over the seeds that got there alone would flatter.
    of_all = f'reached by {reached.sum()} of {len(reached)} seeds'
  else:
    of_all = ('nothing to save' if np.isnan(per_seed).any()
              else mean(per_seed) + ' %')
  return cells + [of_all]
