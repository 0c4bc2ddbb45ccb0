"""The closing table, and the numbers behind it."""

from typing import Any

import numpy as np

from mmal_jax.evaluate import savings as savings_lib

BASELINE = 'random'


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
      saving = savings_lib.saving(
          annotations, by_metric[headline], scores[BASELINE][headline])
      entry['saving'] = saving._asdict()
    summary['strategies'][strategy] = entry
  return summary


def _mean_std(values: np.ndarray) -> dict[str, float]:
  spread = np.std(values, ddof=1) if len(values) > 1 else np.nan
  return {'mean': np.mean(values), 'std': spread}


def table(summary: dict[str, Any]) -> str:
  """The summary as a Markdown table."""
  headline = summary['headline']
  strategies = summary['strategies']
  metrics = list(next(iter(strategies.values()))['final'])
  shown = [m for m in ('group', 'text', 'image', 'mean_r10') if m in metrics]
  header = (['strategy'] + shown
            + [f'annotations to reach {BASELINE}\'s final {headline}',
               'saving', 'saving seed by seed'])
  rows = [header, ['---'] * len(header)]
  first = next(iter(strategies.values()))['zero_shot']
  rows.append(['zero-shot'] + [_pm(first[m]) for m in shown] + ['-'] * 3)
  for name, entry in strategies.items():
    rows.append([name] + [_pm(entry['final'][m]) for m in shown]
                + _saving_cells(entry.get('saving')))
  widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
  return '\n'.join(
      '| ' + ' | '.join(
          cell if cell != '---' else '-' * width
          for cell, width in zip(_padded(row, widths), widths)) + ' |'
      for row in rows)


def _padded(row, widths):
  return [c if c == '---' else c.ljust(w) for c, w in zip(row, widths)]


def _pm(cell: dict[str, float]) -> str:
  mean, std = cell['mean'], cell['std']
  return f'{mean:.1f}' if np.isnan(std) else f'{mean:.1f} ± {std:.1f}'


def _saving_cells(saving: dict[str, Any] | None) -> list[str]:
  if saving is None:
    return [f'no {BASELINE} run'] + ['-'] * 2
  if np.isnan(saving['needed']):
    cells = ['not reached', '-']
  else:
    cells = [f'{saving["needed"]:.0f}', f'{saving["percent"]:.0f} %']
  per_seed = saving['per_seed']
  reached = per_seed[~np.isnan(per_seed)]
  of = f'{len(reached)} of {len(per_seed)} seeds'
  if len(reached):
    of = _pm(_mean_std(reached)) + f' % ({of})'
  return cells + [of]
