"""A config from Python: completed, changed and checked."""

import pytest

from experiments.configs import colorswap
from experiments.configs import features
import mmal_jax
from mmal_jax.config import config as config_lib

_OWN = dict(dataset={'name': 'features'}, model={'name': 'mlp'},
            strategies=('mmal',), rounds=2)


def test_it_is_complete_and_the_other_one_stays():
  base = colorswap.get_config()
  base.lock()
  before = base.to_dict()
  config = mmal_jax.config_of(
      base, **{'dataset.pool': 90}, rounds=2, batch=None, train={'ema': 0.5})
  assert isinstance(config, mmal_jax.Config)
  assert config.dataset.pool == 90 and config.batch is None
  assert config.train.ema == 0.5 and config.train.optimizer == 'muon'
  assert base.to_dict() == before
  assert config_lib.complete(config) is config
  assert mmal_jax.config_of(base).to_dict() == before


def test_further_modalities_and_costs():
  config = mmal_jax.config_of(
      features.get_config('sound'), costs={'sound': 2},
      dataset={'images': 'i.npy', 'texts': 't.npy',
               'others': {'sound': 's.npy'}})
  assert config.dataset.others.to_dict() == {'sound': 's.npy'}
  assert config.costs.sound == 2 and config.costs.image is None
  own = mmal_jax.config_of(**_OWN, costs={'image': 3.0})
  assert own.costs.image == 3.0 and own.costs.budget is None


@pytest.mark.parametrize('changes,said', [
    ({'train.peak_rl': 1.0}, 'train.peak_rl is unknown; known are'),
    ({'trian': {'ema': 0.1}}, 'trian is unknown; known are'),
    ({'train': {'ema': 2.0}}, 'train.ema=2.0 must be at most'),
    ({'rounds': '2'}, "rounds='2' must be a finite number"),
    ({'train': 3}, 'train=3 must be a section of values'),
    ({'model': {'name': 'mlp', 'hidden': 3}}, 'model.hidden is unknown'),
    ({'acquisition.metric': 'cos'}, "acquisition.metric='cos' is unknown")])
def test_what_no_config_has_is_refused(changes, said):
  with pytest.raises(ValueError) as e:
    mmal_jax.config_of(features.get_config(), **changes)
  assert said in str(e.value)


def test_what_has_no_default_must_be_given():
  for name in ('strategies', 'rounds', 'dataset'):
    rest = {key: value for key, value in _OWN.items() if key != name}
    with pytest.raises(ValueError, match=f'the config lacks {name}'):
      mmal_jax.config_of(**rest)
