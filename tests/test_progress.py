"""Steps of long work, and the bar that shows them."""

import time

from mmal_jax import progress


def test_steps_are_shown_by_who_is_said_to():
  assert progress.steps('ab', 2, 'letters') == 'ab'
  shown = []
  with progress.shown_by(lambda of, *what: shown.append(what) or of):
    assert list(progress.steps('ab', 2, 'letters')) == ['a', 'b']
  assert progress.steps('ab', 2, 'letters') == 'ab'
  assert shown == [(2, 'letters')]


def test_a_first_step_that_takes_long_is_explained(monkeypatch, capfd):
  monkeypatch.setattr(progress, '_STILL', 0.05)
  steps = progress.bar(range(3), 3, 'training')
  next(steps)
  time.sleep(0.5)
  assert 'training: still at the first step' in capfd.readouterr().err
  assert list(steps) == [1, 2]
  assert list(progress.bar(range(3), 3, 'embedding')) == [0, 1, 2]
  time.sleep(0.2)
  assert 'first step' not in capfd.readouterr().err
