"""`curves.png` and `modalities.png`."""

import pathlib
from typing import Any

import matplotlib
import numpy as np

from experiments import summary as summary_lib
from mmal_jax.evaluate import significance

matplotlib.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402

_BANDS = {
    '1 standard deviation': lambda scores: np.std(scores, axis=0, ddof=1),
    '95 % confidence interval of the mean': significance.half_width,
}
STD, CI95 = _BANDS
# Ten colours alone would name two of the paper's fourteen strategies alike.
_LINES = plt.cycler(linestyle=['-', '--', '-.']) * plt.cycler(
    color=plt.get_cmap('tab10').colors)
_MOST_INSIDE = 5  # labels of a legend, before it hides the curves


def curves(
    summary: dict[str, Any], path: pathlib.Path, band: str = STD,
    x: str = 'annotations',
) -> None:
  """Draws means and their spread over seeds, zero-shot and the whole pool.

  A diamond marks where a strategy has the score at which random ends.

  Args:
    summary: from `summary.summarise`.
    path: of the PNG.
    band: `STD` or `CI95`.
    x: label of the axis.
  """
  metric = summary['headline']
  annotations = summary['annotations']
  figure, axes = plt.subplots(figsize=(7, 4.5), layout='constrained')
  axes.set_prop_cycle(_LINES)
  for name, entry in summary['strategies'].items():
    scores = entry['curves'][metric]  # [seeds, t]
    mean = scores.mean(0)
    line, = axes.plot(annotations, mean, marker='o', markersize=3, label=name)
    if len(scores) > 1:
      width = _BANDS[band](scores)
      # No score lies beyond, however wide the interval of two seeds.
      axes.fill_between(
          annotations, np.maximum(mean - width, 0),
          np.minimum(mean + width, 100), color=line.get_color(), alpha=0.15,
          linewidth=0)
  zero_shot = np.mean([entry['zero_shot'][metric]['mean']
                       for entry in summary['strategies'].values()])
  axes.axhline(zero_shot, color='grey', linestyle=':', label='zero-shot')
  if 'whole_pool' in summary:
    whole = summary['whole_pool']
    axes.axhline(
        whole['final'][metric]['mean'], color='black', linestyle=':',
        label=f'all {whole["aligned"]} pairs')
  _draw_savings(axes, summary)
  seeds = len(scores)
  axes.set(xlabel=x, ylabel=f'{metric} (%)',
           title=f'{seeds} seed{"s" if seeds > 1 else ""}'
           + (f', band: {band}' if seeds > 1 else ''))
  axes.grid(alpha=0.3)
  _save(figure, axes, path)


def _draw_savings(axes, summary) -> None:
  """Marks where each strategy has the score at which random ends."""
  savings = {name: entry['saving']
             for name, entry in summary['strategies'].items()
             if entry.get('baseline') == summary_lib.BASELINE}
  reached = {line: savings[line.get_label()] for line in axes.get_lines()
             if line.get_label() in set(savings) - {summary_lib.BASELINE}
             and not np.isnan(savings[line.get_label()]['needed'])}
  if not reached or summary_lib.BASELINE not in savings:
    return
  target = savings[summary_lib.BASELINE]['target']
  axes.plot(
      [min(saving['needed'] for saving in reached.values()),
       summary['annotations'][-1]], [target, target], color='grey',
      linewidth=0.8)
  for line, saving in reached.items():
    axes.plot(saving['needed'], target, marker='D', markersize=7,
              color=line.get_color(), markeredgecolor='black')
    saved = ('' if np.isnan(saving['percent'])
             else f' ({saving["percent"]:.0f} % saved)')
    line.set_label(f'{line.get_label()}: {saving["needed"]:.0f} to '
                   f'{summary_lib.BASELINE}\'s end{saved}')


def modalities(
    shares: dict[str, dict[str, np.ndarray]], path: pathlib.Path
) -> None:
  """Draws which modality was asked about, round by round.

  Args:
    shares: from `records.shares`.
    path: of the PNG.
  """
  names = list(next(iter(shares.values())))
  # Of two modalities one tells of the other.
  names = names[:1] if len(names) == 2 else names
  figure, axes = plt.subplots(
      len(names), figsize=(7, 0.5 + 3 * len(names)), squeeze=False, sharex=True,
      layout='constrained')
  for axis, name in zip(axes[:, 0], names):
    axis.set_prop_cycle(_LINES)
    for label, of_label in shares.items():
      rounds = 1 + np.arange(len(of_label[name]))
      axis.plot(rounds, of_label[name], marker='o', markersize=3, label=label)
    axis.set(ylabel=f'queries about {name} (%)', ylim=(-3, 103))
    axis.grid(alpha=0.3)
  axes[-1, 0].set_xlabel('round')
  axes[-1, 0].xaxis.get_major_locator().set_params(integer=True)
  _save(figure, axes[0, 0], path)


def _save(figure, axes, path: pathlib.Path) -> None:
  """Writes a figure with the legend of `axes`: a long one stands outside."""
  handles, labels = axes.get_legend_handles_labels()
  if len(labels) > _MOST_INSIDE:
    legend = figure.legend(
        handles, labels, loc='outside right upper', fontsize=8)
    inches = legend.get_window_extent().size / figure.dpi
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + inches[0], max(height, inches[1] + 0.2))
  else:
    axes.legend()
  figure.savefig(path, dpi=150)
  plt.close(figure)
