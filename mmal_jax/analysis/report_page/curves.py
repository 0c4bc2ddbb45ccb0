"""Curves with a position on them, and the table of scores at that position."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmal_jax.analysis import curves as curves_lib
from mmal_jax.analysis import plot_lines
from mmal_jax.analysis import scores_at as scores_lib
from mmal_jax.analysis import summary as summary_lib
from mmal_jax.analysis.report_page import elements

as_text, tag = elements.as_text, elements.tag
_SIDE = 1000  # of the area, in its own units; it is stretched to its place
_MOST_BANDS = 6  # more would hide each other
_MOST_POINTS = 400  # of a curve
_X_TICKS, _Y_TICKS = 5, 6
_LEAST_RANGE = 1.0  # percentage points: noise is not to fill the area
_AROUND = 0.6  # how far an interval may widen the range of all means


def ticks(low: float, high: float, most: int) -> np.ndarray:
  """Round numbers within a range.

  >>> ticks(0, 100, 6).tolist(), ticks(3.1, 4.0, 4).tolist()
  ([0.0, 20.0, 40.0, 60.0, 80.0, 100.0], [3.5, 4.0])

  Args:
    low: where it begins.
    high: where it ends, above `low`.
    most: how many, at least 2.
  """
  step = 10.0 ** np.floor(np.log10((high - low) / most))
  for factor in (1, 2, 5, 10, 20, 50):
    first, last = np.ceil(low / (step * factor) - 1e-9), np.floor(
        high / (step * factor) + 1e-9)
    if last - first < most:
      break
  # To twelve digits, and without a negative 0.
  return np.round(np.arange(first, last + 1) * step * factor, 12) + 0.0


class Scale:
  """From points and scores to the area's own units."""

  def __init__(self, summary: dict[str, Any]):
    """Takes what `summary.summarise` returns."""
    points = np.asarray(summary['annotations'], float)
    self._x = points[0], max(points[-1], points[0] + 1e-9)
    bands = scores_lib.bands(summary)
    level = list(levels(summary).values())
    means = np.concatenate([of.mean for of in bands.values()] + [level])
    low, high = means.min(), means.max()
    room = max(high - low, _LEAST_RANGE)
    least = max(0.0, min(of.low.min() for of in bands.values()))
    most = min(100.0, max(of.high.max() for of in bands.values()))
    low, high = (max(min(low, least), low - _AROUND * room),
                 min(max(high, most), high + _AROUND * room))
    room = max(high - low, _LEAST_RANGE)
    middle = (low + high) / 2
    self._y = middle - 0.54 * room, middle + 0.54 * room

  def x(self, values) -> np.ndarray:
    low, high = self._x
    return _SIDE * (np.asarray(values, float) - low) / (high - low)

  def y(self, values) -> np.ndarray:
    low, high = self._y
    return _SIDE * (high - np.asarray(values, float)) / (high - low)

  def x_ticks(self) -> np.ndarray:
    return ticks(*self._x, _X_TICKS)

  def y_ticks(self) -> np.ndarray:
    return ticks(*self._y, _Y_TICKS)


def levels(summary: dict[str, Any]) -> dict[str, float]:
  """Scores that no answer changes: zero-shot, and the whole pool aligned."""
  m = summary['headline']
  found = {'zero-shot': float(np.mean([
      entry['zero_shot'][m]['mean']
      for entry in summary['strategies'].values()]))}
  if 'whole_pool' in summary:
    whole = summary['whole_pool']
    found[f'all {whole["aligned"]} pairs'] = whole['final'][m]['mean']
  return found


def drawn(summary: dict[str, Any]) -> str:
  """The curves, as SVG that fills whatever place it has."""
  scale, bands = Scale(summary), scores_lib.bands(summary)
  looks = plot_lines.looks(list(bands), summary_lib.BASELINE)
  points = np.asarray(summary['annotations'], float)
  some = curves_lib.some_points(points, _MOST_POINTS)
  x = scale.x(points[some])
  parts = [_line('M0 {0:.1f}H1000', y, 'grid')
           for y in scale.y(scale.y_ticks())]
  parts += [_line('M{0:.1f} 0V1000', at, 'grid')
            for at in scale.x(scale.x_ticks())]
  for name, y in levels(summary).items():
    kind = 'level zero' if name == 'zero-shot' else 'level whole'
    parts.append(_line('M0 {0:.1f}H1000', float(scale.y(y)), kind))
  if len(bands) <= _MOST_BANDS:
    for number, (name, of) in enumerate(bands.items()):
      if np.any(of.high > of.low):
        around = np.concatenate([
            np.stack([x, scale.y(of.high[some])], 1),
            np.stack([x, scale.y(of.low[some])], 1)[::-1]])
        parts.append(tag('path', d=_path(around) + 'Z', class_='band',
                         data_line=number, fill=looks[name]['color']))
  for number, (name, of) in enumerate(bands.items()):
    parts.append(tag(
        'path', d=_path(np.stack([x, scale.y(of.mean[some])], 1)),
        class_='line', data_line=number, **_stroke(looks[name])))
  parts.append(tag('path', id='at', d='M1000 0V1000', class_='at'))
  for number, (name, of) in enumerate(bands.items()):
    parts.append(tag(
        'path', d=f'M{x[-1]:.1f} {scale.y(of.mean[-1]):.1f}h0', class_='dot',
        data_line=number, stroke=looks[name]['color']))
  words = (f'{summary["headline"]} in percent over {_axis(summary)}; the table '
           'has the numbers.')
  return tag('div', (
      tag('p', f'{as_text(summary["headline"])} (%)', class_='y-name')
      + tag('svg', ''.join(
          _label(f'{v:.10g}', x='100%', y=f'{at / 10:.2f}%', anchor='end')
          for v, at in zip(scale.y_ticks(), scale.y(scale.y_ticks()))),
            class_='ys', aria_hidden='true')
      + tag('svg', ''.join(parts), class_='area', role='img',
            viewBox=f'0 0 {_SIDE} {_SIDE}', preserveAspectRatio='none',
            aria_label=words)
      + tag('svg', ''.join(
          _label(f'{v:.10g}', x=f'{at / 10:.2f}%', y='50%',
                 anchor='start' if at < 30 else 'end' if at > 970 else 'middle')
          for v, at in zip(scale.x_ticks(), scale.x(scale.x_ticks()))),
            class_='xs', aria_hidden='true')
      + tag('p', as_text(_axis(summary)), class_='x-name')), class_='plot')


def about_bands(summary: dict[str, Any]) -> str:
  """Where intervals are seen, in words; '' of one seed, which has none."""
  bands = scores_lib.bands(summary)
  if not any(np.any(of.high > of.low) for of in bands.values()):
    return ''
  return ('Bands are 95 % confidence intervals.' if len(bands) <= _MOST_BANDS
          else 'Of so many strategies the intervals are in the tables alone.')


def table(summary: dict[str, Any], at: scores_lib.ScoresAt) -> str:
  """The table of scores, at the last point as long as no script moves it."""
  looks = plot_lines.looks(at.labels, summary_lib.BASELINE)
  rows = []
  for number, (name, texts) in enumerate(zip(at.labels, at.cells[-1])):
    first = tag('span', swatch(looks[name]) + tag(
        'span', as_text(name), class_='name'), class_='strategy')
    rows.append(tag('tr', elements.cells([name, *texts], first),
                    data_line=number))
  for row in at.fixed:
    kind = 'zero' if row[0] == 'zero-shot' else 'whole'
    first = tag('span', tag(
        'svg', tag('path', d='M0 6H28', class_=f'level {kind}'),
        class_='swatch', aria_hidden='true') + tag('span', as_text(row[0])),
                class_='strategy')
    rows.append(tag('tr', elements.cells(row, first), class_='fixed'))
  head = tag('tr', ''.join(tag('th', as_text(cell), scope='col')
                           for cell in at.header))
  return tag('div', tag('table', (
      tag('caption', 'Scores in percent after '
          + tag('output', as_text(position(summary, -1)), id='after',
                for_='at-slider'))
      + tag('thead', head) + tag('tbody', ''.join(rows), id='scores'))),
             class_='wide', tabindex=0, role='group', aria_label='Scores')


def swatch(look: dict[str, Any]) -> str:
  """How a line looks."""
  return tag('svg', tag('path', d='M0 6H28', class_='line', **_stroke(look)),
             class_='swatch', aria_hidden='true')


def position(summary: dict[str, Any], t: int) -> str:
  """A point of the curves in words."""
  value = summary['annotations'][t]
  if summary['x'] == summary_lib.COST:
    return f'a cost of {value:.5g}'
  return f'{value:.7g} answer' + ('' if value == 1 else 's')


def data(
    summary: dict[str, Any], at: scores_lib.ScoresAt
) -> dict[str, Any]:
  """What the script needs to move the position."""
  scale, bands = Scale(summary), scores_lib.bands(summary)
  return {
      'positions': [position(summary, t) for t in range(len(at.cells))],
      'x': _rounded(scale.x(summary['annotations'])),
      'y': [_rounded(scale.y(of.mean)) for of in bands.values()],
      'cells': at.cells}


def _axis(summary) -> str:
  return ('cost of the answers' if summary['x'] == summary_lib.COST
          else 'answers')


def _rounded(values) -> list[float]:
  return [round(float(value), 1) for value in values]


def _path(points: np.ndarray) -> str:
  return 'M' + 'L'.join(f'{x:.1f} {y:.1f}' for x, y in points)


def _line(form: str, value: float, kind: str) -> str:
  return tag('path', d=form.format(value), class_=kind)


def _stroke(look) -> dict[str, str]:
  """How matplotlib's look of a line is said in SVG."""
  dashes: Sequence[float] = () if look['linestyle'] == '-' else (
      look['linestyle'][1])
  return {'stroke': str(look['color'])} | ({
      'stroke-dasharray': ' '.join(f'{2.5 * d:g}' for d in dashes)}
                                           if dashes else {})


def _label(text: str, x: str, y: str, anchor: str) -> str:
  return tag('text', as_text(text), x=x, y=y, **{
      'text-anchor': anchor, 'dominant-baseline': 'central'})
