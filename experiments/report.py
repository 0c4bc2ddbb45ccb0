"""The closing table, and the numbers behind it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmal_jax.evaluate import savings as savings_lib

BASELINE = 'random'
_WITH_GROUPS = ('group', 'text', 'image', 'mean_r10')


def summarise(
    annotations: np.ndarray,
    scores: dict[str, dict[str, np.ndarray]],
    headline: str,
) -> dict[str, Any]:
  """Everything that `summary.json` holds.

  Args:
    annotations: `[t]` annotations at each point of the curves.
    scores: by strategy and metric, `[seeds, t]` percentages.
    headline: the metric whose target counts.
  """
  summary = {'headline': headline, 'annotations': annotations, 'strategies': {}}
  for strategy, by_metric in scores.items():
    entry = {
        'final': {m: _mean_std(s[:, -1]) for m, s in by_metric.items()},
        'zero_shot': {m: _mean_std(s[:, 0]) for m, s in by_metric.items()},
        'curves': by_metric,
    }
    if BASELINE in scores:
      # Seed by seed: the seeds differ more than the strategies do.
      entry['minus_baseline'] = {
          m: _mean_std(s[:, -1] - scores[BASELINE][m][:, -1])
          for m, s in by_metric.items()}
    if BASELINE in scores:
      saving = savings_lib.saving(
          annotations, by_metric[headline], scores[BASELINE][headline])
      entry['saving'] = saving._asdict()
    summary['strategies'][strategy] = entry
  return summary


def table(summary: dict[str, Any]) -> str:
  """Final scores, and annotations saved, as a Markdown table."""
  headline = summary['headline']
  strategies = summary['strategies']
  metrics = list(next(iter(strategies.values()))['final'])
  shown = metrics
  if 'group' in metrics:  # All recalls beside them would be too wide to read.
    shown = [m for m in _WITH_GROUPS if m in metrics]
  header = (['strategy'] + shown
            + [f'{headline} - {BASELINE}\'s',
               f'annotations to reach {BASELINE}\'s final {headline}',
               'saving', 'saving seed by seed'])
  first = next(iter(strategies.values()))['zero_shot']
  rows = [['zero-shot'] + [_pm(first[m]) for m in shown] + ['-'] * 4]
  for name, entry in strategies.items():
    rows.append([name] + [_pm(entry['final'][m]) for m in shown]
                + _difference_cell(entry, headline)
                + _saving_cells(entry.get('saving')))
  return markdown([header] + rows)


def curve_table(summary: dict[str, Any]) -> str:
  """The headline score at every number of annotations, as Markdown."""
  headline = summary['headline']
  rows = [[f'{headline} after'] + [str(a) for a in summary['annotations']]]
  for name, entry in summary['strategies'].items():
    curves = entry['curves'][headline]  # [seeds, t]
    rows.append([name] + [mean_pm_std(scores) for scores in curves.T])
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
  return _pm(_mean_std(np.asarray(values)))


def _mean_std(values: np.ndarray) -> dict[str, float]:
  spread = np.std(values, ddof=1) if len(values) > 1 else np.nan
  return {'mean': np.mean(values), 'std': spread}


def _pm(cell: dict[str, float]) -> str:
  mean, std = cell['mean'], cell['std']
  return f'{mean:.1f}' if np.isnan(std) else f'{mean:.1f} ± {std:.1f}'


def _difference_cell(entry: dict[str, Any], headline: str) -> list[str]:
  if 'minus_baseline' not in entry:
    return ['-']
  cell = entry['minus_baseline'][headline]
  return [('+' if cell['mean'] > 0 else '') + _pm(cell)]


def _saving_cells(saving: dict[str, Any] | None) -> list[str]:
  if saving is None:
    return [f'no {BASELINE} run'] + ['-'] * 2
  per_seed, reached = saving['per_seed'], saving['reached']
  if np.isnan(saving['needed']):
    cells = ['not reached', '-']
  elif np.isnan(saving['percent']):
    cells = [f'{saving["needed"]:.0f}', f'undefined: {BASELINE} did not rise']
  else:
    cells = [f'{saving["needed"]:.0f}', f'{saving["percent"]:.0f} %']
  if not reached.all():
    # A mean over the seeds that got there alone would flatter.
    of_seeds = f'reached by {reached.sum()} of {len(reached)} seeds'
  else:
    of_seeds = ('undefined' if np.isnan(per_seed).any()
                else mean_pm_std(per_seed) + ' %')
  return cells + [of_seeds]
