"""The config of an experiment, made ready to be run."""

import pytest

from experiments.configs import features
from mmal_jax.experiment import start


@pytest.fixture(name='config')
def _config(monkeypatch):
  monkeypatch.setenv('HOME', '/home/of')
  config = features.get_config()
  config.dataset.images, config.dataset.texts = '~/i.npy', '/t.npy'
  return config


def test_values_are_replaced_in_a_copy(config):
  found = start.override(config, {
      'seeds': (3,), 'oracle.name': 'exact', 'rounds': None,
      'states': '/s/$HOME'})
  assert (found.seeds, found.oracle.name, found.rounds) == ((3,), 'exact', 6)
  assert found.states == '/s/$HOME'  # It is expanded already.
  assert found.dataset.images == '/home/of/i.npy'
  assert config.dataset.images == '~/i.npy' and config.states is None
  assert config.seeds != (3,)


def test_a_budget_takes_the_place_of_rounds(config):
  assert start.override(config, {'batch': 5}, 20).rounds == 4
  with pytest.raises(ValueError, match='budget=20 is not rounds=3 . batch=5'):
    start.override(config, {'batch': 5, 'rounds': 3}, 20)
  with pytest.raises(ValueError, match='budget=20: give --batch as well'):
    start.override(config, {}, 20)


@pytest.mark.parametrize('values,said', [
    ({'batch': 0}, 'batch=0 must be .*at least 1'),
    ({'strategies': ('no',)}, 'no'), ({'seeds': ()}, 'at least one is needed'),
    ({'oracle.name': 'x'}, "oracle='x' is unknown")])
def test_what_is_refused(config, values, said):
  for budget in (None, 20):
    with pytest.raises(ValueError, match=said):
      start.override(config, values, budget)


def test_seeds_are_integers():
  assert start.seeds(None) is None
  assert start.seeds(['0', ' 12']) == (0, 12)
  with pytest.raises(ValueError, match="seeds='0,-1' must be integers"):
    start.seeds(['0', '-1'])
