"""Choosing a setting by answers that are held out."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.learn.closed_form import basis as basis_lib
from mmal_jax.learn.closed_form import closed_world
from mmal_jax.learn.closed_form import crossval
from mmal_jax.learn.closed_form import moments as moments_lib


def _world(sizes=(200, 200), known=30, noise=0.3, broken=False, seed=0):
  """Bases, aligned rows and a block of what remains."""
  rng = np.random.default_rng(seed)
  hidden = rng.normal(size=(max(sizes), 5))
  pools = [(hidden[:n] @ rng.normal(size=(5, d)) + noise * rng.normal(
      size=(n, d))).astype(np.float32) for n, d in zip(sizes, (16, 12))]
  if broken:
    pools[1] = pools[1][rng.permutation(sizes[1])]
  bases = [basis_lib.of_moments(
      moments_lib.add(moments_lib.empty(p.shape[1]), p), p.shape[1])
           for p in pools]
  rows = [closed_world.rows_of(
      b, jnp.asarray(p), jnp.ones(len(p), bool), False)
          for b, p in zip(bases, pools)]
  aligned = [_take(r, slice(known)) for r in rows]
  rest = [_take(r, slice(known, None)) for r in rows]
  return bases, aligned, rest


def _take(rows, which):
  return closed_world.Rows(*(x[which] for x in rows))


def _choose(bases, aligned, rest, **options):
  known = len(aligned[0].there)
  remaining = min(int(r.there.sum()) for r in rest)
  return crossval.choose(
      np.random.default_rng(0), bases, aligned, rest, known,
      options.pop('num_remaining', remaining), 1.0, 10, **options)


def test_held_out_answers_are_found_where_there_is_something_to_learn():
  choice = _choose(*_world())
  assert choice.skill > 8 and 0.3 < choice.score <= 1
  assert choice.setting.weight > 0  # All that remains has its counterpart.
  assert _choose(*_world(), world=False).setting.weight == 0


def test_where_nothing_belongs_together_it_says_so():
  skills = [_choose(*_world(broken=True, known=60, seed=s)).skill
            for s in range(5)]
  assert np.mean(skills) < 2


def test_too_few_answers_are_not_held_out():
  choice = _choose(*_world(known=crossval.LEAST - 1))
  assert choice.setting == crossval.CAUTIOUS and np.isnan(choice.skill)


def test_without_anything_left_there_is_no_closed_world():
  bases, aligned, rest = _world()
  rest = [_take(r, slice(2))._replace(there=jnp.zeros(2, bool)) for r in rest]
  choice = _choose(bases, aligned, rest)
  assert choice.setting.weight == 0 and np.isfinite(choice.skill)


@pytest.mark.parametrize('sizes', [(200, 50), (50, 200), (200, 200)])
@pytest.mark.parametrize('num_remaining', [20, 170, 100_000])
def test_with_more_to_learn_from_the_penalty_only_falls(sizes, num_remaining):
  _, _, rest = _world(sizes=sizes)
  setting = closed_world.Setting(3.0, 0.5)
  of_all = crossval._for_all(  # pylint: disable=protected-access
      setting, 30, num_remaining, 6, rest)
  assert of_all._replace(penalty=3.0) == setting
  least = min(int(r.there.sum()) for r in rest)
  worth = 30 / num_remaining
  expected = (25 + worth * min(least, num_remaining)) / 60
  assert of_all.penalty == pytest.approx(3.0 * expected) and expected < 1


def test_reciprocal_ranks_are_those_of_numpy_and_ties_count_against():
  rng = np.random.default_rng(3)
  x, y = rng.normal(size=(2, 30, 4)).astype(np.float32)
  y[7] = y[2]  # A tie.
  there = np.ones(30, bool)
  there[25:] = False
  has_item = np.ones((6, 2), bool)
  has_item[4] = False, True  # A tuple that lacks an item.
  block = [closed_world.Rows(
      jnp.asarray(v), jnp.zeros((30, 0)), jnp.asarray(there)) for v in (x, y)]
  heads = [jnp.asarray(rng.normal(size=(4, 3)), jnp.float32) for _ in range(2)]
  found = crossval._reciprocal_rank(  # pylint: disable=protected-access
      block, jnp.asarray(has_item), heads, 0.0)
  a, b = (v.astype(float) @ np.asarray(h, float) for v, h in zip((x, y), heads))
  a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
  s, expected = a @ b.T, np.full(6, np.nan)
  for i in np.flatnonzero(has_item.all(1)):
    expected[i] = np.mean([1 / np.sum(row[there] >= s[i, i] - 1e-6)
                           for row in (s[i], s[:, i])])
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_mean_of_settings_is_that_of_their_logarithms():
  some = closed_world.Setting(1.0, 0.5, 0.02, 0.0)
  other = closed_world.Setting(4.0, 0.8, 0.08, 0.5)  # Odds of 1 and of 4.
  expected = (2.0, 2 / 3, 0.04, 0.25)
  np.testing.assert_allclose(crossval.smoothed(some, other), expected)
  np.testing.assert_allclose(crossval.smoothed(other, some), expected)
  np.testing.assert_allclose(crossval.smoothed(some, some), some)


@pytest.mark.parametrize('before, new', [
    ((0.0, 0.0, 0.0, 0.0), (2.0, 0.4, 0.03, 0.0)),  # The first round.
    ((2.0, 0.4, 0.03, 0.0), (2.0, 0.0, 0.05, 0.0)),
    ((2.0, 0.0, 0.05, 0.0), (2.0, 0.4, 0.03, 0.0))])
def test_a_closed_world_that_comes_or_goes_is_not_smoothed(before, new):
  new = closed_world.Setting(*new)
  assert crossval.smoothed(closed_world.Setting(*before), new) == new


def test_settings_within_an_error_are_separated_from_worse_ones():
  rng = np.random.default_rng(0)
  noise = rng.normal(size=100) / 10
  noise -= noise.mean()
  error = noise.std() / 10
  within = crossval._within_an_error  # pylint: disable=protected-access
  assert within(noise + 0.9 * error) and not within(noise + 1.1 * error)
  assert within(np.zeros(3)) and within(noise - 1.0)


def test_settings_that_do_as_well_as_the_best_are_averaged(monkeypatch):
  """One temperature is worse for certain; nothing else makes a difference."""
  tried = set()

  def score(bases, fold, setting, share, width):
    del bases, share, width
    tried.add(setting)
    value = 0.5 + 0.1 * (setting.weight > 0) - 0.01 * (
        setting.temperature == crossval.TEMPERATURES[1])
    return jnp.where(fold.held.all(axis=1), value, jnp.nan)

  monkeypatch.setattr(crossval, '_score', score)
  world = _world()
  choice = _choose(*world)
  assert choice.score == pytest.approx(0.6)
  good = [s for s in tried
          if s.weight and s.temperature == crossval.TEMPERATURES[0]]
  assert {s.penalty for s in good} == {3.0, 10.0, 30.0}
  assert len({s.weight for s in good}) == len(crossval.WORTHS)
  logs = np.mean([np.log([s.penalty, s.weight / (1 - s.weight)])
                  for s in good], axis=0)
  odds = np.exp(logs[1])
  expected = crossval._for_all(  # pylint: disable=protected-access
      closed_world.Setting(np.exp(logs[0]), odds / (1 + odds),
                           crossval.TEMPERATURES[0]), 30, 170, 6, world[2])
  np.testing.assert_allclose(choice.setting, expected)


def test_tuples_of_one_item_are_too_few_as_well():
  bases, aligned, rest = _world()
  aligned[1] = aligned[1]._replace(
      there=aligned[1].there & (jnp.arange(len(aligned[1].there)) < 3))
  choice = _choose(bases, aligned, rest)
  assert choice.setting == crossval.CAUTIOUS and np.isnan(choice.skill)
