"""A strategy is a rule for the modality times a selector of items."""

import dataclasses
import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmal_jax.acquire import ask as ask_lib
from mmal_jax.acquire import modality
from mmal_jax.acquire import registry
from mmal_jax.acquire import strategy
from mmal_jax.acquire import values
from mmal_jax.acquire import views as views_lib
from tests.support import problems
from tests.support import tiny

pytestmark = pytest.mark.usefixtures('quick_compilation')

_A_FILE = '''
"""The items whose first value is largest."""

from typing import Annotated

import jax

from mmal_jax.acquire import strategy
from mmal_jax.acquire import values
from mmal_jax.acquire import views


def select(view, others, k, key, *, noise: Annotated[
    float, values.AtLeast(0)] = 0.0):
  """Of one modality.

  Args:
    noise: how much is drawn at random beside it.
  """
  lots = noise * jax.random.normal(key, view.remaining.shape)
  return views.keep_best(view.pool[:, 0] + lots, view.remaining, k)


first_value = strategy.Strategy('first_value', select, draws=True)
'''


@pytest.fixture
def first_value(tmp_path, monkeypatch):
  """A strategy from a user's own file, and its line in the registry."""
  path = tmp_path / 'first_value.py'
  path.write_text(_A_FILE)
  spec = importlib.util.spec_from_file_location('first_value', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  monkeypatch.setitem(
      registry.STRATEGIES, 'first_value', module.first_value)
  return module.first_value


def _views(n=30, **fields):
  rng = np.random.default_rng(0)
  return {m: problems.make(rng, problems.unit, n).view(**fields)
          for m in ('image', 'text')}


def _largest(pool, k):
  return np.argsort(-np.asarray(pool)[:, 0], kind='stable')[:k].tolist()


def test_a_new_strategy_answers_ask(first_value):
  rng = np.random.default_rng(0)
  images, texts = (problems.unit(rng, 30).astype(np.float32) for _ in range(2))
  known = problems.unit(rng, 64).astype(np.float32)
  arguments = (images, texts, known, known, 4)
  query = ask_lib.ask(*arguments, 'first_value@text')
  assert query.modality == 'text'
  assert query.indices.tolist() == _largest(texts, 4)
  query = ask_lib.ask(*arguments, 'first_value@both')
  assert query.modality == ('image', 'text') * 2
  assert query.indices.tolist() == [
      i for pair in zip(_largest(images, 2), _largest(texts, 2)) for i in pair]
  noisy = first_value.with_values(noise=9.0).with_rule('text')
  assert ask_lib.ask(*arguments, noisy).indices.tolist() != (
      _largest(texts, 4))


def test_ask_refuses_a_strategy_that_needs_what_it_cannot_give(first_value):
  rows = problems.unit(np.random.default_rng(0), 64).astype(np.float32)
  for field, what in (
      ('skill', 'the strategy first_value needs View.skill'),
      ('costs', 'image_costs=None: the strategy first_value needs it')):
    needy = dataclasses.replace(first_value, needs=(field,))
    with pytest.raises(ValueError, match=what):
      ask_lib.ask(rows, rows, rows, rows, 4, needy)


def test_a_new_strategy_runs_in_the_loop(first_value, tiny_run):
  *_, last = tiny_run.rounds('first_value@gap')
  assert last.round == tiny.ROUNDS
  assert len(last.aligned_rows) == tiny.ROUNDS * tiny.BATCH


def test_a_new_strategys_values_can_be_configured(first_value):
  assert registry.values_of('first_value@image') == {
      'noise': values.Value(0.0, (float,), values.AtLeast(0),
                            'how much is drawn at random beside it.')}
  found = registry.configured(
      'first_value@image', {'coreset_ratio': 2.0, 'first_value': {'noise': 1}})
  assert found.values == {'noise': 1} and found.rule == 'image'


def test_what_a_selector_is_given():
  seen = []

  def select(view, others, k, key, *, scale: int = 1):
    seen.append((view, list(others), k, key, scale))
    return views_lib.keep_best(
        jnp.zeros(len(view.remaining)), view.remaining, k)

  views, key = _views(), jax.random.key(3)
  strategy.Strategy('mine', select, rule='text')(views, 4, key)
  (view, others, k, none, scale), = seen
  assert view is views['text'] and others == ['image']
  assert (k, none, scale) == (4, None, 1)
  seen.clear()
  query = strategy.Strategy('mine', select, rule='both', draws=True)(
      views, 5, key, scale=2)
  assert query.modality == ('image', 'text', 'image', 'text', 'image')
  half = jax.random.split(key)[1]
  for place, (_, _, k, mine, scale) in enumerate(seen):
    assert (k, scale) == (3 - place, 2)
    assert mine == jax.random.fold_in(half, place)


@pytest.mark.parametrize('draws', [False, True])
def test_what_a_joint_selector_is_given(draws):
  views, key = _views(), jax.random.key(3)

  def select(seen, select_modality, drawn):
    half = jax.random.split(key)
    assert seen is views
    assert select_modality == modality.Selection(
        'image', 4, half[0] if draws else key)
    assert (drawn == half[1]) if draws else (drawn is None)
    return {m: jnp.arange(k) for m, k in select_modality(seen).items()}

  query = strategy.Strategy(
      'mine', select, rule='image', joint=True, draws=draws)(views, 4, key)
  assert query.modality == 'image' and query.indices.tolist() == [0, 1, 2, 3]


def test_the_rule_gap_measures_coverage_once():
  seen = []

  def select(view, others, k, key):
    seen.append(view.nearest)
    return jnp.arange(k)

  for rule in ('gap', 'random'):
    strategy.Strategy('mine', select, rule=rule)(
        _views(), 2, jax.random.key(0))
  assert seen[0].shape == (30,) and seen[1] is None


def test_what_is_needed():
  def select(view, others, k, key, *, scored: bool = False):
    return jnp.arange(k)

  mine = strategy.Strategy(
      'mine', select, rule='cheapest',
      needs=lambda given: ('logit_scale',) if given['scored'] else ())
  assert mine.needed == ('costs',)
  scored = mine.with_values(scored=True)
  assert scored.needed == ('logit_scale', 'costs')
  views = _views(costs=jnp.ones(30))
  mine(views, 2, jax.random.key(0))
  with pytest.raises(views_lib.Missing, match='logit_scale=None: mine needs'):
    scored(views, 2, jax.random.key(0))
  with pytest.raises(views_lib.Missing, match="modality='cheapest' needs it"):
    mine(_views(), 2, jax.random.key(0))
  assert scored.with_rule('alternate').needed == ('logit_scale', 'asked')


def test_a_reference_may_depend_on_a_value():
  facility = registry.find('facility')
  assert not facility.needs_reference
  assert facility.with_values(by_reference=True).needs_reference


@pytest.mark.parametrize('given,error,what', [
    (dict(neighbour=3), TypeError,
     r'typiclust has no value neighbour; .* Did you mean neighbours\?'),
    (dict(neighbours=2.5), TypeError, 'neighbours=2.5 must be an integer'),
    (dict(neighbours=True), TypeError, 'neighbours=True must be an integer'),
    (dict(neighbours=None), TypeError, 'neighbours=None must be an integer'),
    (dict(neighbours=0), ValueError, 'neighbours=0 must be at least 1')])
def test_values_that_cannot_be(given, error, what):
  found = registry.find('typiclust')
  for attempt in (lambda: found.with_values(**given),
                  lambda: found.variant('mine', **given),
                  lambda: found(_views(), 2, jax.random.key(0), **given)):
    with pytest.raises(error, match=what):
      attempt()
  with pytest.raises(ValueError, match='acquisition.*typiclust.*neighbour'):
    registry.configured('typiclust', {'typiclust': given})


def test_values_of_other_kinds():
  for name, good, bad in (
      ('cluster_margin', dict(clusters=None), dict(clusters='all')),
      ('design', dict(ridge=2), dict(ridge=float('nan'))),
      ('design', dict(by_cost=True), dict(by_cost=1)),
      ('probcover', dict(delta=np.float32(0.5)), dict(delta='small')),
      ('mmal', dict(uncertainty='entropy'), dict(uncertainty='doubt'))):
    found = registry.find(name)
    assert found.with_values(**good).given == good
    with pytest.raises((TypeError, ValueError), match=' must be '):
      found.with_values(**bad)


def test_a_selector_whose_values_cannot_be_read():
  def no_type(view, others, k, key, *, scale=1.0):
    """Without an annotation."""

  def no_default(view, others, k, key, *, scale: float):
    """Without a default."""

  def no_config(view, others, k, key, *, scale: dict = {}):
    """Of a type that no config has."""

  for select in (no_type, no_default, no_config):
    with pytest.raises(TypeError, match=f'{select.__name__}: scale is a value'):
      strategy.Strategy('mine', select)


@pytest.mark.parametrize('default,error,said', [
    (0, ValueError, 'select: the default neighbours=0 must be at least 1'),
    (2.5, TypeError, 'select: the default neighbours=2.5 must be an integer'),
    (None, TypeError, 'select: the default neighbours=None must be an int')])
def test_a_default_that_could_not_be_given_is_refused(default, error, said):
  def select(view, others, k, key, *, neighbours: values.Count = default):
    """Of one modality."""

  with pytest.raises(error, match=said):
    strategy.Strategy('mine', select)


def test_a_value_that_is_not_keyword_only_is_refused():
  def select(view, others, k, key, scale: float = 1.0):
    """Of one modality."""

  def joint(views, select_modality, key, scale: float = 1.0, *, by: int = 2):
    """Of all."""

  for one, is_joint in ((select, False), (joint, True)):
    with pytest.raises(TypeError, match=(
        rf'{one.__name__}: scale has a default, .* is not keyword-only')):
      strategy.Strategy('mine', one, joint=is_joint)


def test_what_a_variant_fixes_stays():
  found = registry.find('mmal_no_uncertainty')
  assert 'coreset_ratio' not in registry.values_of('mmal_no_uncertainty')
  for attempt in (
      lambda: found.with_values(coreset_ratio=3.0),
      lambda: found(_views(), 2, jax.random.key(0), coreset_ratio=3.0),
      lambda: registry.configured('mmal_no_uncertainty', {
          'mmal_no_uncertainty': {'coreset_ratio': 3.0}})):
    with pytest.raises(ValueError, match='cannot be set'):
      attempt()
  # A value for all is not for it.
  assert registry.configured(
      'mmal_no_uncertainty', {'coreset_ratio': 3.0}).values[
          'coreset_ratio'] == 1.0


def test_random_alone_is_uniform_by_whatever_rule():
  assert {name for name, each in registry.STRATEGIES.items()
          if each.uniform} == {'random'}
  assert registry.find('random@image').uniform
  assert not registry.find('mmal@random').uniform


def test_values_of_ones_own_come_before_those_of_all():
  section = {'coreset_ratio': 3.0, 'mmal': {'coreset_ratio': 5.0},
             'metric': 'cosine'}
  for name, expected in (('mmal', 5.0), ('mmal@both', 5.0),
                         ('mmal_entropy', 3.0)):
    found = registry.configured(name, section)
    assert found.values['coreset_ratio'] == expected
  # Set twice, the last counts; the first strategy is as it was.
  again = registry.find('mmal').with_values(coreset_ratio=3.0).with_values(
      coreset_ratio=4.0)
  assert again.values['coreset_ratio'] == 4.0
  assert registry.find('mmal').values['coreset_ratio'] == 2.0


def test_a_section_of_no_strategy_is_refused():
  with pytest.raises(
      ValueError, match=r'acquisition.typyclust.*Did you mean typiclust\?'):
    registry.configured('mmal', {'typyclust': {'neighbours': 3}})


@pytest.mark.long
def test_values_change_the_picks():
  views, key = _views(), jax.random.key(0)
  for name, given in (
      ('mmal', dict(coreset_ratio=1.0)), ('design', dict(ridge=0.01)),
      ('typiclust', dict(neighbours=1)), ('probcover', dict(delta=0.9)),
      ('similarity', dict(lowest=True))):
    found = registry.find(f'{name}@image')
    one, other = (each(views, 8, key).indices.tolist()
                  for each in (found, found.with_values(**given)))
    assert one != other, name
    assert found(views, 8, key, **given).indices.tolist() == other


@pytest.mark.parametrize('name', registry.STRATEGIES)
def test_every_value_says_what_it_is(name):
  found = registry.STRATEGIES[name]
  assert found.name == name == found.__name__
  # In a config, sections of strategies lie beside values of all of them.
  assert not {*found.values, 'metric'} & {*registry.STRATEGIES}
  for value, declared in values.read(found.select).items():
    assert declared.help, value
    values.check(value, declared.default, declared)
  with pytest.raises(dataclasses.FrozenInstanceError):
    found.rule = 'both'


@pytest.mark.parametrize('select,said', [
    (lambda view, others, k, key: None, 'NoneType; an array [2]'),
    (lambda view, others, k, key: jnp.ones(4), 'float32[4]; an array [2]'),
    (lambda view, others, k, key: jnp.arange(3), 'int32[3]; an array [2]'),
])
def test_selector_that_answers_with_anything_else_is_named(select, said):
  with pytest.raises(TypeError, match=re.escape(
      f'the selector of mine has answered with {said} of integer indices')):
    strategy.Strategy('mine', select, rule='text')(
        _views(), 2, jax.random.key(0))


def test_selector_that_draws_without_declaring_it_is_refused():
  def select(view, others, k, key):
    return jax.random.permutation(key, len(view.pool))[:k]

  with pytest.raises(TypeError, match=r'mine has got no key .*draws=True'):
    strategy.Strategy('mine', select)(_views(), 2, jax.random.key(0))
  strategy.Strategy('mine', select, draws=True)(
      _views(), 2, jax.random.key(0))


@pytest.mark.parametrize('indices,error,said', [
    (np.arange(3.0), TypeError, r'float64\[3\]; \[3\] integers are needed'),
    (np.arange(2), TypeError, r'int64\[2\]; \[3\] integers are needed'),
    (np.array([5, 6, 5]), ValueError, r'an item twice: \[5 6 5\]'),
])
def test_query_of_ones_own_with_other_indices_is_refused(indices, error, said):
  def mine(views, batch, key):
    del views, batch, key
    return views_lib.Query('image', indices)

  with pytest.raises(error, match=f'mine has answered with .*{said}'):
    ask_lib.answer(mine, mine, _views(), 3, 0)
