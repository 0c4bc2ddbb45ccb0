"""How lines of a plot look, and labels at their ends that do not overlap."""

from collections.abc import Sequence

import numpy as np

from mmal_jax.files import plain_text

# Not on colour alone: ten colours, and a line style for each setting.
_COLOURS = ('#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e', '#17becf',
            '#e377c2', '#8c564b', '#bcbd22', '#5c5fc4')
_STYLES = ('-', (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)),
           (0, (3, 1, 1, 1, 1, 1)), (0, (9, 3)))
_BASELINE = '#555555'


def looks(labels: Sequence[str], baseline: str) -> dict[str, dict[str, object]]:
  """One colour a strategy, and one line style a setting.

  Args:
    labels: `strategy` or `strategy, settings`.
    baseline: the strategy that is grey.

  Returns:
    By label, arguments of `Axes.plot`, different for all of up to sixty labels.
  """
  strategies = list(dict.fromkeys(label.partition(', ')[0] for label in labels))
  settings = list(dict.fromkeys(label.partition(', ')[2] for label in labels))
  coloured = [name for name in strategies if name != baseline]
  found = {}
  for label in labels:
    strategy, _, setting = label.partition(', ')
    turn, place = 0, None
    if strategy in coloured:
      turn, place = divmod(coloured.index(strategy), len(_COLOURS))
    # Where colours run out, styles distinguish strategies, too.
    style = turn * len(settings) + settings.index(setting)
    found[label] = {
        'color': _BASELINE if place is None else _COLOURS[place],
        'linestyle': _STYLES[style % len(_STYLES)]}
  return found


def spread(
    wanted: Sequence[float], gap: float, low: float, high: float
) -> np.ndarray:
  """Places near those wanted, no two of them nearer than a gap.

  The sum of squared distances to what is wanted is the smallest there is (by
  pooling neighbours that would overlap), but for what must be moved inside.

  >>> spread([1.0, 1.0, 5.0], 1.0, 0.0, 10.0).tolist()
  [0.5, 1.5, 5.0]

  Args:
    wanted: `[n]` numbers.
    gap: least distance.
    low: no place lies below, if all fit in between.
    high: nor above.

  Returns:
    `[n]` float64, in the order of `wanted`; ties stay in their order.
  """
  wanted = np.asarray(wanted, float)
  n = len(wanted)
  if n * gap > high - low:
    gap = (high - low) / max(n, 1)
  order = np.argsort(wanted, kind='stable')
  # Less the gaps below, places only must not fall.
  blocks = []  # [sum, count]
  for value in wanted[order] - gap * np.arange(n):
    blocks.append([value, 1])
    while len(blocks) > 1 and (
        blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]):
      total, count = blocks.pop()
      blocks[-1][0] += total
      blocks[-1][1] += count
  means = np.concatenate([[total / count] * count for total, count in blocks]
                         or [[]])
  means = np.clip(means, low, max(high - gap * (n - 1), low))
  places = np.empty(n)
  places[order] = means + gap * np.arange(n)
  return places


def label_ends(
    axes, x: float, ends: Sequence[tuple[str, float, str]], size: float = 8.5
) -> None:
  """Writes names to the right of lines, each joined to its line's end.

  Args:
    axes: of matplotlib, whose limits are final.
    x: where the lines end.
    ends: `(text, y, colour)` of each line.
    size: of the letters, in points.
  """
  low, high = axes.get_ylim()
  height = axes.get_window_extent().height / axes.figure.dpi * 72
  gap = (high - low) * 1.45 * size / height
  places = spread([y for _, y, _ in ends], gap, low, high)
  for (text, y, colour), place in zip(ends, places):
    axes.annotate(
        plain_text.for_terminal(text), (x, y), (1.035, place), xycoords='data',
        textcoords=('axes fraction', 'data'), color=colour, fontsize=size,
        va='center', annotation_clip=False, parse_math=False, arrowprops={
            'arrowstyle': '-', 'color': colour, 'linewidth': 0.6,
            'shrinkA': 1, 'shrinkB': 1, 'relpos': (0, 0.5)})
