"""`curves.png`: score against annotations."""

import pathlib
from typing import Any

import matplotlib
import numpy as np

matplotlib.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402


def curves(summary: dict[str, Any], path: pathlib.Path) -> None:
  """Draws mean and standard deviation over seeds, and the zero-shot line.

  Args:
    summary: from `summary.summarise`.
    path: of the PNG.
  """
  metric = summary['headline']
  annotations = summary['annotations']
  figure, axes = plt.subplots(figsize=(7, 4.5), layout='constrained')
  for name, entry in summary['strategies'].items():
    scores = entry['curves'][metric]  # [seeds, t]
    mean = scores.mean(0)
    line, = axes.plot(annotations, mean, marker='o', markersize=3, label=name)
    if len(scores) > 1:
      std = scores.std(0, ddof=1)
      axes.fill_between(annotations, mean - std, mean + std,
                        color=line.get_color(), alpha=0.15, linewidth=0)
  zero_shot = np.mean([entry['zero_shot'][metric]['mean']
                       for entry in summary['strategies'].values()])
  axes.axhline(zero_shot, color='grey', linestyle=':', label='zero-shot')
  seeds = len(scores)
  axes.set(xlabel='annotations', ylabel=f'{metric} (%)',
           title=f'{seeds} seed{"s" if seeds > 1 else ""}'
           + (', band: 1 standard deviation' if seeds > 1 else ''))
  axes.legend()
  axes.grid(alpha=0.3)
  figure.savefig(path, dpi=150)
  plt.close(figure)
