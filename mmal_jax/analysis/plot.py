"""The figures of a report: curves, and which modality was asked about."""

from typing import Any

import numpy as np

from mmal_jax import extras
from mmal_jax.analysis import curves as curves_lib
from mmal_jax.analysis import figures
from mmal_jax.analysis import plot_lines
from mmal_jax.analysis import saved_answers
from mmal_jax.analysis import significance
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.files import plain_text

_text = extras.Lazy('matplotlib.text', 'to draw figures')

_MOST_LABELS = 14  # at the ends of lines; more stand in a legend
_MOST_BANDS = 3  # more would hide each other
_MOST_ARROWS = 8
_MOST_POINTS = 12  # with bars
_MOST_MARKERS = 40
_LEAST_POINTS = 1.0  # percentage points that a panel shows
# Of differences: intervals of few seeds, many times as wide, are cut off.
_MOST_GAIN = 5.0  # percentage points either way, and at least
_MOST_MEANS = 3.0  # times the largest mean
_HEIGHT = 5.0  # inches
_LETTER = 0.07  # inches that one takes in a label


def curves(summary: dict[str, Any]) -> Any:
  """Draws means over seeds, and beside them what is gained on the baseline.

  On the left scores, zero-shot and the whole pool, and as an arrow for each
  strategy how many answers it saves, from where its baseline first has the
  score that it ends with to where the strategy has it. On the right differences
  seed by seed, with their 95 % confidence intervals.

  Args:
    summary: from `summary.summarise`.

  Returns:
    The `matplotlib.figure.Figure`.
  """
  entries, points = summary['strategies'], summary['annotations']
  compared = [name for name, entry in entries.items()
              if entry.get('baseline') not in (None, name)]
  looks = plot_lines.looks(list(entries), summary_lib.BASELINE)
  panels = 2 if compared else 1
  figure, axes = figures.new(1, panels, (6.5 * panels, _HEIGHT))
  panel_ends = [_draw_scores(axes[0, 0], summary, looks, bool(compared))]
  savings = _draw_savings(axes[0, 0], summary, compared, looks)
  if compared:
    panel_ends.append(_draw_gains(axes[0, 1], summary, compared, looks))
  for axis in axes[0]:
    axis.set_xlabel('cost of the answers' if summary['x'] == summary_lib.COST
                    else 'annotations')
    axis.grid(alpha=0.3)
    axis.set_xlim(points[0], points[-1] if len(points) > 1 else points[0] + 1)
  seeds = len(next(iter(entries.values()))['curves'][summary['headline']])
  figure.suptitle(
      'One seed: no intervals' if seeds == 1 else
      f'Means over {seeds} seeds, 95 % confidence intervals', fontsize=10)
  _label(figure, axes[0], panel_ends, points[-1])
  _keep_inside(figure, axes[0, 0], savings)
  return figure


def modalities(shares: dict[str, dict[str, np.ndarray]]) -> Any:
  """Draws which modality was asked about, round by round.

  Args:
    shares: from `records.shares`.

  Returns:
    The `matplotlib.figure.Figure`.
  """
  names = list(next(iter(shares.values())))
  # Of two modalities one determines the other.
  names = names[:1] if len(names) == 2 else names
  looks = plot_lines.looks(list(shares), summary_lib.BASELINE)
  figure, axes = figures.new(
      len(names), 1, (7, 0.5 + 3.5 * len(names)), sharex=True)
  ends, last = [], 1
  for axis, name in zip(axes[:, 0], names):
    ends.append([])
    for label, of_label in shares.items():
      percent = of_label[name]
      rounds = 1 + np.arange(len(percent))
      last = max(last, len(percent))
      axis.plot(rounds, percent, marker='o', markersize=3,
                label=plain_text.for_terminal(label), **looks[label])
      there = percent[~np.isnan(percent)]
      ends[-1].append((label, there[-1] if len(there) else 50.0,
                       looks[label]['color']))
    axis.set_ylabel(plain_text.for_terminal(f'queries about {name} (%)'),
                    parse_math=False)
    axis.set_ylim(-3, 103)
    axis.grid(alpha=0.3)
  axes[-1, 0].set_xlabel('round')
  axes[-1, 0].xaxis.get_major_locator().set_params(integer=True)
  _label(figure, axes[:, 0], ends, last)
  return figure


def _draw_scores(axis, summary, looks, is_compared):
  """Scores; returns what stands at the ends of the lines."""
  metric, points = summary['headline'], summary['annotations']
  entries = summary['strategies']
  ends = []
  for name, entry in entries.items():
    scores = entry['curves'][metric]  # [seeds, t]
    mean = scores.mean(0)
    _draw_line(axis, points, mean, name, looks)
    # Of many, only the intervals of differences can be distinguished.
    if len(scores) > 1 and not (is_compared and len(entries) > _MOST_BANDS):
      _draw_spread(axis, points, mean, significance.half_width(scores),
                   looks[name], len(entries), list(entries).index(name))
    ends.append((f'{name} {mean[-1]:.1f}', mean[-1], looks[name]['color']))
  zero_shot = np.mean([entry['zero_shot'][metric]['mean']
                       for entry in entries.values()])
  lines = [('zero-shot', zero_shot, 'grey')]
  if 'whole_pool' in summary:
    whole = summary['whole_pool']
    lines.append((f'all {whole["aligned"]} pairs',
                  whole['final'][metric]['mean'], 'black'))
  for name, y, colour in lines:
    axis.axhline(y, color=colour, linestyle=':', linewidth=1)
    ends.append((f'{name} {y:.1f}', y, colour))
  axis.set_ylabel(plain_text.for_terminal(f'{metric} (%)'), parse_math=False)
  # No score lies beyond, however wide the interval of two seeds.
  low, high = axis.get_ylim()
  axis.set_ylim(max(low, -3), min(high, 103))
  return ends


def _draw_gains(axis, summary, compared, looks):
  """Differences to the baseline, seed by seed; returns the ends of lines."""
  metric, points = summary['headline'], summary['annotations']
  entries, ends, largest = summary['strategies'], [], 0.0
  baselines = list(dict.fromkeys(entries[name]['baseline']
                                 for name in compared))
  shown = baselines[0] if len(baselines) == 1 else (
      baselines[0].partition(', ')[0])
  axis.axhline(0, color='#555555', linewidth=1)
  ends.append((f'{shown} (0)', 0.0, '#555555'))
  for i, name in enumerate(compared):
    entry = entries[name]
    gains = (entry['curves'][metric]
             - entries[entry['baseline']]['curves'][metric])  # [seeds, t]
    mean = gains.mean(0)
    _draw_line(axis, points, mean, name, looks, len(compared) <= _MOST_BANDS
               or len(gains) == 1)
    if len(gains) > 1:
      _draw_spread(axis, points, mean, significance.half_width(gains),
                   looks[name], len(compared), i)
    ends.append((f'{name} {mean[-1]:+.1f}', mean[-1], looks[name]['color']))
    largest = max(largest, np.abs(mean).max())
  axis.set_ylabel(
      plain_text.for_terminal(f'{metric} - {shown}\'s, seed by seed (points)'),
      parse_math=False)
  most = max(_MOST_GAIN, _MOST_MEANS * largest)
  low, high = axis.get_ylim()
  low, high = max(low, -most), min(high, most)
  axis.set_ylim(low, high)
  if high - low < _LEAST_POINTS:  # Noise is not to fill the panel.
    middle = (low + high) / 2
    axis.set_ylim(middle - _LEAST_POINTS / 2, middle + _LEAST_POINTS / 2)
  return ends


def _draw_line(axis, points, mean, name, looks, marked=True) -> None:
  markers = {'marker': 'o', 'markersize': 3, 'markevery': list(
      curves_lib.some_points(points, _MOST_MARKERS))} if marked else {}
  axis.plot(points, mean, label=plain_text.for_terminal(name), **markers,
            **looks[name])


def _draw_spread(axis, points, mean, width, look, count, place) -> None:
  """Intervals: a band each, or bars side by side where many would overlap."""
  if count <= _MOST_BANDS:
    axis.fill_between(
        points, mean - width, mean + width, color=look['color'], alpha=0.15,
        linewidth=0)
    return
  some = curves_lib.some_points(points, _MOST_POINTS)
  step = (points[-1] - points[0]) / max(len(some) - 1, 1)
  shift = 0.35 * step * ((place + 0.5) / count - 0.5)
  at = np.clip(points[some] + shift, points[0], points[-1])
  axis.errorbar(
      at, np.interp(at, points, mean), np.interp(at, points, width), fmt='o',
      markersize=2.5, color=look['color'], elinewidth=0.8, alpha=0.8)


def _draw_savings(axis, summary, compared, looks):
  """An arrow for each strategy that gets where its baseline ends.

  Returns:
    The words beside the arrows.
  """
  entries, points = summary['strategies'], summary['annotations']
  reached = [name for name in compared
             if not np.isnan(entries[name]['saving']['percent'])]
  for name in reached:
    saving = entries[name]['saving']
    axis.plot(saving['needed'], saving['target'], marker='D', markersize=6,
              markeredgecolor='black', zorder=5, color=looks[name]['color'])
  # An arrow of no length is none.
  reached = sorted(
      (name for name in reached
       if abs(entries[name]['saving']['percent']) >= 0.5),
      key=lambda name: entries[name]['saving']['needed'])[:_MOST_ARROWS]
  if not reached:
    return []
  words = []
  low, high = axis.get_ylim()
  ticks = [tick for tick in axis.get_yticks() if low <= tick <= high]
  # Below all curves there is room of its own for each arrow.
  row = 0.055 * (high - low) / (1 - 0.055 * (len(reached) + 1))
  axis.set_yticks(ticks)
  axis.set_ylim(low - row * (len(reached) + 1), high)
  for i, name in enumerate(reached):
    saving, colour = entries[name]['saving'], looks[name]['color']
    first = entries[entries[name]['baseline']]['saving']['needed']
    y = low - row * (len(reached) - i)
    axis.plot([saving['needed']] * 2, [y, saving['target']], color=colour,
              linewidth=0.6, linestyle=':')
    axis.annotate(
        '', (saving['needed'], y), (first, y), arrowprops={
            'arrowstyle': '-|>', 'color': colour, 'linewidth': 1.5,
            'shrinkA': 0, 'shrinkB': 0,
            'linestyle': looks[name]['linestyle']})
    text = f'{name.partition(", ")[0]}: {saved_answers.shortly(summary, name)}'
    left, right = sorted((saving['needed'], first))
    to_the_left = left - points[0] > points[-1] - right
    words.append(axis.annotate(
        plain_text.for_terminal(text), (left if to_the_left else right, y),
        (-4 if to_the_left else 4, 0), textcoords='offset points', va='center',
        ha='right' if to_the_left else 'left', fontsize=7.5, color=colour,
        parse_math=False))
  return words


def _keep_inside(figure, axis, words) -> None:
  """Puts words above their arrows where there is no room beside them."""
  figure.draw_without_rendering()  # The panel has its place.
  panel = axis.get_window_extent()
  pad = 4 * figure.dpi / 72
  for text in words:
    box = _text.Text.get_window_extent(text)
    if panel.x0 + pad <= box.x0 and box.x1 <= panel.x1 - pad:
      continue
    room = panel.width - 2 * pad
    if box.width > room:
      text.set_fontsize(text.get_fontsize() * room / box.width)
    to_the_left = text.get_ha() == 'right'
    text.xy = (axis.get_xlim()[0 if to_the_left else 1], text.xy[1])
    text.set(ha='left' if to_the_left else 'right', va='bottom')
    text.set_position((4 if to_the_left else -4, 1))


def _label(figure, axes, ends, x) -> None:
  """Names at the ends of lines; of many, in a legend outside."""
  if len(ends[0]) <= _MOST_LABELS:
    longest = max(len(text) for of_axis in ends for text, *_ in of_axis)
    width, height = figure.get_size_inches()
    panels = len({axis.get_subplotspec().colspan.start for axis in axes})
    figure.set_size_inches(
        width + panels * _LETTER * max(longest - 16, 0), height)
    figure.draw_without_rendering()
    for axis, of_axis in zip(axes, ends):
      plot_lines.label_ends(axis, x, of_axis)
    return
  handles, labels = axes[0].get_legend_handles_labels()
  legend = figure.legend(
      handles, labels, loc='outside right upper', fontsize=8)
  for text in legend.get_texts():
    text.set_parse_math(False)
  inches = legend.get_window_extent().size / figure.dpi
  width, height = figure.get_size_inches()
  figure.set_size_inches(width + inches[0], max(height, inches[1] + 0.2))
