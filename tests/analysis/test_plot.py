"""Plots: what they draw, looked at as matplotlib holds it."""

from unittest import mock

import matplotlib.text
import numpy as np
import pytest

from mmal_jax.analysis import calibrated
from mmal_jax.analysis import figures
from mmal_jax.analysis import plot
from mmal_jax.analysis import plot_lines
from mmal_jax.analysis import records
from mmal_jax.analysis import significance
from mmal_jax.analysis import summary as summary_lib

_X = np.array([0, 10, 20, 30])


def _summary(names, seeds, baselines=None, **options):
  rng = np.random.default_rng(0)
  curves = {
      name: {'r10': np.array([10, 30, 40, 50]) + np.array([0, 1, 1, 1]) * (
          3 * i + rng.normal(size=(seeds, 1)))} for i, name in enumerate(names)}
  return summary_lib.summarise(_X, curves, 'r10', baselines, **options)


def _drawn(summary, tmp_path):
  """The figure, and its axes."""
  figure = plot.curves(summary)
  figures.save(figure, tmp_path / 'curves.png')
  assert (tmp_path / 'curves.png').read_bytes().startswith(b'\x89PNG')
  return figure, figure.axes


def _texts(axis):
  return [text.get_text() for text in axis.texts if text.get_text()]


@pytest.mark.parametrize('count', [2, 3, 8])
@pytest.mark.parametrize('seeds', [1, 10])
def test_gains_stand_beside_scores(tmp_path, count, seeds):
  names = ['random', *(f's{i}' for i in range(1, count))]
  found = _summary(names, seeds)
  figure, (scores, gains) = _drawn(found, tmp_path)
  assert gains.get_ylabel().startswith('r10 - random')
  for i, name in enumerate(names[1:], 1):
    curves = [found['strategies'][n]['curves']['r10'] for n in (name, 'random')]
    difference = curves[0] - curves[1]
    line, = [x for x in gains.get_lines() if x.get_label() == name]
    np.testing.assert_allclose(line.get_ydata(), difference.mean(0))
    assert f'{name} {difference[:, -1].mean():+.1f}' in _texts(gains)
  assert any(text.startswith('random ') for text in _texts(scores))
  if seeds == 1:
    assert 'no intervals' in figure.get_suptitle()
    assert not gains.collections
  else:
    assert '95 %' in figure.get_suptitle() and gains.collections


def test_an_interval_of_gains_is_paired(tmp_path):
  found = _summary(['random', 'mmal'], 6)
  _, (_, gains) = _drawn(found, tmp_path)
  band, = gains.collections
  curves = [found['strategies'][n]['curves']['r10'] for n in ('mmal', 'random')]
  difference = curves[0] - curves[1]
  top = band.get_paths()[0].vertices[:, 1].max()
  assert top == pytest.approx(max(
      difference.mean(0) + significance.half_width(difference)))


@pytest.mark.parametrize('count', [3, 8, 12])
def test_labels_at_the_ends_do_not_overlap(tmp_path, count):
  names = ['random', *(f'strategy{i}' for i in range(1, count))]
  found = _summary(names, 3)
  for entry in found['strategies'].values():
    entry['curves']['r10'][:, -1] = 50 + 1e-3 * np.arange(3)
  figure, axes = _drawn(found, tmp_path)
  figure.set_dpi(150)  # As it was saved.
  figure.canvas.draw()
  for axis in axes:
    # Of the letters, without the lines that lead to them.
    boxes = sorted((matplotlib.text.Text.get_window_extent(text)
                    for text in axis.texts if text.get_position()[0] == 1.035),
                   key=lambda box: box.y0)
    assert len(boxes) >= count
    assert all(low.y1 <= high.y0 + 1 for low, high in zip(boxes, boxes[1:]))
    for box in boxes:
      assert 0 <= box.x0 and box.x1 <= figure.bbox.x1 + 1


def test_answers_saved_are_arrows(tmp_path):
  found = _summary(['random', 'good', 'better'], 4)
  _, (scores, _) = _drawn(found, tmp_path)
  arrows = [text for text in scores.texts if getattr(
      text, 'arrow_patch', None) is not None and not text.get_text()]
  assert len(arrows) == 2
  heads = {round(arrow.xy[0], 6) for arrow in arrows}
  assert heads == {round(found['strategies'][n]['saving']['needed'], 6)
                   for n in ('good', 'better')}
  assert {arrow.get_position()[0] for arrow in arrows} == {30}
  assert sum('saved' in text for text in _texts(scores)) == 2
  # The room of arrows is no scale of scores.
  assert min(scores.get_yticks()) >= 0


def test_without_a_baseline_there_is_nothing_beside(tmp_path):
  for names in (['mmal', 'coreset'], ['random']):
    _, axes = _drawn(_summary(names, 2), tmp_path)
    assert len(axes) == 1 and not any('saved' in t for t in _texts(axes[0]))


def test_costs_are_named(tmp_path):
  found = _summary(['random', 'mmal'], 2, answers={
      name: np.tile(_X / 2, (2, 1)) for name in ('random', 'mmal')})
  _, (scores, gains) = _drawn(found, tmp_path)
  assert scores.get_xlabel() == gains.get_xlabel() == 'cost of the answers'
  assert any('annotations' in text for text in _texts(scores))


@pytest.mark.parametrize('answers,said', [
    (None, '{name}: 24 instead of 60, 60 % saved'),
    (20, '{name}: 24 (12 annotations) instead of 60, 60 % saved')])
@pytest.mark.parametrize('where', ['late', 'early'])
def test_words_of_a_saving_stay_in_the_panel(tmp_path, answers, said, where):
  """Whatever its name, and wherever there is room beside its arrow."""
  name = 'entropy_of_matches@text_or_image'
  x = np.array([0, 24, 60]) if where == 'early' else np.array([0, 24, 60, 61])
  curves = {'random': [10, 20, 50, 50], name: [10, 50, 60, 60]}
  found = summary_lib.summarise(
      x, {key: {'r10': np.tile(curve[:len(x)], (2, 1)).astype(float)}
          for key, curve in curves.items()}, 'r10',
      answers=answers and {key: np.tile(x / 2, (2, 1)) for key in curves})
  figure, (scores, _) = _drawn(found, tmp_path)
  figure.set_dpi(150)
  figure.canvas.draw()
  text, = (text for text in scores.texts if 'saved' in text.get_text())
  assert text.get_text() == said.format(name=name)
  box, panel = (matplotlib.text.Text.get_window_extent(text),
                scores.get_window_extent())
  assert panel.x0 <= box.x0 and box.x1 <= panel.x1


@pytest.mark.parametrize('gain', [0.5, 4.0])
def test_intervals_of_two_seeds_do_not_squash_differences(tmp_path, gain):
  curve = np.array([10.0, 30, 40, 50])
  noise = np.array([[-3.0], [3.0]]) * np.array([0, 1, 1, 1])
  found = summary_lib.summarise(_X, {
      'random': {'r10': np.tile(curve, (2, 1))},
      'mmal': {'r10': curve + gain * np.array([0, 1, 1, 1]) + noise}}, 'r10')
  _, (_, gains) = _drawn(found, tmp_path)
  low, high = gains.get_ylim()
  # Half an interval of two seeds is 12.7 times their standard error of 3.
  assert [low, high] == pytest.approx([-max(5, 3 * gain), max(5, 3 * gain)])


def test_one_colour_a_strategy_and_one_line_style_a_setting():
  names = [f'{strategy}, rounds={r}' for r in (2, 3)
           for strategy in ('random', 'mmal', 'coreset')]
  looks = plot_lines.looks(names, 'random')
  colours, styles = ({name: look[key] for name, look in looks.items()}
                     for key in ('color', 'linestyle'))
  for strategy in ('random', 'mmal', 'coreset'):
    assert len({c for n, c in colours.items() if n.startswith(strategy)}) == 1
  assert len(set(colours.values())) == 3
  for setting in ('rounds=2', 'rounds=3'):
    assert len({s for n, s in styles.items() if n.endswith(setting)}) == 1
  assert len(set(styles.values())) == 2


def test_places_are_spread_as_little_as_may_be():
  rng = np.random.default_rng(1)
  for n in (1, 2, 9):
    wanted = rng.normal(size=n)
    wanted[-1] = wanted[0]
    places = plot_lines.spread(wanted, 0.3, -9, 9)
    order = np.argsort(wanted, kind='stable')
    assert (np.diff(places[order]) >= 0.3 - 1e-9).all()
    # Nothing near is better.
    best = np.sum((places - wanted)**2)
    for _ in range(300):
      other = places + 0.05 * rng.normal(size=n)
      if (np.diff(other[order]) >= 0.3).all():
        assert np.sum((other - wanted)**2) >= best - 1e-9
  assert (np.diff(plot_lines.spread([5, 5, 5], 9, 0, 6)) > 0).all()
  assert plot_lines.spread([], 1, 0, 1).shape == (0,)


def test_many_strategies_have_lines_of_their_own():
  names = [f's{i}' for i in range(28)]
  found = summary_lib.summarise(
      np.array([0, 4]), {name: {'mean_r10': np.ones((2, 2))}
                         for name in names}, 'mean_r10')
  for figure in (plot.curves(found), plot.modalities(
      {name: {'image': np.ones(2)} for name in names})):
    lines = [line for line in figure.axes[0].get_lines()
             if line.get_label() in names]
    legend, = figure.legends
    figure.draw_without_rendering()
    box, frame = (part.get_window_extent() for part in (
        legend, figure.axes[0]))
    assert box.x0 > frame.x1 and box.y0 >= 0 and frame.width > 500
    looks = {(repr(line._unscaled_dash_pattern), line.get_color())
             for line in lines}
    assert len(looks) == 28


def test_calibration_looks_as_the_curves():
  bins = {'least': [0.0, 0.9], 'count': [4, 6], 'stated': [0.5, 0.95],
          'true': [0.4, 0.9]}
  labels = ['random', 'mmal', 'mmal, rounds=3']
  runs = {label: [mock.Mock(calibration=[
      {'of': of, 'items': bins} for of in (
          ['image', 'text'], ['image', 'sound'])])] for label in labels}
  axis, = calibrated.draw(records.Records(runs, [0], [])).axes
  lines = {line.get_label(): line for line in axis.get_lines()}
  looks = plot_lines.looks(labels, 'random')
  for label in labels:
    pair = [lines[f'{label}, image-{other}'] for other in ('text', 'sound')]
    assert {line.get_color() for line in pair} == {looks[label]['color']}
    assert len({line.get_marker() for line in pair}) == 2
